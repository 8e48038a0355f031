//! What SETUP says of an app, checked; or why it is refused.

use crate::link::{Dialect, Form};
use crate::metrics::SetupRefusal;
use crate::routing::{App, Ports};
use rsocket::frame::Setup;
use rsocket::metadata::{Composite, mime};
use rsocket::{ErrorCode, Frame};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use towline_service_api::ServiceKey;

/// The most of an app's weight.
const MAX_WEIGHT: u32 = 1_000_000;
/// Characters a uuid has at least.
const UUID: usize = 32;
/// What the two entries in JSON look like.
const APP: &str = r#"{"name":"shop","uuid":"<32 to 128 characters>"}"#;
const REGISTRY: &str = r#"{"published":[{"service":"com.acme.Shop"}]}"#;
/// Addresses of brokers that are kept of an app.
const MAX_BROKERS: usize = 16;
/// Bytes of one text an app says of itself: its name is cut there, longer addresses are left out.
const MAX_TEXT: usize = 256;
/// Bytes of all its labels that are kept: they stay as long as the connection.
const MAX_LABELS: usize = 8 * 1024;
/// Composite entries read of one SETUP.
const MAX_ENTRIES: usize = 64;

/// An app that may connect.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub app: App,
    pub services: Vec<ServiceKey>,
    pub keepalive: Duration,
    pub lifetime: Duration,
    pub dialect: Dialect,
    /// It asks for leases, and gives them.
    pub is_leased: bool,
}

/// The frame a refused app gets.
#[derive(Debug)]
pub(crate) struct Refused {
    pub reason: SetupRefusal,
    pub code: ErrorCode,
    pub text: String,
}

impl Refused {
    pub(crate) fn new(reason: SetupRefusal, code: ErrorCode, text: impl Into<String>) -> Self {
        Self { reason, code, text: text.into() }
    }

