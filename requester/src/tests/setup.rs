use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use towline_rsocket::frame::{Frame, SetupParts};
use towline_rsocket::metadata::{Composite, auth, mime};
use towline_service_api::ServiceKey;

use crate::error::StartError;
use crate::setup::{Identity, random_hex};

fn identity() -> Identity {
    let metadata = [("zone", "a"), ("weight", "3"), ("labels.tier", "gold")];
    Identity {
        name: "shop".to_owned(),
        uuid: "0123456789abcdef0123456789abcdef".to_owned(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
        token: Some("secret".to_owned()),
    }
}

fn entry(metadata: &[u8], kind: mime::Mime<'_>) -> Option<Value> {
    Composite::new(metadata).find(kind).map(|content| serde_json::from_slice(content).unwrap())
}

#[test]
fn setup_says_who_the_app_is_and_what_it_serves() {
    let services = [ServiceKey::new("", "com.acme.Users", "1"), ServiceKey::new("g", "com.acme.Users", "")];
    let setup = identity().setup(&services).unwrap();
    assert_eq!(setup.metadata_mime, "message/x.rsocket.composite-metadata.v0");
    assert_eq!(setup.data_mime, "application/x-msgpack");
    assert!(setup.data.is_empty());
    let metadata = setup.metadata.unwrap();
    let sdk = format!("towline/{}", env!("CARGO_PKG_VERSION"));
    let application = json!({
        "name": "shop", "uuid": "0123456789abcdef0123456789abcdef", "sdk": sdk,
        "metadata": {"zone": "a", "weight": "3", "labels.tier": "gold"},
    });
    assert_eq!(entry(&metadata, mime::APPLICATION), Some(application));
    let published = json!({"published": [
        {"service": "com.acme.Users", "group": "", "version": "1"},
        {"service": "com.acme.Users", "group": "g", "version": ""},
    ]});
    assert_eq!(entry(&metadata, mime::SERVICE_REGISTRY), Some(published));
    assert_eq!(Composite::new(&metadata).find(mime::AUTHENTICATION), Some(&auth::bearer("secret")[..]));
}

#[test]
fn an_app_that_serves_nothing_registers_nothing() {
    let identity = Identity { token: None, metadata: BTreeMap::new(), ..identity() };
    let metadata = identity.setup(&[]).unwrap().metadata.unwrap();
    assert_eq!(Composite::new(&metadata).count(), 1);
}

#[test]
fn setup_is_refused_exactly_above_64_kib() {
    let mut services = Vec::new();
    let (fits, error) = loop {
        match identity().setup(&services) {
            Ok(setup) => {
                let service = format!("com.acme.Service{}", services.len());
                services.push(ServiceKey { service: service.into(), ..ServiceKey::new("", "", "") });
                let _ = setup;
            }
            Err(error) => {
                services.pop();
                break (identity().setup(&services).unwrap(), error);
            }
        }
    };
    let frame = Frame::setup(SetupParts {
        keepalive: Duration::from_secs(20),
        lifetime: Duration::from_secs(90),
        metadata_mime: &fits.metadata_mime,
        data_mime: &fits.data_mime,
        metadata: fits.metadata.as_deref(),
        data: &[],
    });
    let StartError::SetupTooLarge { len, services: count } = error else { panic!("{error}") };
    assert_eq!(count, services.len() + 1);
    let written = frame.into_wire().len() - 3;
    assert!(written <= 65_536 && len > 65_536 && len - written < 100, "{written} {len}");
}

#[test]
fn a_farewell_hides_the_apps_services() {
    let event: Value = serde_json::from_slice(&identity().farewell()).unwrap();
    assert_eq!(event["source"], "app://0123456789abcdef0123456789abcdef/");
    assert_eq!(event["type"], "com.alibaba.rsocket.events.AppStatusEvent");
    assert_eq!(event["data"], json!({"id": "0123456789abcdef0123456789abcdef", "status": 2}));
}

#[test]
fn random_identities_differ() {
    let (a, b) = (random_hex(), random_hex());
    assert!(a != b && a.len() == 32 && a.bytes().all(|byte| byte.is_ascii_hexdigit()), "{a} {b}");
}
