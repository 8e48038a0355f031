//! Serves `demo.Greeter`: `cargo run --example greeter-responder`, with a broker running (`cargo run`).

mod api;
mod common;

use api::{Greeter, GreeterError, GreeterServer, Greeting};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use towline_responder::{App, RpcError, Serve, Streaming};

struct Plain {
    /// Told apart from other instances by this.
    by: String,
}

impl Plain {
    fn greeting(&self, names: &str) -> Result<Greeting, GreeterError> {
        if names.is_empty() {
            return Err(GreeterError::NameMissing);
        }
        Ok(Greeting { text: format!("Hello {names}!"), by: self.by.clone() })
    }
}

impl Greeter for Plain {
    async fn greet(&self, name: String) -> Result<Greeting, GreeterError> {
        self.greeting(&name)
    }

    async fn wave(&self, name: String) {
        println!("waving at {name}");
    }

    fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, GreeterError>> {
        let limit = 1_000_000;
        // Made one by one, as the caller reads them.
        let numbers = stream::iter((1..=from.min(limit)).rev().map(Ok));
        let error = (from > limit).then_some(Err(GreeterError::TooFar { from, limit }));
        stream::iter(error).chain(numbers)
    }

    async fn greet_all(&self, names: Streaming<String>) -> Result<Greeting, GreeterError> {
        let names: Vec<String> = names.try_collect().await.map_err(broken_off)?;
        self.greeting(&names.join(", "))
    }

    fn chat(&self, room: String, said: Streaming<String>) -> impl Stream<Item = Result<String, GreeterError>> {
        said.map(move |text| Ok(format!("[{room}] {}", text.map_err(broken_off)?)))
    }
}

fn broken_off(error: RpcError) -> GreeterError {
    GreeterError::BrokenOff { why: error.message }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let by = format!("greeter {}", std::process::id());
    let app =
        App::connect(common::broker()).name("greeter").serve(GreeterServer::new(Plain { by })).start_detached()?;
    if app.wait_connected().await {
        println!("ready");
    }
    common::stopped().await?;
    app.close().await;
    Ok(())
}