    pub(crate) fn frame(&self) -> Frame {
        Frame::error(0, self.code, &self.text)
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AppJson {
    uuid: Option<String>,
    name: Option<String>,
    ip: Option<String>,
    sdk: Option<String>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
    /// Read as far as they make sense: an app is not refused for what it says here.
    rsocket_ports: serde_json::Value,
    web_port: serde_json::Value,
    management_port: serde_json::Value,
    brokers: serde_json::Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RegistryJson {
    published: Option<Vec<LocatorJson>>,
}

/// A service as SETUP and events name it.
#[derive(Debug, Deserialize)]
pub(crate) struct LocatorJson {
    service: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

/// Reads SETUP; `fresh_uuid` names an app that does not name itself.
///
/// # Errors
/// [`Refused`], with the code and text of wire-contract.md 2.8.
pub(crate) fn read(setup: Setup<'_>, strict: bool, fresh_uuid: impl FnOnce() -> String) -> Result<Accepted, Refused> {
    if setup.version.0 != 1 {
        let text =
            format!("version {}.{} is not supported: connect with RSocket 1.0", setup.version.0, setup.version.1);
        return Err(Refused::new(SetupRefusal::Unsupported, ErrorCode::UNSUPPORTED_SETUP, text));
    }
    if setup.resume_token.is_some() {
        return Err(Refused::new(
            SetupRefusal::Unsupported,
            ErrorCode::REJECTED_SETUP,
            "resumption is not supported: connect without the resume flag",
        ));
    }
    let dialect = Dialect::new(setup.metadata_mime, setup.data_mime);
    let mut app = None;
    let mut services = Vec::new();
    let metadata = setup.metadata.filter(|_| dialect.form == Form::Composite).unwrap_or_default();
    for entry in Composite::new(metadata).map_while(Result::ok).take(MAX_ENTRIES) {
        match entry.mime {
            mime::APPLICATION if app.is_none() => app = Some(json::<AppJson>(entry.content, "application", APP)?),
            mime::SERVICE_REGISTRY => {
                let registry = json::<RegistryJson>(entry.content, "service registry", REGISTRY)?;
                services.extend(registry.published.unwrap_or_default().into_iter().map(LocatorJson::key));
            }
            _ => {}
        }
    }
    if app.is_none() && strict {
        return Err(Refused::new(
            SetupRefusal::Rejected,
            ErrorCode::REJECTED_SETUP,
            "RST-500411: no application metadata; send a 0x51 entry in SETUP",
        ));
    }
    let mut app = App::from(app.unwrap_or_default());
    if app.uuid.is_empty() {
        app.uuid = fresh_uuid();
        app.is_named = false;
    } else if app.uuid.len() < UUID || app.uuid.len() > 128 {
        let text = format!(
            "RST-500410: the uuid has {} characters; use 32 to 128, the same ones after a reconnect",
            app.uuid.len()
        );
        return Err(Refused::new(SetupRefusal::Rejected, ErrorCode::REJECTED_SETUP, text));
    }
    let or = |time: Duration, default| if time.is_zero() { default } else { time };
    let keepalive = or(setup.keepalive, Duration::from_secs(20));
    let lifetime = or(setup.lifetime, Duration::from_secs(90));
    Ok(Accepted { app, services, keepalive, lifetime, dialect, is_leased: setup.is_leased })
}

fn json<'a, T: Deserialize<'a>>(content: &'a [u8], what: &str, like: &str) -> Result<T, Refused> {
    serde_json::from_slice(content).map_err(|error| {
        Refused::new(
            SetupRefusal::Rejected,
            ErrorCode::REJECTED_SETUP,
            format!("RST-500600: the {what} entry is not readable JSON: {error}; send {like}"),
        )
    })
}

impl LocatorJson {
    pub(crate) fn key(self) -> ServiceKey {
        ServiceKey {
            group: self.group.unwrap_or_default().into(),
            service: self.service.into(),
            version: self.version.unwrap_or_default().into(),
        }
    }
}

impl From<AppJson> for App {
    fn from(json: AppJson) -> Self {
        let mut labels = hashbrown::HashMap::new();
        let mut left = MAX_LABELS;
        for (key, value) in json.metadata.unwrap_or_default().into_iter().take(64) {
            let value = match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            let Some(rest) = left.checked_sub(key.len() + value.len()) else { continue };
            left = rest;
            labels.insert(key.strip_prefix("labels.").unwrap_or(&key).to_owned(), value);
        }
        let weight = labels.get("weight").and_then(|text| text.parse().ok()).unwrap_or(1);
        let uuid = json.uuid.unwrap_or_default();
        let port = |value: &serde_json::Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let rsocket = json.rsocket_ports.as_object().into_iter().flatten();
        let rsocket = rsocket.filter_map(|(port, scheme)| Some((port.clone(), text(scheme)?)));
        let ports = Ports::new(rsocket, port(&json.web_port), port(&json.management_port));
        let is_short = |text: &String| text.len() <= MAX_TEXT;
        let brokers = json.brokers.as_array().into_iter().flatten().filter_map(text).filter(is_short);
        let mut name = json.name.unwrap_or_default();
        let cut = (0..=MAX_TEXT).rev().find(|at| name.len() >= *at && name.is_char_boundary(*at));
        name.truncate(cut.unwrap_or_default());
        name.shrink_to_fit();
        Self {
            name,
            is_named: !uuid.is_empty(),
            uuid,
            ip: json.ip.filter(is_short),
            weight: u32::clamp(weight, 1, MAX_WEIGHT),
            labels,
            ports,
            brokers: brokers.take(MAX_BROKERS).collect(),
            connected_at: 0,
            is_towline: json.sdk.is_some_and(|sdk| sdk.starts_with("towline")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsocket::frame::SetupParts;
    use rsocket::metadata::CompositeBuilder;

    fn setup(metadata: &[u8], metadata_mime: &str) -> Frame {
        Frame::setup(SetupParts {
            keepalive: Duration::from_secs(20),
            lifetime: Duration::ZERO,
            metadata_mime,
            data_mime: "application/json",
            metadata: Some(metadata),
            data: b"",
        })
    }

    const COMPOSITE: &str = "message/x.rsocket.composite-metadata.v0";
    const UUID: &str = "11111111-2222-4333-8444-555555555555";

    fn accepted(app: &str, registry: &str) -> Result<Accepted, Refused> {
        let metadata = CompositeBuilder::new()
            .entry(mime::APPLICATION, app.as_bytes())
            .entry(mime::SERVICE_REGISTRY, registry.as_bytes())
            .finish();
        read(setup(&metadata, COMPOSITE).view().setup(), false, || "fresh".into())
    }

    #[test]
    fn an_app_and_its_services_are_read() {
        let app = format!(
            r#"{{"name":"shop","uuid":"{UUID}","id":null,"metadata":{{"zone":"a","weight":"3","labels.x":"y"}}}}"#
        );
        let registry = r#"{"published":[{"service":"a.B","version":null,"tags":null},{"service":"a.B","group":"g","version":"2"}]}"#;
        let accepted = accepted(&app, registry).unwrap();
        assert_eq!((accepted.app.name.as_str(), accepted.app.weight), ("shop", 3));
        assert_eq!(accepted.app.labels["zone"], "a");
        assert_eq!(accepted.app.labels["x"], "y");
        assert!(accepted.app.is_named && accepted.dialect.form == Form::Composite);
        assert_eq!(accepted.lifetime, Duration::from_secs(90), "zero is the default");
        let keys: Vec<_> = accepted.services.iter().map(ToString::to_string).collect();
        assert_eq!(keys, ["a.B", "g!a.B:2"]);
    }

    #[test]
    fn what_an_app_says_of_itself_is_kept_within_bounds() {
        let long = "ü".repeat(10_000);
        let many = |item: &dyn Fn(usize) -> String| (0..200).map(item).collect::<Vec<_>>().join(",");
        let ports = many(&|n| format!(r#""{}":"tcp""#, 1000 + n));
        let brokers = many(&|n| format!(r#""tcp://a:{n}""#));
        let json = format!(
            r#"{{"uuid":"{UUID}","name":"{long}","ip":"{long}","metadata":{{"a":"{long}","zone":"b"}},
            "rsocketPorts":{{"1":"{long}","{long}":"tcp",{ports}}},"brokers":["{long}",{brokers}]}}"#
        );
        let app = accepted(&json, "{}").unwrap().app;
        assert_eq!((app.name.len(), app.name.capacity(), app.ip), (MAX_TEXT, MAX_TEXT, None));
        assert_eq!((app.labels.len(), app.labels["zone"].as_str()), (1, "b"));
        assert_eq!((app.ports.rsocket.len(), app.brokers.len()), (16, MAX_BROKERS));
        assert!(app.ports.rsocket.iter().all(|(port, scheme)| port.len() == 4 && scheme == "tcp"), "{:?}", app.ports);
        assert!(app.brokers.iter().all(|broker| broker.len() <= MAX_TEXT));
    }

    #[test]
    fn what_an_app_says_of_where_it_is_counts_as_far_as_it_makes_sense() {
        let app = |rest: &str| accepted(&format!(r#"{{"uuid":"{UUID}",{rest}}}"#), "{}").unwrap().app;
        let said =
            app(r#""rsocketPorts":{"42252":"tcp"},"webPort":8180,"managementPort":null,"brokers":["tcp://a:1"]"#);
        let rsocket = BTreeMap::from([("42252".to_owned(), "tcp".to_owned())]);
        assert_eq!(said.ports, Ports { rsocket, web: Some(8180), management: None });
        assert_eq!(said.brokers, ["tcp://a:1"]);
        let odd = app(r#""rsocketPorts":[1],"webPort":"80","managementPort":70000,"brokers":{"a":1}"#);
        assert_eq!((odd.ports, odd.brokers), (Ports::default(), Vec::new()));
        let half = app(r#""rsocketPorts":{"1":null,"2":"ws"},"webPort":-1,"brokers":[null,"tcp://b:2"]"#);
        assert_eq!((half.ports.rsocket.len(), half.ports.web, half.brokers.len()), (1, None, 1));
    }

    #[test]
    fn an_app_may_stay_anonymous_unless_that_is_refused() {
        let frame = setup(b"ignored", "application/json");
        let anonymous = read(frame.view().setup(), false, || "fresh".into()).unwrap();
        assert!(anonymous.dialect.form == Form::Other && !anonymous.app.is_named);
        assert_eq!(anonymous.app.uuid, "fresh");
        let refused = read(frame.view().setup(), true, || "fresh".into()).unwrap_err();
        assert!(refused.text.starts_with("RST-500411"), "{refused:?}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        assert!(accepted(r#"{"uuid":"short"}"#, "{}").unwrap_err().text.starts_with("RST-500410"));
        assert!(accepted("{", "{}").unwrap_err().text.contains("application entry is not readable"));
        assert!(accepted("{}", r#"{"published":3}"#).unwrap_err().text.contains("service registry"));
        let mut frame = setup(b"", COMPOSITE);
        frame.bytes_mut()[7] = 9;
        assert_eq!(read(frame.view().setup(), false, String::new).unwrap_err().code, ErrorCode::UNSUPPORTED_SETUP);
    }
}
