//! `DiscoveryService`: where the brokers are, where the apps are, and what they serve.

use super::call::unreadable;
use super::instance::Instance;
use super::{Call, Reply};
use crate::metrics::LinkKind;
use crate::relay::Relay;
use crate::routing::{App, Present, RouteKey};
use rsocket::{ErrorCode, StreamError};
use std::sync::Arc;
use towline_service_api::ServiceKey;

pub(super) const SERVICE: &str = "com.alibaba.rsocket.discovery.DiscoveryService";

/// Bytes of an answer, about.
const MAX: usize = 4 << 20;
/// The organization every app belongs to as long as there is no authentication, as in the Java broker.
const ORGANIZATION: &str = "1";

pub(super) struct Discovery {
    relay: Arc<Relay>,
    /// Addresses of the brokers, if the operator says them.
    advertised: Vec<String>,
}

impl Discovery {
    pub(super) fn new(relay: Arc<Relay>, advertised: Vec<String>) -> Self {
        Self { relay, advertised }
    }

    /// None: it has no value to answer.
    pub(super) fn answer(&self, call: &Call) -> Result<Option<Reply>, StreamError> {
        let one = || {
            let [asked] = call.texts()?;
            asked.ok_or_else(|| unreadable("one text is expected"))
        };
        match &*call.method {
            "getInstances" => match &*one()? {
                "*" => self.brokers(call).map(|brokers| Some(Reply::Instances(brokers))),
                asked => self.instances(asked).map(|instances| Some(Reply::Instances(instances))),
            },
            "getInstance" => {
                let present = self.relay.registry.instance(&one()?).filter(is_app);
                Ok(present.map(|present| Reply::Instance(Instance::app(&present))))
            }
            "findAppInstances" => self.apps(&one()?).map(|apps| Some(Reply::Texts(apps))),
            "getAllServices" => self.services().map(|services| Some(Reply::Texts(services))),
            _ => Err(call.unknown()),
        }
    }

    /// The brokers. A starter connects to what it is told here and closes its links to other addresses, so it is told what
    /// the operator says, else the addresses it uses, which changes nothing; never a guess, and never nothing.
    fn brokers(&self, call: &Call) -> Result<Vec<Instance>, StreamError> {
        let link = call.link.and_then(|link| self.relay.link(link));
        let link = link.ok_or_else(|| StreamError::new(ErrorCode::CANCELED, "the connection is closed"))?;
        let used = || self.relay.registry.app(&link).map(|app| app.brokers.clone()).unwrap_or_default();
        let mut addresses = if self.advertised.is_empty() { used() } else { self.advertised.clone() };
        if addresses.is_empty() {
            addresses.extend(link.transport().local());
        }
        let brokers = addresses.iter().map(|address| Instance::broker(address)).collect::<Option<Vec<_>>>();
        brokers.filter(|brokers| !brokers.is_empty()).ok_or_else(|| {
            let text = "the broker knows no address that this app could use: set listen.advertised";
            StreamError::new(ErrorCode::APPLICATION_ERROR, text)
        })
    }

    /// Who publishes `[group!]service[:version]`; if nobody does, the serving apps of this name.
    fn instances(&self, asked: &str) -> Result<Vec<Instance>, StreamError> {
        let registry = &self.relay.registry;
        let uuids = asked.parse::<ServiceKey>().ok().map(|key| {
            let table = registry.routes().load();
            let ServiceKey { group, service, version } = &key;
            let found = table.find(&RouteKey { group, service, version, ..RouteKey::default() });
            let endpoints = found.into_iter().flat_map(|endpoints| &endpoints.list);
            endpoints.map(|endpoint| endpoint.app.uuid.clone()).collect::<Vec<_>>()
        });
        let mut present: Vec<_> =
            uuids.into_iter().flatten().filter_map(|uuid| registry.instance(&uuid)).filter(is_app).collect();
        if present.is_empty() {
            present = self.named(|app| app.name.eq_ignore_ascii_case(asked));
            present.retain(|present| present.is_serving);
        }
        present.sort_unstable_by(|a, b| a.app.uuid.cmp(&b.app.uuid));
        bounded(present.iter().map(Instance::app), Instance::size)
    }

    /// Apps that named themselves.
    fn named(&self, fits: impl Fn(&App) -> bool) -> Vec<Present> {
        let mut present = self.relay.registry.instances(|app| app.is_named && fits(app));
        present.retain(is_app);
        present.sort_unstable_by(|a, b| a.app.uuid.cmp(&b.app.uuid));
        present
    }

    /// `name,ip,connectedAt` of each app of an organization; the time in milliseconds since 1970.
    fn apps(&self, organization: &str) -> Result<Vec<String>, StreamError> {
        let present = if organization == ORGANIZATION { self.named(|_| true) } else { Vec::new() };
        let line = |present: Present| {
            let App { name, ip, connected_at, .. } = &*present.app;
            format!("{name},{},{connected_at}", ip.as_deref().unwrap_or("null"))
        };
        bounded(present.into_iter().map(line), String::len)
    }

    /// What apps publish.
    fn services(&self) -> Result<Vec<String>, StreamError> {
        let table = self.relay.registry.routes().load();
        let of_apps = table.services().filter(|(_, endpoints)| {
            let mut list = endpoints.list.iter();
            list.any(|endpoint| endpoint.link.kind == LinkKind::App)
        });
        let mut services = bounded(of_apps.map(|(key, _)| key.to_string()), String::len)?;
        services.sort_unstable();
        Ok(services)
    }
}

fn is_app(present: &Present) -> bool {
    present.link.kind == LinkKind::App
}

/// All of these, unless that is more than one answer holds.
fn bounded<T>(items: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Result<Vec<T>, StreamError> {
    let mut bytes = 0;
    items
        .map(|item| {
            bytes += size(&item);
            if bytes > MAX {
                let text = format!("there are more than one answer of {MAX} bytes can hold");
                return Err(StreamError::new(ErrorCode::APPLICATION_ERROR, text));
            }
            Ok(item)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_answer_cannot_hold_is_an_error() {
        let texts = |count| bounded((0..count).map(|_| "x".repeat(1024)), String::len);
        assert_eq!(texts(MAX / 1024).map(|texts| texts.len()), Ok(MAX / 1024));
        let error = texts(MAX / 1024 + 1).expect_err("it is too much");
        assert_eq!(error.code, ErrorCode::APPLICATION_ERROR);
    }
}
