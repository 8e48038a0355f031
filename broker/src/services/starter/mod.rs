//! What the Java starters call on their broker (wire-contract.md 2.9), in their own encoding: on a link of their own, by
//! the raw engine, because `#[service]` speaks no Hessian.

mod health;
pub(super) mod hessian;

use crate::relay::CALLER_MIME;
use crate::routing::Routes;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use health::Health;
use rsocket::engine::{ClientSetup, Config, Connection, Payload, Responder, connect};
use rsocket::metadata::routing::Tags;
use rsocket::metadata::{Composite, CompositeBuilder, Mime, mime};
use rsocket::transport::Transport;
use rsocket::{ErrorCode, StreamError};
use serde::Deserialize;
use std::sync::Arc;
use towline_service_api::Encoding;

/// Serves all of it over this transport.
pub(super) fn mount(transport: Arc<dyn Transport>, routes: Arc<Routes>) -> Connection {
    let registry = format!(r#"{{"published":[{{"service":"{}"}}]}}"#, health::SERVICE);
    let app = br#"{"name":"towline.starter","uuid":"towline.starter-----------------"}"#;
    let metadata = CompositeBuilder::new()
        .entry(mime::APPLICATION, app)
        .entry(mime::SERVICE_REGISTRY, registry.as_bytes())
        .finish();
    let setup = ClientSetup {
        metadata_mime: mime::COMPOSITE.name().expect("a known type").to_owned(),
        data_mime: mime::HESSIAN.name().expect("a known type").to_owned(),
        metadata: Some(metadata.freeze()),
        data: bytes::Bytes::new(),
    };
    connect(transport, setup, Arc::new(Starter { health: Health::new(routes) }), Config::default())
}

/// Answers what the starters ask.
struct Starter {
    health: Health,
}

/// How a request or its answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Hessian,
    Other(Encoding),
}

impl Form {
    fn of(mime: Mime<'_>) -> Option<Self> {
        if mime == mime::HESSIAN {
            return Some(Self::Hessian);
        }
        mime.name().and_then(Encoding::from_mime).map(Self::Other)
    }

    fn mime(self) -> Mime<'static> {
        match self {
            Self::Hessian => mime::HESSIAN,
            Self::Other(encoding) => Mime::named(encoding.mime()),
        }
    }
}

/// A request, read.
struct Call<'a> {
    /// `service.method`
    route: &'a str,
    form: Form,
    /// The answer is in the type of the caller's SETUP if that is Hessian, whatever the request is in.
    answer: Form,
}

/// What the broker adds of the caller.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Caller {
    data_mime: String,
}

impl<'a> Call<'a> {
    fn read(metadata: &'a [u8]) -> Result<Self, StreamError> {
        let invalid = |text: &str| StreamError::new(ErrorCode::INVALID, text);
        let find = |mime| Composite::new(metadata).find(mime);
        let route = find(mime::ROUTING).and_then(|tags| Tags::new(tags).next());
        let route = route.ok_or_else(|| invalid("RST-600404: No Routing metadata"))?;
        let form = find(mime::MESSAGE_MIME).and_then(mime::read_message_mime).and_then(Form::of);
        let form =
            form.ok_or_else(|| invalid("RST-700404: No encoding metadata; send Hessian, JSON or MessagePack"))?;
        let caller = find(Mime::Name(CALLER_MIME));
        let caller = caller.and_then(|json| serde_json::from_slice::<Caller>(json).ok());
        let of_setup = caller.and_then(|caller| Form::of(Mime::named(&caller.data_mime)));
        let answer = if of_setup == Some(Form::Hessian) { Form::Hessian } else { form };
        Ok(Self { route: route.split_once('?').map_or(route, |(route, _)| route), form, answer })
    }
}

impl Responder for Starter {
    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        let answer = || {
            let call = Call::read(request.metadata.as_deref().unwrap_or_default())?;
            let data = match call.route.rsplit_once('.') {
                Some((health::SERVICE, "check")) => self.health.check(&call, &request.data)?,
                _ => {
                    let text = format!("RST-201404: No service handler found: {}", call.route);
                    return Err(StreamError::new(ErrorCode::INVALID, text));
                }
            };
            let metadata = CompositeBuilder::new().message_mime(call.answer.mime()).finish().freeze();
            Ok(Some(Payload { metadata: Some(metadata), data: data.into() }))
        };
        ready(answer()).boxed()
    }
}
