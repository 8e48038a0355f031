//! The service, in Rust. Every stranger's program serves the same, by the calling convention, in JSON.

use futures::{Stream, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Mutex;
use towline_responder::{App, RpcError, Serve, Streaming, service};

#[service(name = "test.Probe", encoding = "json")]
pub(crate) trait Probe {
    /// The text as it came.
    async fn echo(&self, text: String) -> Result<String, RpcError>;
    async fn add(&self, a: i64, b: i64) -> Result<i64, RpcError>;
    async fn ping(&self) -> Result<(), RpcError>;
    /// Item 7; `null` for any other.
    async fn find(&self, id: u32) -> Result<Option<Item>, RpcError>;
    /// Fails: APPLICATION_ERROR with that text.
    async fn fail(&self, text: String) -> Result<String, RpcError>;
    #[rpc(oneway)]
    async fn note(&self, text: String);
    /// Every text noted so far.
    async fn notes(&self) -> Result<Vec<String>, RpcError>;
    /// From 1 to that number, each made when it is asked for.
    fn count(&self, to: u64) -> impl Stream<Item = Result<u64, RpcError>>;
    /// How many `count` are in progress.
    async fn running(&self) -> Result<u32, RpcError>;
    async fn sum(&self, numbers: Streaming<i64>) -> Result<i64, RpcError>;
    /// `<prefix>: <text>` for every text, at once.
    fn chat(&self, prefix: String, said: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>>;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub id: u32,
    pub name: String,
}

#[derive(Default)]
struct Served {
    notes: Mutex<Vec<String>>,
    running: Arc<AtomicU32>,
}

/// A stream in progress.
struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Probe for Served {
    async fn echo(&self, text: String) -> Result<String, RpcError> {
        Ok(text)
    }

    async fn add(&self, a: i64, b: i64) -> Result<i64, RpcError> {
        Ok(a + b)
    }

    async fn ping(&self) -> Result<(), RpcError> {
        Ok(())
    }

    async fn find(&self, id: u32) -> Result<Option<Item>, RpcError> {
        Ok((id == 7).then(|| Item { id, name: "seven".to_owned() }))
    }

    async fn fail(&self, text: String) -> Result<String, RpcError> {
        Err(RpcError::application(text))
    }

    async fn note(&self, text: String) {
        self.notes.lock().await.push(text);
    }

    async fn notes(&self) -> Result<Vec<String>, RpcError> {
        Ok(self.notes.lock().await.clone())
    }

    fn count(&self, to: u64) -> impl Stream<Item = Result<u64, RpcError>> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(self.running.clone());
        stream::iter(1..=to).map(move |number| {
            let _ = &running;
            Ok(number)
        })
    }

    async fn running(&self) -> Result<u32, RpcError> {
        Ok(self.running.load(Ordering::SeqCst))
    }

    async fn sum(&self, numbers: Streaming<i64>) -> Result<i64, RpcError> {
        numbers.try_fold(0, async |sum, number| Ok(sum + number)).await
    }

    fn chat(&self, prefix: String, said: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>> {
        said.map(move |text| Ok(format!("{prefix}: {}", text?)))
    }
}

/// An app that serves it on the broker there.
pub(crate) async fn serve(url: &str) -> App {
    App::connect(url)
        .name("probe")
        .serve(ProbeServer::new(Served::default()))
        .start()
        .await
        .expect("the broker is there")
}
