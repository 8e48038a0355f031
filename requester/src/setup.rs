use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use towline_rsocket::engine::ClientSetup;
use towline_rsocket::metadata::{CompositeBuilder, auth, mime};
use towline_service_api::{Encoding, ServiceKey};

use crate::error::StartError;

/// The type of all metadata.
const COMPOSITE: &str = "message/x.rsocket.composite-metadata.v0";
/// The type of data that does not say its own.
const DATA: &str = Encoding::MessagePack.mime();
/// Bytes of SETUP without its metadata: header, version, two times, two types with their lengths, metadata length.
const FIXED: usize = 6 + 4 + 4 + 4 + 1 + COMPOSITE.len() + 1 + DATA.len() + 3;
/// A broker refuses a larger one.
const MAX_SETUP: usize = 64 * 1024;

/// Who an app is. No `Debug`: it holds the token.
pub(crate) struct Identity {
    pub(crate) name: String,
    /// Kept over reconnects.
    pub(crate) uuid: String,
    /// `zone`, `weight`, `labels.*`.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) token: Option<String>,
}

/// Entry 0x51.
#[derive(Serialize)]
struct Application<'a> {
    name: &'a str,
    uuid: &'a str,
    sdk: &'static str,
    metadata: &'a BTreeMap<String, String>,
}

/// Entry 0x54.
#[derive(Serialize)]
struct Registry<'a> {
    published: &'a [ServiceKey],
}

impl Identity {
    /// The payload of SETUP. Errors: more services than fit.
    pub(crate) fn setup(&self, services: &[ServiceKey]) -> Result<ClientSetup, StartError> {
        let Self { name, uuid, metadata, token } = self;
        let application = Application { name, uuid, sdk: concat!("towline/", env!("CARGO_PKG_VERSION")), metadata };
        let mut entries = CompositeBuilder::new().entry(mime::APPLICATION, &to_json(&application));
        if !services.is_empty() {
            entries = entries.entry(mime::SERVICE_REGISTRY, &to_json(&Registry { published: services }));
        }
        if let Some(token) = token {
            entries = entries.entry(mime::AUTHENTICATION, &auth::bearer(token));
        }
        let entries = entries.finish().freeze();
        let len = FIXED + entries.len();
        if len > MAX_SETUP {
            return Err(StartError::SetupTooLarge { len, services: services.len() });
        }
        Ok(ClientSetup {
            metadata_mime: COMPOSITE.to_owned(),
            data_mime: DATA.to_owned(),
            metadata: Some(entries),
            data: Bytes::new(),
        })
    }

    /// The event that takes the app's services out of the broker's routing (wire-contract.md 2.10, AppStatusEvent 2).
    pub(crate) fn farewell(&self) -> Bytes {
        let event = json!({
            "specversion": "1.0",
            "id": random_hex(),
            "source": format!("app://{}/", self.uuid),
            "type": "com.alibaba.rsocket.events.AppStatusEvent",
            "datacontenttype": "application/json",
            "data": {"id": self.uuid, "status": 2},
        });
        Bytes::from(to_json(&event))
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts have a JSON form")
}

/// 32 random hexadecimal digits. The hasher's keys come from the operating system.
pub(crate) fn random_hex() -> String {
    let word = |n: u8| RandomState::new().hash_one(n);
    format!("{:016x}{:016x}", word(0), word(1))
}
