//! A connection as the rest of the broker sees it: open a stream on it, give it a frame, close it.
//!
//! ```text
//!  state     pure: streams, windows, outbox of one link        streams  ids and legs
//!  window    pure: clamps the credit passed on                 outbox   pure: frames to write, by stream
//!  writer    one writer at a time, by claim                    budget   one for the whole broker
//!  desk      a service that takes requests without a stream towards it
//! ```
//! Invariant: never two links' locks at once, and no system call under a lock. What one link's change means for another
//! is an [`Effect`], applied after the lock is gone.

mod budget;
mod cancelling;
mod desk;
mod dialect;
mod lease;
mod opening;
mod outbox;
mod packet;
mod push;
mod state;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tests_support;
mod watch;
mod window;
mod writer;

pub(crate) use budget::{Budget, Load, links_to_close, streams_to_end};
pub(crate) use desk::{Answers, Desk, Ticket};
pub(crate) use dialect::{Dialect, Form};
pub(crate) use lease::Grant;
pub(crate) use opening::{Begin, Opened, Opening, Refusal};
pub(crate) use packet::{Packet, Step};
pub(crate) use state::{Bounds, Delivered, Departure, Effect, State};
pub(crate) use streams::Serial;
pub(crate) use window::Limits;
pub(crate) use writer::Touched;

use crate::metrics::{CloseReason, LinkKind, Meters};
use lease::Lease;
use outbox::Writing;
use parking_lot::Mutex;
use rsocket::frame::StreamId;
use rsocket::transport::Transport;
use rsocket::{ErrorCode, Frame};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use writer::Claim;

/// What all links share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub bounds: Arc<Bounds>,
    pub budget: Budget,
    /// Where what waits for a socket is written, whoever left it.
    pub runtime: tokio::runtime::Handle,
    pub meters: Arc<Meters>,
    /// Bytes given to one write.
    pub batch: usize,
    pub timing: Timing,
}

pub(crate) use watch::{Health, Sample, Timing, Watch};

/// One connection.
pub(crate) struct Link {
    pub id: u64,
    pub kind: LinkKind,
    pub peer: String,
    /// How its app writes metadata.
    pub dialect: Dialect,
    /// LEASE was agreed on: what its app may send.
    grant: Option<Grant>,
    closed_for: OnceLock<CloseReason>,
    retires: OnceLock<Instant>,
    desk: OnceLock<Arc<dyn Desk>>,
    transport: Arc<dyn Transport>,
    shared: Arc<Shared>,
    hot: Hot,
}

/// What changes with every frame, on cache lines of its own: who only reads a link's id or its transport, or memory that
/// happens to lie beside it, does not wait for the thread that relays.
#[repr(align(128))]
struct Hot {
    inner: Mutex<Inner>,
    /// Streams open towards this app: what balancing compares.
    load: AtomicU32,
    /// Used only if nothing else is left: over its mark, stalled, suspect or draining.
    is_avoided: AtomicBool,
    /// Bytes of an unfinished frame and of requests whose metadata is being gathered.
    pending: AtomicUsize,
}

/// What SETUP agreed on.
#[derive(Debug)]
pub(crate) struct Terms {
    pub kind: LinkKind,
    pub dialect: Dialect,
    pub grant: Option<Grant>,
    pub watch: Watch,
}

/// Figures of one link, for whoever looks at the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Streams its app has opened.
    pub requests: usize,
    /// Bytes queued or being written.
    pub queued: usize,
    /// Bytes its app has not asked for.
    pub parked: usize,
}

struct Inner {
    state: State<Arc<Link>>,
    is_claimed: bool,
    /// Bytes in the claim holder's hands.
    writing: usize,
    charged: usize,
    /// What the claim holder writes before it shuts the socket down.
    farewell: Option<Frame>,
    /// When the app's own lease was last renewed.
    renewed: Option<Instant>,
    watch: Watch,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "link {} ({})", self.id, self.peer)
    }
}

