use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use towline_rsocket::engine::Connection;
use towline_service_api::RpcError;

use crate::link::{Link, Signals};
use crate::sending::until;
use crate::state::{AppState, Phase};

/// The live connections of an app, and whoever waits for one.
#[derive(Debug)]
pub(crate) struct Pool {
    links: ArcSwap<Vec<Arc<Link>>>,
    /// Told of every change of `links`, which is made under its lock.
    state: watch::Sender<AppState>,
    is_closing: AtomicBool,
    /// What went wrong last, broker by broker.
    troubles: Mutex<Vec<Option<Trouble>>>,
    /// Nobody reconnects.
    is_fixed: bool,
}

/// Why a broker is not connected.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) broker: String,
    pub(crate) text: String,
    /// The broker said no.
    pub(crate) is_refusal: bool,
}

impl Pool {
    /// Of this many brokers, none of them connected.
    pub(crate) fn new(brokers: usize) -> Self {
        Self {
            links: ArcSwap::default(),
            state: watch::Sender::new(AppState { phase: Phase::Running, connected: 0 }),
            is_closing: AtomicBool::new(false),
            troubles: Mutex::new(vec![None; brokers]),
            is_fixed: false,
        }
    }

    /// Of one connection, for as long as it lives.
    pub(crate) fn of(connection: Connection) -> Self {
        let pool = Self { is_fixed: true, ..Self::new(0) };
        pool.add(Arc::new(Link::new(connection, Arc::default())));
        pool
    }

    pub(crate) fn add(&self, link: Arc<Link>) {
        self.change(|links| links.push(link));
    }

    pub(crate) fn remove(&self, link: &Link) {
        self.change(|links| links.retain(|other| other.serial != link.serial));
    }

    /// A connection was marked: counts again.
    pub(crate) fn recount(&self) {
        self.change(|_| {});
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Link>>)) {
        self.state.send_modify(|state| {
            let mut links = Vec::clone(&self.links.load());
            change(&mut links);
            state.connected = links.iter().filter(|link| link.signals.is_usable()).count();
            self.links.store(Arc::new(links));
        });
    }

    /// The connection a call should take: the one with the fewest streams. One that drains only serves the nested calls of
    /// handlers that began before, and those last.
    pub(crate) fn pick(&self, avoid: &[u64], is_nested: bool) -> Option<Arc<Link>> {
        let links = self.links.load();
        let usable = |link: &&Arc<Link>| link.signals.is_usable() && !avoid.contains(&link.serial);
        if let [only] = links.as_slice()
            && usable(&only)
        {
            return Some(Arc::clone(only));
        }
        // Equal ones take turns.
        let (before, after) = links.split_at(fastrand::usize(..=links.len()));
        let best = after.iter().chain(before).filter(usable).min_by_key(|link| link.connection.open_streams());
        let last = || links.iter().find(|link| is_nested && !link.signals.is_down() && !avoid.contains(&link.serial));
        best.or_else(last).cloned()
    }

    /// Waits for a connection. Errors: none in time, or none ever; nothing was sent.
    pub(crate) async fn wait(
        &self,
        avoid: &[u64],
        is_nested: bool,
        deadline: Option<Instant>,
    ) -> Result<Arc<Link>, RpcError> {
        let mut changes = self.state.subscribe();
        loop {
            let phase = changes.borrow_and_update().phase;
            if phase == Phase::Closed || (self.is_closing() && !is_nested) {
                return Err(RpcError::not_connected("this app is closed"));
            }
            if let Some(link) = self.pick(avoid, is_nested) {
                return Ok(link);
            }
            if self.is_fixed {
                return Err(RpcError::not_connected("the connection is closed"));
            }
            // The sender lives in `self`.
            if until(deadline, changes.changed()).await.is_none() {
                let text = format!("no broker is connected, and none was in time: {}", self.troubles());
                return Err(RpcError::not_connected(text));
            }
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<AppState> {
        self.state.subscribe()
    }

    pub(crate) fn state(&self) -> AppState {
        *self.state.borrow()
    }

    /// No call from outside is taken.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Goes on to a later phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.is_closing.store(true, Ordering::Release);
        self.state.send_modify(|state| state.phase = state.phase.max(phase));
    }

    /// Remembers what went wrong with one broker, and wakes who waits for it. True: it is news.
    pub(crate) fn report(&self, broker: usize, trouble: Trouble) -> bool {
        let before = self.troubles.lock()[broker].replace(trouble.clone());
        self.recount();
        before.is_none_or(|before| before.text != trouble.text)
    }

    /// Nothing is wrong with this broker any more.
    pub(crate) fn recovered(&self, broker: usize) {
        self.troubles.lock()[broker] = None;
    }

    /// What the first broker said, if all of them refused.
    pub(crate) fn refusal(&self) -> Option<Trouble> {
        let troubles = self.troubles.lock();
        let is_refused = troubles.iter().all(|trouble| trouble.as_ref().is_some_and(|trouble| trouble.is_refusal));
        troubles.first().filter(|_| is_refused).cloned().flatten()
    }

    /// What went wrong, for people.
    pub(crate) fn troubles(&self) -> String {
        let troubles = self.troubles.lock();
        let texts: Vec<_> = troubles.iter().flatten().map(|it| format!("{}: {}", it.broker, it.text)).collect();
        if texts.is_empty() { "none has answered yet".to_owned() } else { texts.join("; ") }
    }

    #[cfg(any(test, feature = "raw"))]
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        Vec::clone(&self.links.load())
    }

    /// A call found this connection shut.
    pub(crate) fn failed(&self, signals: &Signals) {
        signals.fail();
        self.recount();
    }
}
