//! What an app tells the broker by METADATA_PUSH: CloudEvents in JSON (wire-contract.md 2.10). They are never answered.
//!
//! An app speaks of itself alone: the source's host and every id in an event are its own uuid, so an app that did not name
//! itself in SETUP has nothing to say. What it registers goes through [`Registry::expose`](crate::routing::Registry), as
//! SETUP does.

use super::pace::Pace;
use crate::link::Link;
use crate::metrics::EventOutcome;
use crate::relay::accept::LocatorJson;
use crate::relay::{Relay, log_refused};
use crate::routing::{App, Ports};
use rsocket::metadata::{Composite, mime};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of an event that is read.
const MAX: usize = 64 * 1024;
/// What types of events the apps send begin with.
const PREFIX: &str = "com.alibaba.rsocket.events.";

#[derive(Deserialize)]
struct Event {
    source: String,
    #[serde(rename = "type")]
    kind: String,
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Status {
    id: String,
    status: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Services {
    app_id: String,
    services: Vec<LocatorJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortsUpdate {
    app_id: String,
    #[serde(default)]
    rsocket_ports: Option<BTreeMap<String, String>>,
    #[serde(default)]
    web_port: Option<u16>,
    #[serde(default)]
    management_port: Option<u16>,
}

/// Something an app says of itself.
pub(crate) enum News {
    Status(i32),
    Exposed(Vec<LocatorJson>),
    Hidden(Vec<LocatorJson>),
    Ports(Ports),
}

impl News {
    /// Reads the data of an event that came from `uuid`.
    fn read(event: Event, uuid: &str) -> Result<Self, EventOutcome> {
        fn data<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, EventOutcome> {
            serde_json::from_value(value).map_err(|_| EventOutcome::Malformed)
        }
        let Event { source, kind, data: value } = event;
        let kind = kind.to_ascii_lowercase();
        let Some(kind) = kind.strip_prefix(PREFIX) else { return Err(EventOutcome::Ignored) };
        if !host(&source).is_some_and(|host| host.eq_ignore_ascii_case(uuid)) {
            return Err(EventOutcome::Foreign);
        }
        let (id, news) = match kind {
            "appstatusevent" => {
                let Status { id, status } = data(value)?;
                (id, Self::Status(status))
            }
            "servicesexposedevent" | "serviceshiddenevent" => {
                let Services { app_id, services } = data(value)?;
                let is_exposed = kind == "servicesexposedevent";
                (app_id, if is_exposed { Self::Exposed(services) } else { Self::Hidden(services) })
            }
            "portsupdateevent" => {
                let PortsUpdate { app_id, rsocket_ports, web_port, management_port } = data(value)?;
                let rsocket = rsocket_ports.unwrap_or_default().into_iter();
                (app_id, Self::Ports(Ports::new(rsocket, web_port, management_port)))
            }
            _ => return Err(EventOutcome::Ignored),
        };
        if id == uuid { Ok(news) } else { Err(EventOutcome::Foreign) }
    }
}

/// The host of `app://<uuid>/?ip=..`.
fn host(source: &str) -> Option<&str> {
    source.split_once("://")?.1.split(['/', '?', '#']).next()
}

/// The events of one link.
pub(crate) struct Events {
    app: Arc<App>,
    pace: Pace,
}

impl Events {
    pub(crate) fn new(app: Arc<App>, per_second: u32) -> Self {
        Self { app, pace: Pace::new(per_second, 2 * per_second) }
    }

    /// Takes what was pushed: JSON, or composite metadata with a 0x28 entry.
    pub(crate) fn receive(&mut self, relay: &Relay, link: &Arc<Link>, metadata: &[u8], now: Instant) {
        let outcome = match self.read(metadata, now) {
            Ok(news) => {
                apply(relay, link, news);
                EventOutcome::Taken
            }
            Err(outcome) => {
                tracing::debug!(link = link.id, ?outcome, "an event was not taken");
                outcome
            }
        };
        relay.meters.events.of(outcome).increment(1);
    }

    pub(crate) fn read(&mut self, metadata: &[u8], now: Instant) -> Result<News, EventOutcome> {
        if !self.pace.take(now) || metadata.len() > MAX {
            return Err(EventOutcome::Limited);
        }
        let json = match metadata.first() {
            Some(b'{') => Some(metadata),
            _ => Composite::new(metadata).find(mime::CLOUDEVENTS_JSON),
        };
        let event = json.ok_or(EventOutcome::Ignored)?;
        let event = serde_json::from_slice::<Event>(event).map_err(|_| EventOutcome::Malformed)?;
        if !self.app.is_named {
            return Err(EventOutcome::Foreign);
        }
        News::read(event, &self.app.uuid)
    }
}

fn apply(relay: &Relay, link: &Arc<Link>, news: News) {
    let keys = |services: Vec<LocatorJson>| services.into_iter().map(LocatorJson::key).collect::<Vec<_>>();
    match news {
        News::Status(1) => relay.show(link),
        News::Status(2 | -1) => relay.hide(link),
        News::Status(_) => {}
        News::Exposed(services) => log_refused(link, relay.expose(link, keys(services))),
        News::Hidden(services) => relay.registry.withdraw(link, &keys(services)),
        News::Ports(ports) => relay.registry.set_ports(link, ports),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "11111111-2222-4333-8444-555555555555";

    fn read(json: &str) -> Result<News, EventOutcome> {
        let app = App { uuid: UUID.to_owned(), is_named: true, ..App::default() };
        Events::new(Arc::new(app), 20).read(json.as_bytes(), Instant::now())
    }

    fn event(source: &str, kind: &str, data: &str) -> String {
        format!(r#"{{"specversion":"1.0","source":"{source}","type":"{kind}","data":{data},"unknown":{{}}}}"#)
    }

    #[test]
    fn ports_are_read_with_what_is_missing() {
        let data =
            format!(r#"{{"appId":"{UUID}","rsocketPorts":{{"42252":"tcp"}},"webPort":8180,"managementPort":null}}"#);
        let kind = "com.alibaba.rsocket.events.PortsUpdateEvent";
        let Ok(News::Ports(ports)) = read(&event(&format!("app://{UUID}/?ip=127.0.0.1"), kind, &data)) else {
            panic!("not taken")
        };
        let rsocket = BTreeMap::from([("42252".to_owned(), "tcp".to_owned())]);
        assert_eq!(ports, Ports { rsocket, web: Some(8180), management: None });
    }

    #[test]
    fn an_event_is_about_its_sender_alone() {
        let (own, kind) = (format!("app://{UUID}/"), "COM.alibaba.rsocket.events.AppStatusEvent");
        let status = |id: &str| format!(r#"{{"id":"{id}","status":1}}"#);
        assert!(matches!(read(&event(&own, kind, &status(UUID))), Ok(News::Status(1))));
        for (source, id) in [(own.as_str(), "x"), ("app://x", UUID), ("", UUID), ("app://", UUID), (UUID, UUID)] {
            let outcome = read(&event(source, kind, &status(id)));
            assert!(matches!(outcome, Err(EventOutcome::Foreign)), "{source} {id}");
        }
        assert!(matches!(read(&event(&own, kind, "3")), Err(EventOutcome::Malformed)));
        assert!(matches!(read(&event(&own, "x.Y", "3")), Err(EventOutcome::Ignored)));
        assert!(matches!(read(""), Err(EventOutcome::Ignored)));
        assert!(matches!(read("{"), Err(EventOutcome::Malformed)));
    }

    #[test]
    fn twenty_a_second_are_read() {
        let app = App { uuid: UUID.to_owned(), is_named: true, ..App::default() };
        let (mut events, now) = (Events::new(Arc::new(app), 20), Instant::now());
        let json = event(
            &format!("app://{UUID}"),
            "com.alibaba.rsocket.events.AppStatusEvent",
            &format!(r#"{{"id":"{UUID}","status":0}}"#),
        );
        let taken = (0..100).filter(|_| events.read(json.as_bytes(), now).is_ok()).count();
        assert_eq!(taken, 40, "a burst of two seconds");
        assert!(matches!(events.read(json.as_bytes(), now), Err(EventOutcome::Limited)));
    }
}
