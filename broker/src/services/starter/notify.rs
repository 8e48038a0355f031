//! `CloudEventsNotifyService`: an app has the broker send an event to other apps. It is METADATA_PUSH there: whoever gets it
//! says nothing, and who is not there, or takes nothing, misses it.

use super::Call;
use super::call::unreadable;
use crate::link::Touched;
use crate::metrics::{LinkKind, PushOutcome};
use crate::relay::{Pace, Relay};
use crate::routing::Present;
use hashbrown::HashMap;
use parking_lot::Mutex;
use rsocket::{ErrorCode, StreamError};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Instant;

pub(super) const SERVICE: &str = "com.alibaba.rsocket.cloudevents.CloudEventsNotifyService";

/// Bytes of an event, as of those apps send of themselves.
const MAX: usize = 64 * 1024;
/// Apps that are sent to before others are let run.
const AT_ONCE: usize = 64;
/// What the broker's own events are named; starters tell types apart without regard to case.
const RESERVED: &str = "towline.";
/// Those that starters obey because they come from their broker: with one an app could send all others to a broker of its
/// own. The Java broker passes them on.
const BROKERS_OWN: [&str; 3] = [
    "com.alibaba.rsocket.upstream.UpstreamClusterChangedEvent",
    "com.alibaba.rsocket.upstream.ServiceInstancesChangedEvent",
    "com.alibaba.rsocket.events.ConfigEvent",
];

pub(super) struct Notify {
    relay: Arc<Relay>,
    senders: Mutex<Senders>,
}

/// How often each connection sends.
#[derive(Default)]
struct Senders {
    paces: HashMap<u64, Pace>,
    /// Beyond so many, those that are gone are forgotten.
    most: usize,
}

/// What every event says of itself.
#[derive(Deserialize)]
struct Event {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Notify {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        Self { relay, senders: Mutex::default() }
    }

    /// Without authentication any app may send to any other, as in the Java broker: who may is to be decided here.
    pub(super) async fn answer(&self, call: &Call) -> Result<(), StreamError> {
        let is_one = match &*call.method {
            "notify" => true,
            "notifyAll" => false,
            _ => return Err(call.unknown()),
        };
        let [whom, event] = call.texts()?;
        let whom =
            whom.filter(|whom| !whom.is_empty()).ok_or_else(|| unreadable("whom the event is for is missing"))?;
        let event = event.unwrap_or_default();
        let event = checked(event.trim())?;
        self.pace(call)?;
        let registry = &self.relay.registry;
        let mut targets = match is_one {
            true => registry.instance(&whom).into_iter().collect(),
            false => registry.instances(|app| app.is_named && app.name == whom),
        };
        targets.retain(|target| target.link.kind == LinkKind::App);
        if targets.is_empty() {
            self.count(PushOutcome::Unknown, 1);
        }
        let mut sent = 0;
        for some in targets.chunks(AT_ONCE) {
            if sent > 0 {
                tokio::task::yield_now().await;
            }
            sent += push(some, event);
        }
        self.count(PushOutcome::Sent, sent);
        self.count(PushOutcome::Full, targets.len() - sent);
        match &targets[..] {
            [target] if is_one && sent == 0 => {
                let retry = target.link.retry_after();
                let text = format!("app {whom} has not taken what waits for it retry-after-ms={retry}");
                Err(StreamError::new(ErrorCode::REJECTED, text))
            }
            _ => Ok(()),
        }
    }

    fn count(&self, outcome: PushOutcome, events: usize) {
        self.relay.meters.pushes.of(outcome).increment(events as u64);
    }

    /// As often as an app may send events of itself.
    fn pace(&self, call: &Call) -> Result<(), StreamError> {
        let rate = self.relay.limits.events;
        let link = call.link.unwrap_or_default();
        let mut senders = self.senders.lock();
        if senders.paces.len() > senders.most {
            senders.paces.retain(|link, _| self.relay.link(*link).is_some());
            senders.most = 2 * senders.paces.len() + 64;
        }
        if senders.paces.entry(link).or_insert_with(|| Pace::new(rate, 2 * rate)).take(Instant::now()) {
            return Ok(());
        }
        let retry = 1000 / rate.max(1);
        let text = format!("this connection sends more than {rate} events a second retry-after-ms={retry}");
        Err(StreamError::new(ErrorCode::REJECTED, text))
    }
}

/// How many of them take it.
fn push(targets: &[Present], event: &str) -> usize {
    let mut touched = Touched::default();
    let taken = targets.iter().filter(|target| target.link.push(event.as_bytes(), &mut touched)).count();
    touched.flush();
    taken
}

/// The event, if it is one: an app passes what begins with `{` on to whoever listens there for its type.
fn checked(event: &str) -> Result<&str, StreamError> {
    if event.len() > MAX {
        return Err(unreadable(format!("the event has {} bytes, {MAX} are allowed", event.len())));
    }
    let read = serde_json::from_str::<Event>(event);
    let Event { specversion, id, source, kind } =
        read.map_err(|error| unreadable(format!("no CloudEvent: {error}")))?;
    if [&specversion, &id, &source, &kind].iter().any(|attribute| attribute.is_empty()) || !event.starts_with('{') {
        return Err(unreadable("no CloudEvent: specversion, id, source and type are needed"));
    }
    let is_towlines = kind.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED));
    if is_towlines || BROKERS_OWN.iter().any(|own| kind.eq_ignore_ascii_case(own)) {
        return Err(unreadable(format!("events of the type {kind} are the broker's own")));
    }
    Ok(event)
}
