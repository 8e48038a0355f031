//! Stock rsocket_rust serves `demo.Greeter` (examples/greeter/api.rs) and calls it, in JSON. Nothing of Towline is in it:
//! copy this folder into a project with `rsocket_rust = "0.7.5"`, `rsocket_rust_transport_tcp = "0.7.4"`, fastrand,
//! futures, serde, serde_json and tokio.
//!
//! With a broker running (`cargo run`), in two terminals:
//! ```sh
//! cargo run --example stock-rsocket-rust -- serve tcp://127.0.0.1:9999
//! cargo run --example stock-rsocket-rust -- call tcp://127.0.0.1:9999
//! ```
//! `call` may as well be answered by `greeter-responder`. A Rust client of `serve` has to send JSON:
//! `app.client::<GreeterClient>().with_encoding(Encoding::Json)`.

mod wire;

use futures::{StreamExt, TryStreamExt, stream};
use rsocket_rust::prelude::{Flux, Payload, RSocket};
use rsocket_rust::{Client, Result, async_trait};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::{ask, connect, failure, item, method, request, value};

#[tokio::main]
async fn main() -> Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let url = given.iter().find(|argument| argument.contains("://")).map_or("tcp://127.0.0.1:9999", String::as_str);
    if given.iter().any(|argument| argument == "serve") {
        let service = json!({"service": "demo.Greeter", "version": "1"});
        let client = connect(url, "stock-greeter", Some((service, Box::new(Greeter)))).await?;
        // Answered behind SETUP, which registers.
        ask(&client, "towline.Health.check", &()).await?;
        println!("ready");
        client.wait_for_close().await;
        return failure("the broker is gone");
    }
    call(&connect(url, "stock-requester", None).await?).await
}

async fn call(client: &Client) -> Result<()> {
    println!("greet: {}", ask(client, "demo.Greeter.greet:1", &["Ada"]).await?);

    // An `RSocketError`; its text holds the method's own error in JSON.
    match ask(client, "demo.Greeter.greet:1", &[""]).await {
        Ok(greeting) => println!("greet nobody: {greeting}"),
        Err(error) => println!("greet nobody: {error}"),
    }

    client.fire_and_forget(request("demo.Greeter.wave:1", &["Ada"])?).await?;
    println!("wave: sent");

    // rsocket_rust always asks for everything; dropping the stream cancels it.
    let numbers = client.request_stream(request("demo.Greeter.countDown:1", &[1_000])?);
    let numbers: Vec<Value> = values(numbers).take(3).try_collect().await?;
    println!("countDown: {}", json!(numbers));

    // The first payload of a channel holds the arguments, the others are the items.
    let names = [request("demo.Greeter.greetAll:1", &()), item("Ada"), item("Grace")];
    let greeting: Vec<Value> = values(client.request_channel(stream::iter(names).boxed())).try_collect().await?;
    println!("greetAll: {}", json!(greeting));

    let said = [request("demo.Greeter.chat:1", &["lobby"]), item("hi"), item("bye")];
    let heard: Vec<Value> = values(client.request_channel(stream::iter(said).boxed())).try_collect().await?;
    println!("chat: {}", json!(heard));
    Ok(())
}

fn values(answers: Flux<Result<Payload>>) -> Flux<Result<Value>> {
    answers.map(|answer| value(&answer?)).boxed()
}

struct Greeter;

#[async_trait]
impl RSocket for Greeter {
    async fn request_response(&self, request: Payload) -> Result<Option<Payload>> {
        match method(&request)?.as_str() {
            "greet" => greeting(&arguments::<(String,)>(&request)?.0).map(Some),
            other => unknown(other),
        }
    }

    async fn fire_and_forget(&self, request: Payload) -> Result<()> {
        if method(&request)? == "wave" {
            println!("waving at {}", arguments::<(String,)>(&request)?.0);
        }
        Ok(())
    }

    fn request_stream(&self, request: Payload) -> Flux<Result<Payload>> {
        match (method(&request).as_deref(), arguments::<(u32,)>(&request)) {
            (Ok("countDown"), Ok((from,))) => stream::iter((1..=from).rev())
                .then(async |number| {
                    // rsocket_rust goes on as long as a stream is ready: this lets it write what is there.
                    tokio::task::yield_now().await;
                    item(number)
                })
                .boxed(),
            (Ok("countDown"), Err(error)) => once(Err(error)),
            (other, _) => once(unknown(other.unwrap_or_default())),
        }
    }

    fn request_channel(&self, mut requests: Flux<Result<Payload>>) -> Flux<Result<Payload>> {
        let answers = async move {
            let Some(Ok(first)) = requests.next().await else { return stream::empty().boxed() };
            match (method(&first).as_deref(), arguments::<(String,)>(&first)) {
                (Ok("greetAll"), _) => once(
                    async {
                        let names: Vec<String> = requests.and_then(async |name| arguments(&name)).try_collect().await?;
                        greeting(&names.join(", "))
                    }
                    .await,
                ),
                (Ok("chat"), Ok((room,))) => {
                    requests.map(move |text| item(format!("[{room}] {}", arguments::<String>(&text?)?))).boxed()
                }
                (Ok("chat"), Err(error)) => once(Err(error)),
                (other, _) => once(unknown(other.unwrap_or_default())),
            }
        };
        stream::once(answers).flatten().boxed()
    }

    async fn metadata_push(&self, _: Payload) -> Result<()> {
        Ok(())
    }
}

fn greeting(names: &str) -> Result<Payload> {
    if names.is_empty() {
        // The method's own error, as Rust clients read it: `GreeterError::NameMissing`.
        return failure(json!({"code": "name-missing", "message": "who is to be greeted?"}).to_string());
    }
    item(json!({"text": format!("Hello {names}!"), "by": "stock rsocket_rust"}))
}

fn unknown<T>(method: &str) -> Result<T> {
    failure(format!("RST-201404: No service handler found: demo.Greeter.{method}"))
}

/// The arguments of a request, by position, or an item.
fn arguments<T: DeserializeOwned>(payload: &Payload) -> Result<T> {
    Ok(serde_json::from_value(value(payload)?)?)
}

fn once(answer: Result<Payload>) -> Flux<Result<Payload>> {
    stream::once(async { answer }).boxed()
}
