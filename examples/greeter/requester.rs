//! Calls `demo.Greeter` in every shape: `cargo run --example greeter-requester`, with a broker and a responder running.
//! With `--loop` it calls once a second and prints `ok` or `error <code> <text>`; with `--json` it calls in JSON, which
//! responders in any language read.

mod api;
mod common;

use std::time::Duration;

use api::GreeterClient;
use futures::{StreamExt, TryStreamExt, stream};
use towline_requester::{App, CallError, Encoding};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let app = App::connect(common::broker()).name("greeter-requester").start_detached()?;
    if app.wait_connected().await {
        println!("ready");
    }
    let mut greeter = app.client::<GreeterClient>();
    if std::env::args().any(|argument| argument == "--json") {
        greeter = greeter.with_encoding(Encoding::Json);
    }
    if std::env::args().any(|argument| argument == "--loop") {
        tokio::select! {
            () = call_for_ever(&greeter) => {}
            stopped = common::stopped() => stopped?,
        }
    } else {
        every_shape(&greeter).await?;
    }
    app.close().await;
    Ok(())
}

async fn every_shape(greeter: &GreeterClient) -> Result<(), Box<dyn std::error::Error>> {
    let greeting = greeter.greet("Ada".to_owned()).timeout(Duration::from_millis(500)).await?;
    println!("greet: {} (by {})", greeting.text, greeting.by);

    // The method's own error is a value of its own type; everything else is `CallError::Rpc`.
    match greeter.greet(String::new()).await {
        Err(CallError::App(error)) => println!("greet nobody: {error:?}"),
        other => println!("greet nobody: {other:?}"),
    }

    greeter.wave("Ada".to_owned()).await?;
    println!("wave: sent");

    // A long stream, of which only the beginning is asked for and sent.
    let numbers: Vec<u32> = greeter.count_down(1_000).prefetch(4).start().take(3).try_collect().await?;
    println!("count_down: {numbers:?}");

    let names = stream::iter(["Ada", "Grace"]).map(str::to_owned);
    println!("greet_all: {}", greeter.greet_all(names).await?.text);

    let said = stream::iter(["hi", "bye"]).map(str::to_owned);
    let mut heard = greeter.chat("lobby".to_owned(), said).start();
    while let Some(text) = heard.try_next().await? {
        println!("chat: {text}");
    }
    Ok(())
}

/// One line per call.
async fn call_for_ever(greeter: &GreeterClient) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        match greeter.greet("Ada".to_owned()).await {
            Ok(_) => println!("ok"),
            Err(CallError::App(error)) => println!("error 0x201 {error}"),
            Err(CallError::Rpc(error)) => println!("error {:#05x} {}", error.code, error.message),
        }
    }
}
