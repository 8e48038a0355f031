//! A service of every shape, whose handlers count themselves and wait for the test.

use super::harness::SOON;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout};
use towline_responder::{App, AppBuilder, Handling, RpcError, Serve, ServiceError, Streaming, service};

#[service(name = "test.Desk", version = "1")]
pub(crate) trait Desk {
    /// The name of the instance.
    #[rpc(idempotent, retry(max = 3, backoff = "10ms..200ms"))]
    async fn who(&self) -> Result<String, RpcError>;
    /// Of numbers below 100.
    async fn double(&self, number: u64) -> Result<u64, DeskError>;
    #[rpc(oneway)]
    async fn note(&self, text: String);
    /// From one to that number; for ever if there is none.
    fn count(&self, to: Option<u64>) -> impl Stream<Item = Result<u64, DeskError>>;
    async fn sum(&self, numbers: Streaming<u64>) -> Result<u64, DeskError>;
    fn echo(&self, prefix: String, said: Streaming<String>) -> impl Stream<Item = Result<String, DeskError>>;
    /// Answers once the test lets it.
    async fn wait(&self) -> Result<String, RpcError>;
    /// Reads nothing before the test lets it.
    async fn sum_late(&self, numbers: Streaming<u64>) -> Result<u64, DeskError>;
}

#[derive(Debug, PartialEq, Eq, thiserror::Error, ServiceError)]
pub(crate) enum DeskError {
    #[error("{number} is too large: {limit} at most")]
    TooLarge { number: u64, limit: u64 },
    #[error("broken off: {why}")]
    BrokenOff { why: String },
}

/// What a test knows of an instance, and lets it do.
pub(crate) struct Clerk {
    name: String,
    /// Handlers at work in `wait`, `sum_late` and `count`.
    pub running: watch::Sender<usize>,
    /// Items made by `count`.
    pub made: watch::Sender<u64>,
    /// One permit for each answer of `wait` and `sum_late`.
    pub may: Semaphore,
    /// When the request that came last is to be answered.
    pub deadline: watch::Sender<Option<Instant>>,
    notes: mpsc::Sender<String>,
}

/// A handler at work.
struct Running(Arc<Clerk>);

impl Clerk {
    pub(crate) fn new(name: &str) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (notes, noted) = mpsc::channel(8);
        let clerk = Self {
            name: name.to_owned(),
            running: watch::Sender::new(0),
            made: watch::Sender::new(0),
            may: Semaphore::new(0),
            deadline: watch::Sender::new(None),
            notes,
        };
        (Arc::new(clerk), noted)
    }

    fn run(self: &Arc<Self>) -> Running {
        self.deadline.send_replace(Handling::deadline());
        self.running.send_modify(|running| *running += 1);
        Running(self.clone())
    }

    /// Waits until so many handlers are at work.
    pub(crate) async fn runs(&self, handlers: usize) {
        let mut running = self.running.subscribe();
        let reached = timeout(SOON, running.wait_for(|running| *running == handlers)).await.is_ok();
        assert!(reached, "{} handlers are at work, not {handlers}", *self.running.borrow());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl Desk for Arc<Clerk> {
    async fn who(&self) -> Result<String, RpcError> {
        Ok(self.name.clone())
    }

    async fn double(&self, number: u64) -> Result<u64, DeskError> {
        if number < 100 { Ok(2 * number) } else { Err(DeskError::TooLarge { number, limit: 99 }) }
    }

    async fn note(&self, text: String) {
        self.notes.send(text).await.expect("the test listens");
    }

    fn count(&self, to: Option<u64>) -> impl Stream<Item = Result<u64, DeskError>> {
        let running = self.run();
        stream::iter(1..=to.unwrap_or(u64::MAX)).map(move |number| {
            running.0.made.send_modify(|made| *made += 1);
            Ok(number)
        })
    }

    async fn sum(&self, numbers: Streaming<u64>) -> Result<u64, DeskError> {
        numbers.try_fold(0, async |sum, number| Ok(sum + number)).await.map_err(broken_off)
    }

    fn echo(&self, prefix: String, said: Streaming<String>) -> impl Stream<Item = Result<String, DeskError>> {
        said.map(move |text| Ok(format!("{prefix}: {}", text.map_err(broken_off)?)))
    }

    async fn wait(&self) -> Result<String, RpcError> {
        let _running = self.run();
        self.may.acquire().await.expect("it is never closed").forget();
        Ok(self.name.clone())
    }

    async fn sum_late(&self, numbers: Streaming<u64>) -> Result<u64, DeskError> {
        let _running = self.run();
        self.may.acquire().await.expect("it is never closed").forget();
        self.sum(numbers).await
    }
}

fn broken_off(error: RpcError) -> DeskError {
    DeskError::BrokenOff { why: error.message }
}

/// An app of the broker there.
pub(crate) fn app(address: &str) -> AppBuilder {
    App::connect(format!("tcp://{address}"))
}

/// An instance of the service on the broker there.
pub(crate) async fn serve(address: &str, name: &str) -> (App, Arc<Clerk>) {
    let (clerk, _) = Clerk::new(name);
    (app(address).serve(DeskServer::new(clerk.clone())).start().await.expect("the broker takes apps"), clerk)
}

/// An app that only calls.
pub(crate) async fn call(address: &str) -> (App, DeskClient) {
    let app = app(address).start().await.expect("the broker takes apps");
    let desk = app.client();
    (app, desk)
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it comes soon")
}

/// Whatever runs in here ends at once when this is killed, sockets and all.
pub(crate) struct Apart(Option<Runtime>);

impl Apart {
    pub(crate) fn new() -> Self {
        Self(Some(Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread")))
    }

    pub(crate) async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.0.as_ref().expect("it is alive").spawn(future).await.expect("no panic")
    }

    pub(crate) fn kill(mut self) {
        self.0.take().expect("it is alive").shutdown_background();
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // A test that fails is inside another runtime, where this one cannot be waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