impl Link {
    pub(crate) fn new(id: u64, terms: Terms, transport: Arc<dyn Transport>, shared: Arc<Shared>) -> Arc<Self> {
        let Terms { kind, dialect, grant, watch } = terms;
        let bounds = match kind {
            LinkKind::App => shared.bounds.clone(),
            LinkKind::Memory => Arc::new(shared.bounds.unbounded()),
        };
        let mut state = State::new(id, bounds);
        state.lease = grant.map(|_| Lease::default());
        Arc::new(Self {
            id,
            kind,
            peer: transport.peer(),
            dialect,
            grant,
            closed_for: OnceLock::new(),
            retires: OnceLock::new(),
            desk: OnceLock::new(),
            transport,
            shared,
            hot: Hot {
                inner: Mutex::new(Inner {
                    state,
                    is_claimed: false,
                    writing: 0,
                    charged: 0,
                    farewell: None,
                    renewed: None,
                    watch,
                }),
                load: AtomicU32::new(0),
                is_avoided: AtomicBool::new(false),
                pending: AtomicUsize::new(0),
            },
        })
    }

    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// Where its service takes requests without a stream, if it does.
    pub(crate) fn desk(&self) -> Option<&Arc<dyn Desk>> {
        self.desk.get()
    }

    /// Opens the desk of a link inside the process; a second one changes nothing.
    pub(crate) fn open_desk(&self, desk: Arc<dyn Desk>) {
        self.desk.get_or_init(|| desk);
    }

    /// Streams open towards this app.
    pub(crate) fn load(&self) -> u32 {
        self.hot.load.load(Ordering::Relaxed)
    }

