//! From a socket to a route: accepts connections, reads frames, opens streams on the link that serves them.
//!
//! ```text
//!  accept/    listeners -> TLS, WebSocket -> SETUP -> registry
//!  driver     read loop of one link                 run        small frames of one read, relayed under one lock each way
//!  turn       whether what others read joins a write
//!  dispatch/  first frame of a stream: route and open
//!  control/   stream 0: KEEPALIVE, LEASE, events    routine    the clock and the byte budget, for all links
//! ```
//! Invariant: a read loop never waits for another connection.

mod accept;
mod control;
mod dispatch;
mod driver;
pub(crate) mod fuzzing;
mod routine;
mod run;
mod turn;

pub(crate) use accept::{Layers, Listener, Room, accept, attach};
pub(crate) use control::Pace;
pub(crate) use dispatch::{CALLER_MIME, DEADLINE};
pub(crate) use routine::{keep_budget, keep_time};

use crate::link::{Grant, Link, Shared, Touched};
use crate::metrics::{CloseReason, Meters};
use crate::routing::{Registration, Registry};
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use rsocket::{ErrorCode, Frame};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use towline_service_api::ServiceKey;

/// Limits of what is read, from configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub max_frame: usize,
    /// Frames up to this are handled in the read buffer.
    pub small_frame: usize,
    pub setup_max: usize,
    pub setup_timeout: Duration,
    /// Metadata that spans fragments: bytes per request, bytes per link, time.
    pub gathering: (usize, usize, Duration),
    /// Refusals that may wait for one link.
    pub refusals: usize,
    /// Close links that send items without credit.
    pub strict_credit: bool,
    /// Refuse apps that do not name themselves.
    pub strict_setup: bool,
    /// What an app that asked for leases may send.
    pub grant: Grant,
    /// KEEPALIVE and METADATA_PUSH frames a second, and at once; beyond, the link is closed.
    pub control: (u32, u32),
    /// Events read a second.
    pub events: u32,
}

/// What every link's tasks share.
#[derive(Debug)]
pub(crate) struct Relay {
    pub shared: Arc<Shared>,
    pub registry: Registry,
    pub limits: Limits,
    pub layers: Layers,
    pub room: Room,
    pub meters: Arc<Meters>,
    /// Turns to read a large SETUP.
    large_setups: Semaphore,
    links: Mutex<HashMap<u64, Arc<Link>>>,
    watched: Mutex<HashMap<u64, routine::Watched>>,
    next_link: AtomicU64,
    is_draining: AtomicBool,
}

impl Relay {
    pub(crate) fn new(
        shared: Arc<Shared>,
        registry: Registry,
        limits: Limits,
        layers: Layers,
        room: Room,
    ) -> Arc<Self> {
        let meters = shared.meters.clone();
        Arc::new(Self {
            shared,
            registry,
            limits,
            layers,
            room,
            meters,
            large_setups: Semaphore::new(accept::LARGE_SETUPS),
            links: Mutex::default(),
            watched: Mutex::default(),
            next_link: AtomicU64::new(1),
            is_draining: AtomicBool::new(false),
        })
    }

    fn next_link(&self) -> u64 {
        self.next_link.fetch_add(1, Ordering::Relaxed)
    }

    /// All links, as of now.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().values().cloned().collect()
    }

    /// A link, as long as it is open.
    pub(crate) fn link(&self, id: u64) -> Option<Arc<Link>> {
        self.links.lock().get(&id).cloned()
    }

    /// Publishes services of an app's link, and serves them even if it had said that it serves no more.
    pub(crate) fn expose(&self, link: &Arc<Link>, services: Vec<ServiceKey>) -> Registration {
        let done = self.registry.expose(link, services, false);
        self.show(link);
        done
    }

    /// Routes to a link again.
    fn show(&self, link: &Arc<Link>) {
        link.set_draining(false);
        self.registry.show(link);
    }

    /// Takes a link out of routing; its streams go on.
    fn hide(&self, link: &Arc<Link>) {
        self.registry.hide(link);
        link.set_draining(true);
    }

    /// Refuses new connections from now on.
    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Tells Towline apps that this broker is about to go: they connect elsewhere if they can. Which links were told.
    pub(crate) fn announce_drain(&self) -> HashSet<u64> {
        let event = format!(
            r#"{{"specversion":"1.0","id":"{:032x}","source":"towline:broker","type":"towline.drain","datacontenttype":"application/json","data":{{}}}}"#,
            fastrand::u128(..)
        );
        let mut touched = Touched::default();
        let links = self.registry.towline_links();
        for link in &links {
            link.control(Frame::metadata_push(event.as_bytes()), &mut touched);
        }
        touched.flush();
        links.iter().map(|link| link.id).collect()
    }

    /// Ends a link with ERROR on stream 0 as its last frame.
    pub(crate) fn dismiss(&self, link: &Arc<Link>, reason: CloseReason, code: ErrorCode, text: &str) {
        let mut touched = Touched::default();
        link.close(reason, Some(Frame::error(0, code, text)), &mut touched);
        touched.flush();
    }
}

fn log_refused(link: &Link, registration: Registration) {
    for (service, reason) in registration.refused {
        tracing::warn!(link = link.id, %service, %reason, "service refused");
    }
}
