//! `demo.Greeter:1`, served by a Rust app.

use super::api::{Greeter, GreeterError, GreeterServer, Greeting};
use super::harness::*;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use towline_responder::{App, Serve, Streaming};
use towline_rsocket::FrameType;

struct Plain;

impl Greeter for Plain {
    async fn greet(&self, name: String) -> Result<Greeting, GreeterError> {
        Ok(Greeting { text: name, by: String::new() })
    }

    async fn wave(&self, _name: String) {}

    fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, GreeterError>> {
        stream::iter((1..=from).rev().map(Ok))
    }

    async fn greet_all(&self, names: Streaming<String>) -> Result<Greeting, GreeterError> {
        let names: Vec<_> =
            names.try_collect().await.map_err(|error| GreeterError::BrokenOff { why: error.message })?;
        Ok(Greeting { text: names.join(", "), by: String::new() })
    }

    fn chat(&self, _room: String, said: Streaming<String>) -> impl Stream<Item = Result<String, GreeterError>> {
        said.map(|text| text.map_err(|error| GreeterError::BrokenOff { why: error.message }))
    }
}

/// A broker, the app that serves it there, and a client.
pub(crate) async fn scene() -> (Broker, App, Peer) {
    let broker = Broker::start().await;
    let url = format!("tcp://{}", broker.address);
    let app = App::connect(url).serve(GreeterServer::new(Plain)).start().await.expect("the broker is there");
    let client = broker.client().await;
    (broker, app, client)
}

/// The next ERROR; a channel may be cancelled, or granted credit, before it.
pub(crate) async fn error(client: &mut Peer) -> (u32, String) {
    loop {
        let frame = client.awaiting("an ERROR").await;
        let view = frame.view();
        match view.kind() {
            FrameType::Error => return (view.error_code(), String::from_utf8_lossy(view.data()).into_owned()),
            FrameType::Cancel | FrameType::RequestN => {}
            kind => panic!("{kind:?} instead of an ERROR"),
        }
    }
}

/// The ERROR that a call in JSON gets.
pub(crate) async fn told(client: &mut Peer, route: &str, arguments: &str) -> (u32, String) {
    client.send(call(1, route, arguments.as_bytes())).await;
    client.expect_error(1).await
}
