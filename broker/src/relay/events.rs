//! What an app tells the broker by METADATA_PUSH: CloudEvents in JSON (wire-contract.md 2.10). They are never answered.

use super::Relay;
use crate::link::Link;
use serde::Deserialize;
use std::sync::Arc;

/// Bytes of an event that is read.
const MAX: usize = 64 * 1024;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    data: Status,
}

#[derive(Deserialize)]
struct Status {
    id: String,
    status: i32,
}

/// An app says that it serves (1), or that it serves no more (2, -1): its calls in progress go on either way. Events of
/// other kinds, and about other apps, are ignored.
pub(super) fn receive(relay: &Relay, link: &Arc<Link>, metadata: &[u8]) {
    if metadata.len() > MAX {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Event>(metadata) else { return };
    let is_status = event.kind.eq_ignore_ascii_case("com.alibaba.rsocket.events.AppStatusEvent");
    if !is_status || relay.registry.uuid(link).as_deref() != Some(&event.data.id) {
        return;
    }
    match event.data.status {
        1 => {
            link.set_draining(false);
            relay.registry.show(link);
        }
        2 | -1 => {
            relay.registry.hide(link);
            link.set_draining(true);
        }
        _ => {}
    }
}
