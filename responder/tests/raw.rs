//! The raw API: what a broker pushes.
#![cfg(feature = "raw")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rsocket_rust::prelude::{Flux, Payload, RSocket};
use rsocket_rust::{Result, async_trait};
use support::{routed, soon, start};
use tokio::sync::mpsc;
use towline_responder::ServiceKey;
use towline_responder::raw::ServeRaw;

/// Tells of what is pushed, and is never done with it unless that says so.
struct Slow(mpsc::Sender<String>);

#[async_trait]
impl RSocket for Slow {
    async fn metadata_push(&self, pushed: Payload) -> Result<()> {
        let text = pushed.metadata_utf8().unwrap().to_owned();
        let is_done = text == "done";
        self.0.send(text).await?;
        if is_done { Ok(()) } else { std::future::pending().await }
    }

    async fn fire_and_forget(&self, _: Payload) -> Result<()> {
        Ok(())
    }

    async fn request_response(&self, request: Payload) -> Result<Option<Payload>> {
        Ok(Some(request))
    }

    fn request_stream(&self, _: Payload) -> Flux<Result<Payload>> {
        unreachable!("nobody asks")
    }

    fn request_channel(&self, requests: Flux<Result<Payload>>) -> Flux<Result<Payload>> {
        requests
    }
}

#[tokio::test]
async fn pushed_metadata_is_handled_aside_and_up_to_a_bound() {
    let (told, mut hears) = mpsc::channel(1_000);
    let key = ServiceKey::new("", "test.Slow", "");
    let (_app, end) = start(|app| app.serve_raw(key, Slow(told))).await;
    for _ in 0..100 {
        end.connection.metadata_push("done".into());
        assert_eq!(soon(hears.recv()).await.unwrap(), "done");
    }
    for n in 0..100 {
        end.connection.metadata_push(n.to_string().into());
    }
    // Nothing waits for a push: this is answered behind all of them.
    end.ask(routed("test.Slow.any"), "alive").await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < 64 {
        taken.push(soon(hears.recv()).await.unwrap().parse::<u32>().unwrap());
    }
    taken.sort_unstable();
    assert_eq!(taken, (0..64).collect::<Vec<_>>());
    end.ask(routed("test.Slow.any"), "alive").await.unwrap();
    assert!(hears.try_recv().is_err(), "more are dropped");
}
