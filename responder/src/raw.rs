//! The raw API: serves what implements `RSocket` of the crate `rsocket_rust`. Behind the feature `raw`.
//!
//! ```
//! use rsocket_rust::prelude::{Flux, Payload, RSocket};
//! use rsocket_rust::{Result, async_trait, error::RSocketError, stream};
//! use towline_responder::{App, ServiceKey, raw::ServeRaw};
//!
//! /// Written for rsocket_rust; nothing in it knows of a broker.
//! struct Legacy;
//!
//! #[async_trait]
//! impl RSocket for Legacy {
//!     async fn metadata_push(&self, _: Payload) -> Result<()> {
//!         Ok(())
//!     }
//!     async fn fire_and_forget(&self, _: Payload) -> Result<()> {
//!         Ok(())
//!     }
//!     async fn request_response(&self, request: Payload) -> Result<Option<Payload>> {
//!         match request.data() {
//!             Some(_) => Ok(Some(request)),
//!             None => Err(RSocketError::RequestInvalid("nothing to echo".to_owned()).into()),
//!         }
//!     }
//!     fn request_stream(&self, request: Payload) -> Flux<Result<Payload>> {
//!         Box::pin(stream! { yield Ok(request); })
//!     }
//!     fn request_channel(&self, requests: Flux<Result<Payload>>) -> Flux<Result<Payload>> {
//!         requests
//!     }
//! }
//!
//! # async fn f() -> std::result::Result<(), Box<dyn std::error::Error>> {
//! let key = ServiceKey::new("", "com.acme.Legacy", "1");
//! let app = App::connect("rsocket://127.0.0.1:9999").name("legacy").serve_raw(key, Legacy).start().await?;
//! app.closed().await;
//! # Ok(())
//! # }
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use rsocket_rust::prelude::{Flux, Payload as RawPayload, RSocket};
use tokio::sync::Semaphore;
use towline_requester::AppBuilder;
pub use towline_requester::raw::*;
use towline_rsocket::StreamError;
use towline_rsocket::engine::{Inbound, Item, Payload, Responder};
use towline_service_api::ServiceKey;

use crate::serve::Serve;

/// Pushes of metadata one service may be at work with; more are dropped, as nobody waits for them.
const PUSHES: usize = 64;

/// Lets an app serve an `RSocket`: `App::connect(..).serve_raw(ServiceKey::new("", "com.acme.Legacy", "1"), Legacy)`.
pub trait ServeRaw {
    /// Serves this, too, under a name: it gets every request of the service as it came, its metadata (routing included)
    /// and data untouched, and all metadata the broker pushes. Two services with one key are an error when the app starts.
    ///
    /// **Credit.** A `Flux` of answers is polled only as far as the requester has asked; one whose next item nobody asked
    /// for is polled only if its `size_hint` says there is none. The `Flux` of a channel begins with the request; what
    /// follows is asked for as it is polled, at most 64 items ahead (`Config::prefetch`). Dropping it stops the
    /// requester's items, and only those.
    ///
    /// **Ends.** What the requester cancels, or whose requester is gone, is dropped. The first error ends a stream; an
    /// `RSocketError` of a stream keeps its code and text, any other is APPLICATION_ERROR with what it displays.
    ///
    /// It is called at its first poll, by the task that reads the connection, within the request's
    /// [`Handling`](towline_requester::Handling): it must not block, and calls it makes inherit the deadline.
    fn serve_raw(self, key: ServiceKey, rsocket: impl RSocket + 'static) -> Self;
}

impl ServeRaw for AppBuilder {
    fn serve_raw(self, key: ServiceKey, rsocket: impl RSocket + 'static) -> Self {
        self.serve_payloads(key, RawService { rsocket: Arc::new(rsocket), pushes: Arc::new(Semaphore::new(PUSHES)) })
    }
}

struct RawService<R> {
    rsocket: Arc<R>,
    pushes: Arc<Semaphore>,
}

impl<R: RSocket + 'static> RawService<R> {
    fn stream(
        &self,
        answer: impl FnOnce(&R) -> Flux<rsocket_rust::Result<RawPayload>> + Send + Unpin + 'static,
    ) -> BoxStream<'static, Item> {
        let rsocket = Arc::clone(&self.rsocket);
        let answers = Answers { ask: Some(move || answer(&rsocket)), answers: None };
        answers.map(|item| result_from_raw(item).map(from_raw)).boxed()
    }
}

impl<R: RSocket + 'static> Responder for RawService<R> {
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        let rsocket = Arc::clone(&self.rsocket);
        async move {
            if let Err(error) = rsocket.fire_and_forget(to_raw(request)).await {
                tracing::debug!(%error, "a one-way request failed");
            }
        }
        .boxed()
    }

    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        let rsocket = Arc::clone(&self.rsocket);
        async move { Ok(result_from_raw(rsocket.request_response(to_raw(request)).await)?.map(from_raw)) }.boxed()
    }

    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        self.stream(move |rsocket| rsocket.request_stream(to_raw(request)))
    }

    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        self.stream(move |rsocket| {
            let items = items.map(|item| match item {
                Ok(item) => Ok(to_raw(item)),
                Err(error) => Err(raw_error(error.code.0, error.message).into()),
            });
            rsocket.request_channel(stream::once(async { Ok(to_raw(first)) }).chain(items).boxed())
        })
    }

    fn metadata_push(&self, metadata: Bytes) {
        let Ok(at_work) = Arc::clone(&self.pushes).try_acquire_owned() else {
            tracing::debug!("pushed metadata was dropped: {PUSHES} pushes are being handled");
            return;
        };
        let rsocket = Arc::clone(&self.rsocket);
        tokio::spawn(async move {
            if let Err(error) = rsocket.metadata_push(RawPayload::new(None, Some(metadata))).await {
                tracing::debug!(%error, "pushed metadata was not taken");
            }
            drop(at_work);
        });
    }
}

/// A `Flux` that is asked for at its first poll, where the request's `Handling` is.
struct Answers<A> {
    ask: Option<A>,
    answers: Option<Flux<rsocket_rust::Result<RawPayload>>>,
}

impl<A: FnOnce() -> Flux<rsocket_rust::Result<RawPayload>> + Unpin> Stream for Answers<A> {
    type Item = rsocket_rust::Result<RawPayload>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(ask) = self.ask.take() {
            self.answers = Some(ask());
        }
        self.answers.as_mut().map_or(Poll::Ready(None), |answers| answers.poll_next_unpin(cx))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.answers.as_ref().map_or((0, None), Stream::size_hint)
    }
}
