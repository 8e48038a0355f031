//! `ReactiveServiceDiscovery.findServiceByFullName(String)`: the methods of a service. Apps know them, so one that serves it
//! is asked by the service of this name that every starter has, in JSON, and what it says is the answer.

use super::Call;
use super::call::{invalid, unreadable};
use crate::metrics::LinkKind;
use crate::routing::{Endpoint, RouteKey, Routes};
use bytes::Bytes;
use rsocket::engine::{CallFailure, Connection, Payload};
use rsocket::metadata::{CompositeBuilder, mime, routing};
use rsocket::{ErrorCode, StreamError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::timeout;
use towline_service_api::ServiceKey;

pub(super) const SERVICE: &str = "com.alibaba.rsocket.rpc.ReactiveServiceDiscovery";
const METHOD: &str = "findServiceByFullName";

/// Time an app has to answer; a starter's own calls wait as long.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) struct Definitions {
    routes: Arc<Routes>,
    /// The broker's side of itself: it leads to every app.
    connection: OnceLock<Connection>,
}

impl Definitions {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        Self { routes, connection: OnceLock::new() }
    }

    /// Says by which connection apps are asked; the first one counts.
    pub(super) fn ask_by(&self, connection: Connection) {
        self.connection.get_or_init(|| connection);
    }

    pub(super) async fn answer(&self, call: &Call) -> Result<Payload, StreamError> {
        if call.method != METHOD {
            return Err(call.unknown());
        }
        let [service] = call.texts()?;
        let service = service.ok_or_else(|| unreadable("the name of a service is missing"))?;
        let endpoint = self.endpoint(&service).ok_or_else(|| {
            invalid(format!("RST-900404: Service not found {service}; no app that could describe it registered it"))
        })?;
        let app = &endpoint.app;
        let who = format!("the app {} ({})", app.name, app.uuid);
        let (method, target) = (format!("{SERVICE}.{METHOD}"), format!("e=uuid:{}", app.uuid));
        let tags = routing::write_tags([&*method, &target]);
        let tags = tags.map_err(|_| invalid(format!("{who} has a uuid that no tag can hold")))?;
        let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish();
        let data = serde_json::to_vec(&[&service]).expect("a text can be written");
        let request = Payload { metadata: Some(metadata.freeze()), data: data.into() };
        let connection = self.connection.get().expect("given before the first request can come").clone();
        match timeout(PATIENCE, connection.request_response(request)).await {
            Ok(Ok(Some(answer))) if !matches!(&*answer.data, b"" | b"null") => Ok(with_type(answer)),
            Ok(Ok(_)) => Err(invalid(format!("RST-201404: No service handler found: {who} does not know {service}"))),
            Ok(Err(CallFailure::Stream(StreamError { code, message }))) => {
                Err(StreamError::new(code, format!("{who} does not describe its services: {message}")))
            }
            Ok(Err(failure)) => Err(StreamError::new(ErrorCode::CANCELED, failure.to_string())),
            Err(_) => Err(StreamError::new(ErrorCode::CANCELED, format!("{who} does not answer"))),
        }
    }

    /// One app that publishes it, in any group and version if it names none.
    fn endpoint(&self, service: &str) -> Option<Endpoint> {
        let table = self.routes.load();
        let key = service.parse::<ServiceKey>().ok()?;
        let find = |key: &ServiceKey| {
            let ServiceKey { group, service, version } = key;
            let endpoints = table.find(&RouteKey { group, service, version, ..RouteKey::default() })?;
            let apps = || endpoints.list.iter().filter(|endpoint| endpoint.link.kind == LinkKind::App);
            apps().find(|endpoint| !endpoint.link.is_avoided()).or_else(|| apps().next()).cloned()
        };
        find(&key).or_else(|| {
            let mut others = table.variants(&key.service).filter(|_| key.group.is_empty() && key.version.is_empty());
            others.find_map(|(key, _)| find(key))
        })
    }
}

/// The answer with the type of its data, if the app did not say it.
fn with_type(mut answer: Payload) -> Payload {
    if answer.metadata.as_ref().is_none_or(Bytes::is_empty) {
        answer.metadata = Some(CompositeBuilder::new().message_mime(mime::JSON).finish().freeze());
    }
    answer
}
