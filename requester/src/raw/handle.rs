use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use rsocket_rust::async_trait;
use rsocket_rust::prelude::{Flux, Payload as RawPayload, RSocket};
use towline_rsocket::engine::Payload;
use towline_rsocket::frame::MAX_FRAME;
use towline_rsocket::metadata::{Mime, mime};
use towline_service_api::{CallOptions, Delivery, RpcError};

use super::translate::{from_raw, raw_error, result_from_raw, to_raw};
use crate::app::App;
use crate::caller::Core;
use crate::handling::Handling;
use crate::metadata::{entry, write_deadline, write_tags};
use crate::request::Request;
use crate::sending::{Kind, Sending};
use crate::stream::answers;

/// Header of METADATA_PUSH.
const PUSH_HEADER: usize = 6;

/// Calls with whole payloads: an `RSocket` of the crate `rsocket_rust`, over the connections of an [`App`]. Clones are
/// handles to the same app.
///
/// **Metadata.** [`App::raw`] sends it as it is: composite (that is the app's type), with a routing entry of its own.
/// [`App::raw_to`] puts entries for routing, the deadline and (if given) the type of the data before the payload's own,
/// which may have none. The broker appends the type of the data where there is none: `application/x-msgpack`, an app's
/// type. Answers come with the metadata they were sent with.
///
/// **Credit.** Of a `Flux` of answers, at most `prefetch` (64 unless given) are on their way or waiting here; more are
/// asked for as they are read. Items of a channel are taken from its `Flux` as the other side asks for them, but for the
/// first: that one is the request. A `Flux` without any sends nothing and has no answers.
///
/// **Sending.** A request is sent when its future or `Flux` is first polled; dropping that cancels it. It waits for a
/// connection and is sent again as any call is, see [`AppCaller`](crate::AppCaller). An answer is waited for as long as
/// the app's timeout (10 s) unless the options say otherwise; a `Flux` for ever, or for the longest silence the options
/// allow. Within a handler, neither longer than its request's deadline. Then the error is `RequestCancelled`,
/// `deadline exceeded`.
///
/// **Errors** are `RSocketError`s with the code and text that came. `ConnectionClosed` is a request no connection took,
/// `ConnectionException` one whose connection was lost on the way.
#[derive(Clone)]
pub struct Raw {
    core: Arc<Core>,
    route: Option<Arc<str>>,
    data_mime: Option<Arc<str>>,
    options: CallOptions,
}

/// A payload on its way.
struct RawRequest {
    payload: Payload,
    route: Option<Arc<str>>,
    data_mime: Option<Arc<str>>,
    options: CallOptions,
}

impl App {
    /// The raw API: payloads that say themselves where they go.
    pub fn raw(&self) -> Raw {
        let core = Arc::clone(self.core());
        Raw { core, route: None, data_mime: None, options: CallOptions::default() }
    }

    /// The raw API for one method: `[group!]service.method[:version]`.
    pub fn raw_to(&self, route: impl Into<Arc<str>>) -> Raw {
        Raw { route: Some(route.into()), ..self.raw() }
    }
}

impl Raw {
    /// Says of what type the data is, such as `application/json`: 1 to 128 characters.
    #[must_use]
    pub fn with_data_mime(self, mime: impl Into<Arc<str>>) -> Self {
        Self { data_mime: Some(mime.into()), ..self }
    }

    /// How to send. What says which instance (`tags`, `endpoint`, `key`, `sticky`) counts with a route only.
    #[must_use]
    pub fn with_options(self, options: CallOptions) -> Self {
        Self { options, ..self }
    }

    fn sending(&self, payload: RawPayload, kind: Kind) -> Sending<RawRequest> {
        let Self { core, route, data_mime, options } = self.clone();
        Sending::new(core, RawRequest { payload: from_raw(payload), route, data_mime, options }, kind)
    }
}

