//! An `RSocket` of the crate `rsocket_rust`, as one finds them: it knows no broker, and reads the method itself.

use super::desk::app;
use super::harness::SOON;
use bytes::BytesMut;
use futures::{StreamExt, future, stream};
use rsocket_rust::error::RSocketError;
use rsocket_rust::extension::{CompositeMetadata, MimeType, RoutingMetadata};
use rsocket_rust::prelude::{Flux, Payload, RSocket};
use rsocket_rust::{Result, async_trait};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use towline_responder::raw::ServeRaw;
use towline_responder::{App, Handling, ServiceKey};

/// What a test knows of the instance, and lets it do.
pub(crate) struct Legacy {
    /// Answers in progress.
    pub running: watch::Sender<usize>,
    /// Items made by `count`, failures by `fail`.
    pub made: watch::Sender<u64>,
    /// Lets `late` read.
    pub may: Semaphore,
    told: mpsc::Sender<Payload>,
    /// For requests it passes on.
    behind: Option<Arc<dyn RSocket>>,
}

/// An answer in progress.
struct Running(Arc<Legacy>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

impl Legacy {
    pub(crate) fn new(behind: Option<Arc<dyn RSocket>>) -> (Arc<Self>, mpsc::Receiver<Payload>) {
        let (told, hears) = mpsc::channel(8);
        let (running, made) = (watch::Sender::new(0), watch::Sender::new(0));
        (Arc::new(Self { running, made, may: Semaphore::new(0), told, behind }), hears)
    }

    /// Serves it as `test.Legacy` on the broker there.
    pub(crate) async fn serve(self: &Arc<Self>, address: &str) -> App {
        let key = ServiceKey::new("", "test.Legacy", "");
        app(address).serve_raw(key, Served(self.clone())).start().await.expect("the broker takes apps")
    }

    fn run(self: &Arc<Self>) -> Running {
        self.running.send_modify(|running| *running += 1);
        Running(self.clone())
    }

    /// Waits until so many answers are in progress.
    pub(crate) async fn runs(&self, answers: usize) {
        let mut running = self.running.subscribe();
        let reached = timeout(SOON, running.wait_for(|running| *running == answers)).await.is_ok();
        assert!(reached, "{} answers are in progress, not {answers}", *self.running.borrow());
    }
}

struct Served(Arc<Legacy>);

/// What follows the last dot of the route.
fn method(request: &Payload) -> String {
    named(request).unwrap_or_default()
}

fn named(request: &Payload) -> Option<String> {
    let metadata = CompositeMetadata::decode(&mut BytesMut::from(&request.metadata()?[..])).ok()?;
    let routing = metadata.iter().find(|entry| *entry.get_mime_type() == MimeType::MESSAGE_X_RSOCKET_ROUTING_V0)?;
    let tags = RoutingMetadata::decode(&mut BytesMut::from(&routing.get_metadata()[..])).ok()?;
    Some(tags.get_tags().first()?.rsplit_once('.')?.1.to_owned())
}

/// The error that this data asks for: `<code> <text>`.
pub(crate) fn error(data: &str) -> RSocketError {
    let (code, text) = data.split_once(' ').unwrap_or(("513", data));
    towline_responder::raw::raw_error(code.parse().expect("a number"), text.to_owned())
}

#[async_trait]
impl RSocket for Served {
    async fn metadata_push(&self, request: Payload) -> Result<()> {
        Ok(self.0.told.send(request).await?)
    }

    async fn fire_and_forget(&self, request: Payload) -> Result<()> {
        Ok(self.0.told.send(request).await?)
    }

    async fn request_response(&self, request: Payload) -> Result<Option<Payload>> {
        match method(&request).as_str() {
            "echo" => Ok(Some(request)),
            "bare" => Ok(Some(Payload::new(request.split().0, None))),
            "none" => Ok(None),
            "fail" => {
                self.0.made.send_modify(|made| *made += 1);
                Err(error(request.data_utf8().unwrap_or_default()).into())
            }
            "other" => Err(std::io::Error::other("an error of its own").into()),
            "hang" => {
                let _running = self.0.run();
                future::pending().await
            }
            "left" => Ok(Handling::deadline().map(|_| request)),
            "forward" => {
                let behind = self.0.behind.as_ref().expect("there is one behind it");
                behind.request_response(Payload::new(request.split().0, None)).await
            }
            other => Err(RSocketError::RequestInvalid(format!("no method {other:?}")).into()),
        }
    }

    fn request_stream(&self, request: Payload) -> Flux<Result<Payload>> {
        let data = request.data_utf8().unwrap_or_default().to_owned();
        match method(&request).as_str() {
            "count" => {
                let running = self.0.run();
                let to: u64 = data.trim_matches(['[', ']']).parse().expect("a number");
                Box::pin(stream::iter(1..=to).map(move |number| {
                    running.0.made.send_modify(|made| *made += 1);
                    Ok(Payload::builder().set_data_utf8(&number.to_string()).build())
                }))
            }
            "fail" => Box::pin(stream::iter([Ok(request), Err(error(&data).into()), Ok(Payload::from("too much"))])),
            _ => Box::pin(stream::iter([Ok(request.clone()), Ok(request)])),
        }
    }

    fn request_channel(&self, requests: Flux<Result<Payload>>) -> Flux<Result<Payload>> {
        let legacy = self.0.clone();
        Box::pin(stream::once(dispatch(legacy, requests)).flatten())
    }
}

async fn dispatch(legacy: Arc<Legacy>, mut requests: Flux<Result<Payload>>) -> Flux<Result<Payload>> {
    let Some(Ok(first)) = requests.next().await else { return Box::pin(stream::empty()) };
    let running = legacy.run();
    let said: Flux<Result<Payload>> = match method(&first).as_str() {
        // The request is one of its items.
        "echo" => Box::pin(stream::iter([Ok(first)]).chain(requests)),
        // The request holds arguments.
        "talk" => requests,
        "late" => {
            legacy.may.acquire().await.expect("it is never closed").forget();
            requests
        }
        "deaf" => {
            drop(requests);
            Box::pin(stream::iter([Ok(Payload::from("deaf"))]).chain(stream::pending()))
        }
        other => panic!("no method {other:?}"),
    };
    Box::pin(said.inspect(move |_| {
        let _ = &running;
    }))
}
