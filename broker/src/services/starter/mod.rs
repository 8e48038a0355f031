//! What the Java starters call on their broker (wire-contract.md 2.9), in their own encoding: on a link of their own, by
//! the raw engine, because `#[service]` speaks no Hessian.
//!
//! ```text
//!  call       what is asked and answered, in Hessian or an encoding of ours       hessian/  the former
//!  health     is the broker, or a service, there       discovery  where brokers and apps are (instance: one of them)
//!  notify     events for other apps                    definitions  the methods of a service
//! ```

mod call;
mod definitions;
mod discovery;
mod health;
pub(super) mod hessian;
mod instance;
mod notify;

use crate::relay::Relay;
use call::{Call, Reply};
use definitions::Definitions;
use discovery::Discovery;
use futures::FutureExt;
use futures::future::BoxFuture;
use health::Health;
use notify::Notify;
use rsocket::StreamError;
use rsocket::engine::{ClientSetup, Config, Connection, Payload, Responder, connect};
use rsocket::metadata::{CompositeBuilder, mime};
use rsocket::transport::Transport;
use serde_json::json;
use std::sync::Arc;

/// Serves all of it over this transport; `advertised` are the addresses of the brokers, if the operator says them.
pub(super) fn mount(transport: Arc<dyn Transport>, relay: &Arc<Relay>, advertised: &[String]) -> Connection {
    let services = [health::SERVICE, discovery::SERVICE, notify::SERVICE, definitions::SERVICE];
    let published = json!({ "published": services.map(|service| json!({ "service": service })) });
    let app = br#"{"name":"towline.starter","uuid":"towline.starter-----------------"}"#;
    let metadata = CompositeBuilder::new()
        .entry(mime::APPLICATION, app)
        .entry(mime::SERVICE_REGISTRY, published.to_string().as_bytes())
        .finish();
    let setup = ClientSetup {
        metadata_mime: mime::COMPOSITE.name().expect("a known type").to_owned(),
        data_mime: mime::HESSIAN.name().expect("a known type").to_owned(),
        metadata: Some(metadata.freeze()),
        data: bytes::Bytes::new(),
    };
    let routes = relay.registry.routes();
    let starter = Arc::new(Starter {
        health: Health::new(routes.clone()),
        discovery: Discovery::new(relay.clone(), advertised.to_vec()),
        notify: Notify::new(relay.clone()),
        definitions: Definitions::new(routes.clone()),
    });
    let connection = connect(transport, setup, Arc::new(Serving(starter.clone())), Config::default());
    starter.definitions.ask_by(connection.clone());
    connection
}

/// Answers what the starters ask.
struct Starter {
    health: Health,
    discovery: Discovery,
    notify: Notify,
    definitions: Definitions,
}

impl Starter {
    /// None: done, and there is no value.
    async fn answer(&self, request: Payload) -> Result<Option<Payload>, StreamError> {
        let call = Call::read(request)?;
        let reply = match &*call.service {
            health::SERVICE => Some(self.health.answer(&call)?),
            discovery::SERVICE => self.discovery.answer(&call)?,
            notify::SERVICE => {
                self.notify.answer(&call).await?;
                None
            }
            definitions::SERVICE => return self.definitions.answer(&call).await.map(Some),
            _ => return Err(call.unknown()),
        };
        reply.map(|reply| call.reply(&reply)).transpose()
    }
}

/// [`Starter`] as the engine calls it.
struct Serving(Arc<Starter>);

impl Responder for Serving {
    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        let starter = self.0.clone();
        async move { starter.answer(request).await }.boxed()
    }
}