#[async_trait]
impl RSocket for Raw {
    /// Pushes the metadata, as it is, to every broker that is connected; data is not sent. Errors: there is no
    /// broker, no metadata, or so much that it does not fit a frame (16 MiB).
    async fn metadata_push(&self, request: RawPayload) -> rsocket_rust::Result<()> {
        let Some(metadata) = request.metadata().filter(|metadata| metadata.len() <= MAX_FRAME - PUSH_HEADER) else {
            return failed(RpcError::invalid("METADATA_PUSH needs metadata that fits one frame"));
        };
        let links = self.core.pool.all();
        let usable = links.iter().filter(|link| link.signals.is_usable());
        let pushed = usable.inspect(|link| link.connection.metadata_push(metadata.clone())).count();
        if pushed > 0 { Ok(()) } else { failed(RpcError::not_connected("no broker is connected")) }
    }

    async fn fire_and_forget(&self, request: RawPayload) -> rsocket_rust::Result<()> {
        self.sending(request, Kind::OneWay).one_way().await.inspect_err(Handling::note).or_else(failed)
    }

    async fn request_response(&self, request: RawPayload) -> rsocket_rust::Result<Option<RawPayload>> {
        let answer = self.sending(request, Kind::Unary).unary().await.inspect_err(Handling::note);
        answer.map(|answer| answer.map(to_raw)).or_else(failed)
    }

    fn request_stream(&self, request: RawPayload) -> Flux<rsocket_rust::Result<RawPayload>> {
        let raw = self.clone();
        // Made at the first poll: then the deadline of the handler it is part of is known.
        async move { flux(answers(raw.sending(request, Kind::Stream), None)) }.flatten_stream().boxed()
    }

    fn request_channel(
        &self,
        mut items: Flux<rsocket_rust::Result<RawPayload>>,
    ) -> Flux<rsocket_rust::Result<RawPayload>> {
        let raw = self.clone();
        let opening = async move {
            match items.next().await {
                None => stream::empty().boxed(),
                Some(Err(error)) => stream::once(async { Err(error) }).boxed(),
                Some(Ok(first)) => {
                    let items = items.map(|item| result_from_raw(item).map(from_raw)).boxed();
                    flux(answers(raw.sending(first, Kind::Stream), Some(items)))
                }
            }
        };
        opening.flatten_stream().boxed()
    }
}

fn flux(answers: BoxStream<'static, Result<Payload, RpcError>>) -> Flux<rsocket_rust::Result<RawPayload>> {
    answers.map(|answer| answer.map(to_raw).or_else(failed)).boxed()
}

fn failed<T>(error: RpcError) -> rsocket_rust::Result<T> {
    let code = match (error.code, error.delivery) {
        (RpcError::CONNECTION_CLOSED, Delivery::Maybe) => CONNECTION_ERROR,
        (code, _) => code,
    };
    Err(raw_error(code, error.message).into())
}

/// What is lost with a connection.
const CONNECTION_ERROR: u32 = 0x101;

impl Request for RawRequest {
    type Answer = Payload;

    fn options(&self) -> &CallOptions {
        &self.options
    }

    fn write(&self, left: Option<Duration>) -> Result<Payload, RpcError> {
        let mut added = BytesMut::new();
        if let Some(route) = &self.route {
            entry(&mut added, mime::ROUTING, |out| write_tags(out, &[route], &self.options))?;
            write_deadline(&mut added, left);
        }
        if let Some(data_mime) = &self.data_mime {
            if !(1..=128).contains(&data_mime.len()) {
                let text = format!("{data_mime:?} is no MIME type: 1 to 128 characters");
                return Err(RpcError { delivery: Delivery::NotDelivered, ..RpcError::invalid(text) });
            }
            entry(&mut added, mime::MESSAGE_MIME, |out| {
                Mime::named(data_mime).write(out);
                Ok(())
            })?;
        }
        let Payload { metadata, data } = self.payload.clone();
        if added.is_empty() {
            return Ok(Payload { metadata, data });
        }
        added.put(metadata.unwrap_or_else(Bytes::new));
        Ok(Payload { metadata: Some(added.freeze()), data })
    }

    fn read(answer: Payload) -> Result<Payload, RpcError> {
        Ok(answer)
    }

    fn target(&self) -> String {
        self.route.as_deref().unwrap_or("where its metadata says").to_owned()
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core, route, data_mime, options } = self;
        f.debug_struct("Raw")
            .field("state", &core.pool.state())
            .field("route", route)
            .field("data_mime", data_mime)
            .field("options", options)
            .finish()
    }
}