    /// A stream is about to be opened: until it is, others picking an endpoint see it already.
    pub(crate) fn anticipate(&self) {
        self.hot.load.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether other endpoints are preferred.
    pub(crate) fn is_avoided(&self) -> bool {
        self.hot.is_avoided.load(Ordering::Relaxed)
    }

    /// All streams, both ways.
    pub(crate) fn streams(&self) -> usize {
        self.hot.inner.lock().state.streams.len()
    }

    /// Why it was closed, once it is.
    pub(crate) fn closed_for(&self) -> Option<CloseReason> {
        self.closed_for.get().copied()
    }

    /// Takes no new streams; the link is to be closed once it has no streams, at this time at the latest.
    pub(crate) fn retire(&self, by: Instant) {
        self.set_draining(true);
        self.retires.get_or_init(|| by);
    }

    /// Whether a retired link may be closed.
    pub(crate) fn has_retired(&self, now: Instant) -> bool {
        self.retires.get().is_some_and(|by| now >= *by || self.streams() == 0)
    }

    /// Takes no new streams; the ones there are go on.
    pub(crate) fn set_draining(&self, is_draining: bool) {
        let mut inner = self.hot.inner.lock();
        inner.state.is_draining = is_draining;
        self.charge(&mut inner);
    }

    /// Changes the state under the lock; if something is to be written and nobody is writing, the claim is added to
    /// `touched`.
    #[inline]
    pub(crate) fn with<R>(
        self: &Arc<Self>,
        touched: &mut Touched,
        change: impl FnOnce(&mut State<Arc<Self>>) -> R,
    ) -> R {
        let mut inner = self.hot.inner.lock();
        let result = change(&mut inner.state);
        let is_new = !inner.is_claimed && !inner.state.outbox.is_empty();
        inner.is_claimed |= is_new;
        self.settle(&mut inner);
        drop(inner);
        if is_new {
            touched.add(Claim::new(self.clone()));
        }
        result
    }

    /// As [`Self::with`], to open streams towards the app: what its lease allows is looked at first.
    #[inline]
    pub(crate) fn with_lease<R>(
        self: &Arc<Self>,
        touched: &mut Touched,
        change: impl FnOnce(&mut State<Arc<Self>>) -> R,
    ) -> R {
        if self.grant.is_none() {
            return self.with(touched, change);
        }
        let now = Instant::now();
        let result = self.with(touched, |state| {
            state.lease.iter_mut().for_each(|lease| lease.look(now));
            change(state)
        });
        self.charge(&mut self.hot.inner.lock());
        result
    }

    /// Sends the first LEASE, if it was agreed on.
    pub(crate) fn begin_lease(self: &Arc<Self>, touched: &mut Touched) {
        let Some(grant) = self.grant else { return };
        let mut inner = self.hot.inner.lock();
        inner.renewed = Some(Instant::now());
        self.charge(&mut inner);
        drop(inner);
        self.with(touched, |state| state.renew(grant));
    }

    /// LEASE came from the app; ignored if it was not agreed on.
    pub(crate) fn lease(&self, ttl: Duration, requests: u32) {
        let mut inner = self.hot.inner.lock();
        if let Some(lease) = &mut inner.state.lease {
            lease.renew(Instant::now(), ttl, requests);
            self.charge(&mut inner);
        }
    }

    /// What was read left something to be written in the transport itself: whoever writes goes on with it.
    pub(crate) fn flush_transport(self: &Arc<Self>, touched: &mut Touched) {
        let mut inner = self.hot.inner.lock();
        let is_new = !inner.state.is_closed && !std::mem::replace(&mut inner.is_claimed, true);
        drop(inner);
        if is_new {
            touched.add(Claim::new(self.clone()));
        }
    }

    /// Publishes what balancing reads, and charges the budget while the socket is full.
    #[inline]
    fn settle(&self, inner: &mut Inner) {
        let load = inner.state.streams.count(rsocket::stream::Role::Responder) as u32;
        self.hot.load.store(load, Ordering::Relaxed);
        if inner.state.outbox.is_blocked || inner.charged > 0 {
            self.charge(inner);
        }
    }

    fn charge(&self, inner: &mut Inner) {
        let held = inner.state.weight() + inner.writing + self.hot.pending.load(Ordering::Relaxed);
        let charge = if inner.state.is_closed { 0 } else { budget::charge(held) };
        if charge != inner.charged {
            self.shared.budget.change(inner.charged, charge);
            inner.charged = charge;
        }
        let is_avoided = inner.state.is_closed
            || inner.state.is_over_mark()
            || inner.watch.is_suspect()
            || inner.state.is_stalled
            || inner.state.is_draining
            || inner.state.lease.is_some_and(Lease::is_out);
        self.hot.is_avoided.store(is_avoided, Ordering::Relaxed);
    }

    /// Bytes that wait on the reading side: an unfinished frame, gathered requests.
    pub(crate) fn set_pending(&self, bytes: usize) {
        if self.hot.pending.swap(bytes, Ordering::Relaxed) != bytes {
            self.charge(&mut self.hot.inner.lock());
        }
    }

    /// Looks at the clock: probes, marks as stalled or suspect. Says whether suspicion changed, and why to close if so.
    pub(crate) fn tick(self: &Arc<Self>, now: Instant, mut sample: Sample, touched: &mut Touched) -> (bool, Health) {
        let mut inner = self.hot.inner.lock();
        sample.is_busy = inner.state.streams.len() > 0;
        let was_suspect = inner.watch.is_suspect();
        let health = inner.watch.tick(now, sample, &self.shared.timing);
        inner.state.is_stalled = inner.watch.is_stalled();
        if health == Health::Probe && !inner.state.is_closed {
            inner.watch.probed(now);
            inner.state.outbox.push_control(Frame::keepalive(true, &[]).into_wire());
        }
        if let Some(grant) = self.grant.filter(|_| !inner.state.is_closed) {
            if inner.renewed.is_none_or(|at| now.saturating_duration_since(at) >= grant.renewal()) {
                inner.renewed = Some(now);
                inner.state.renew(grant);
            }
            inner.state.lease.iter_mut().for_each(|lease| lease.look(now));
        }
        inner.state.streams.rest();
        inner.state.outbox.rest();
        let lingering = inner.state.lingering();
        if inner.watch.should_probe_cancelled(now, lingering) {
            inner.state.probe_cancelled();
        }
        let has_changed = inner.watch.is_suspect() != was_suspect;
        self.charge(&mut inner);
        drop(inner);
        self.with(touched, |_| ());
        (has_changed, health)
    }

    /// An answer is missing: used only if nothing else is left.
    pub(crate) fn is_suspect(&self) -> bool {
        self.hot.inner.lock().watch.is_suspect()
    }

    /// Milliseconds after which a refused request should be tried again: until what waits has been taken.
    pub(crate) fn retry_after(&self) -> u64 {
        let inner = self.hot.inner.lock();
        inner.watch.time_to_take(inner.state.outbox.bytes() + inner.writing)
    }

    /// Gives a frame of stream 0 to the app.
    pub(crate) fn control(self: &Arc<Self>, frame: Frame, touched: &mut Touched) {
        self.with(touched, |state| {
            if !state.is_closed {
                state.outbox.push_control(frame.into_wire());
            }
        });
    }

    /// Closes the link: every stream ends at its other side, `farewell` is the last frame the peer gets (within a
    /// second), then the socket is shut down, which ends the read loop. Closing twice is closing once.
    pub(crate) fn close(self: &Arc<Self>, reason: CloseReason, farewell: Option<Frame>, touched: &mut Touched) {
        let mut inner = self.hot.inner.lock();
        if inner.state.is_closed {
            return;
        }
        let (open, cancelled) = inner.state.close();
        self.closed_for.get_or_init(|| reason);
        let is_silent = farewell.is_none();
        inner.farewell = farewell;
        let is_new = !std::mem::replace(&mut inner.is_claimed, true);
        self.charge(&mut inner);
        drop(inner);
        self.hot.load.store(0, Ordering::Relaxed);
        self.hot.is_avoided.store(true, Ordering::Relaxed);
        for leg in open {
            leg.link.with(touched, |state| {
                state.finish(leg.stream, leg.serial, ErrorCode::CANCELED, "the connection to the other side was lost")
            });
        }
        for leg in cancelled {
            leg.link.with(touched, State::release);
        }
        if is_new {
            writer::say_farewell(Claim::new(self.clone()), Writing::default());
        } else if is_silent {
            self.transport.shutdown();
        } else {
            self.shared.runtime.spawn(writer::end_late(self.clone()));
        }
    }

    /// Ends one stream on both sides: ERROR[CANCELED] to its requester, CANCEL to its responder.
    pub(crate) fn end_stream(self: &Arc<Self>, stream: StreamId, serial: Serial, text: &str, touched: &mut Touched) {
        let other = self.with(touched, |state| state.finish(stream, serial, ErrorCode::CANCELED, text));
        if let Some(leg) = other {
            leg.link.with(touched, |state| state.finish(leg.stream, leg.serial, ErrorCode::CANCELED, text));
        }
    }

    /// What this link holds now.
    pub(crate) fn held(&self) -> Held {
        let inner = self.hot.inner.lock();
        Held {
            requests: inner.state.streams.count(rsocket::stream::Role::Requester),
            queued: inner.state.outbox.bytes() + inner.writing,
            parked: inner.state.parked(),
        }
    }

    /// What this link holds, by stream; nothing if that is too little to be charged: ending it would free nothing.
    pub(crate) fn weights(&self) -> Vec<((StreamId, Serial), usize)> {
        let mut by_stream = hashbrown::HashMap::new();
        let inner = self.hot.inner.lock();
        if budget::charge(inner.state.outbox.weight()) == 0 {
            return Vec::new();
        }
        inner.state.outbox.weights(|stream, serial, weight| *by_stream.entry((stream, serial)).or_insert(0) += weight);
        by_stream.into_iter().filter(|((stream, _), _)| *stream != 0).collect()
    }

    /// Gives back what streams that were ended still hold.
    pub(crate) fn sweep(&self) {
        let mut inner = self.hot.inner.lock();
        inner.state.outbox.sweep();
        self.charge(&mut inner);
    }

    /// What the budget's task compares.
    pub(crate) fn budget_load(&self) -> Load {
        let inner = self.hot.inner.lock();
        Load {
            link: self.id,
            weight: inner.charged,
            is_stalled: inner.state.is_stalled || inner.watch.is_incoming_stuck(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let inner = self.hot.inner.get_mut();
        self.shared.budget.change(inner.charged, 0);
    }
}
