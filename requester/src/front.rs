use std::sync::Arc;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use serde::Deserialize;
use towline_rsocket::engine::{Inbound, Item, Payload, Replier, Responder};
use towline_rsocket::metadata::{Composite, mime};
use towline_rsocket::{ErrorCode, StreamError};

use crate::link::Signals;
use crate::pool::Pool;

/// The event by which a broker asks to be left.
const DRAIN: &str = "towline.drain";

/// Stands between one connection and what the app answers with: heeds the broker's events, and refuses requests while
/// the app closes.
pub(crate) struct Front {
    pub(crate) pool: Arc<Pool>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) responder: Arc<dyn Responder>,
}

/// What an app that serves nothing answers with.
pub(crate) struct NoServices;

impl Responder for NoServices {}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

impl Front {
    fn refusal(&self) -> Option<StreamError> {
        // Says what REJECTED means anyway: not delivered.
        self.pool.is_closing().then(|| StreamError::new(ErrorCode::REJECTED, "this app is closing"))
    }
}

impl Responder for Front {
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        // Nobody would learn of a refusal: it is still taken.
        self.responder.fire_and_forget(request)
    }

    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        match self.refusal() {
            Some(error) => future::ready(Err(error)).boxed(),
            None => self.responder.request_response(request),
        }
    }

    fn answer(&self, request: Payload, replier: Replier) {
        match self.refusal() {
            Some(error) => replier.run(future::ready(Err(error)).boxed()),
            None => self.responder.answer(request, replier),
        }
    }

    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        match self.refusal() {
            Some(error) => stream::once(future::ready(Err(error))).boxed(),
            None => self.responder.request_stream(request),
        }
    }

    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        match self.refusal() {
            Some(error) => stream::once(future::ready(Err(error))).boxed(),
            None => self.responder.request_channel(first, items),
        }
    }

    fn metadata_push(&self, metadata: Bytes) {
        if is_drain(&metadata) {
            self.signals.drain();
            self.pool.recount();
        } else {
            self.responder.metadata_push(metadata);
        }
    }
}

/// A CloudEvent in JSON: bare, or as an entry of composite metadata.
fn is_drain(metadata: &[u8]) -> bool {
    let event = match metadata.first() {
        Some(b'{') => Some(metadata),
        _ => Composite::new(metadata).find(mime::CLOUDEVENTS_JSON),
    };
    let event = event.and_then(|event| serde_json::from_slice::<Event<'_>>(event).ok());
    event.is_some_and(|event| event.kind.eq_ignore_ascii_case(DRAIN))
}
