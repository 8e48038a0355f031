use super::Config;
use super::answer::Outcome;
use super::ending::{Ended, Ending};
use super::failure::CallFailure;
use super::ids::Ids;
use super::inlet::Inlet;
use super::job::{Job, Stop};
use super::lease::Leases;
use super::message::{Head, Message};
use super::outgoing::Outgoing;
use super::payload::Payload;
use super::room::{Room, Turn};
use crate::error::{ConnectionError, ErrorCode, StreamError};
use crate::frame::{Frame, FrameType, StreamId, flags};
use crate::stream::{Halves, Role, Signal};
use crate::transport::Transport;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Refusals that may wait to be written, at least.
const REFUSALS: usize = 1_024;

/// One connection, as its driver, its calls and its answers share it.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) config: Config,
    /// Where tasks are spawned: a call may be made or dropped outside any runtime.
    pub(super) runtime: Handle,
    /// The connection ended.
    pub(super) ended: Notify,
    /// The last frame of an ended connection was written.
    pub(super) flushed: Notify,
    /// The last stream of a closing connection ended.
    pub(super) quiet: Notify,
    /// LEASE came.
    pub(super) leased: Notify,
}

pub(super) struct State {
    pub(super) streams: HashMap<StreamId, Entry>,
    /// Fire-and-forget requests in progress: their streams ended when they arrived.
    pub(super) oneways: HashMap<u64, Arc<Job>>,
    pub(super) next_oneway: u64,
    /// Entries of `streams` that the peer opened.
    pub(super) served: usize,
    /// Requests that were promised an answer so far.
    pub(super) promised: u64,
    pub(super) ids: Ids,
    /// LEASE was agreed on.
    pub(super) leases: Option<Leases>,
    pub(super) outgoing: Outgoing,
    pub(super) room: Room,
    /// Someone writes, or will.
    pub(super) is_claimed: bool,
    /// A write is in progress without the lock.
    pub(super) is_writing: bool,
    /// Writing failed; the reader finds out why.
    pub(super) write_error: Option<ConnectionError>,
    /// Why no new call is taken, while streams go on.
    pub(super) closing: Option<ConnectionError>,
    /// CONNECTION_CLOSE was sent or read: the connection ends with its last stream.
    pub(super) is_announced: bool,
    pub(super) ended: Option<Ended>,
    /// Refusals queued since the outgoing queue was last empty.
    pub(super) refusals: usize,
    /// Streams ended by this side with fragments of theirs held by the driver.
    pub(super) abandoned: Vec<StreamId>,
}

/// One stream.
pub(super) enum Entry {
    /// Opened by this side.
    Call {
        kind: FrameType,
        inlet: Arc<Inlet>,
        /// A channel's pump.
        up: Option<Arc<Job>>,
        halves: Halves,
        /// Position of the request's last byte in the outgoing queue.
        end: u64,
        is_partial: bool,
    },
    /// Opened by the peer.
    Served {
        job: Arc<Job>,
        /// A channel's items.
        inlet: Option<Arc<Inlet>>,
        halves: Halves,
        is_partial: bool,
    },
    /// A request-response of the peer that nothing here runs for: whoever holds its `Later` answers it.
    Promised {
        /// No other one of this connection has it.
        serial: u64,
        halves: Halves,
        is_partial: bool,
    },
}

impl Entry {
    pub(super) fn halves(&mut self) -> &mut Halves {
        let (Self::Call { halves, .. } | Self::Served { halves, .. } | Self::Promised { halves, .. }) = self;
        halves
    }

    pub(super) fn inlet(&self) -> Option<&Arc<Inlet>> {
        match self {
            Self::Call { inlet, .. } => Some(inlet),
            Self::Served { inlet, .. } => inlet.as_ref(),
            Self::Promised { .. } => None,
        }
    }

    pub(super) fn job(&self) -> Option<&Arc<Job>> {
        match self {
            Self::Call { up, .. } => up.as_ref(),
            Self::Served { job, .. } => Some(job),
            Self::Promised { .. } => None,
        }
    }

    pub(super) fn is_partial(&mut self) -> &mut bool {
        let (Self::Call { is_partial, .. } | Self::Served { is_partial, .. } | Self::Promised { is_partial, .. }) =
            self;
        is_partial
    }

    fn has_inlet(&self, inlet: &Arc<Inlet>) -> bool {
        self.inlet().is_some_and(|own| Arc::ptr_eq(own, inlet))
    }

    fn has_job(&self, job: &Arc<Job>) -> bool {
        self.job().is_some_and(|own| Arc::ptr_eq(own, job))
    }

    /// Who this side is in the stream.
    fn role(&self) -> Role {
        if matches!(self, Self::Call { .. }) { Role::Requester } else { Role::Responder }
    }
}

impl State {
    pub(super) fn new(ids: Ids, leases: Option<Leases>) -> Self {
        Self {
            streams: HashMap::new(),
            oneways: HashMap::new(),
            next_oneway: 0,
            served: 0,
            promised: 0,
            ids,
            leases,
            outgoing: Outgoing::default(),
            room: Room::default(),
            is_claimed: false,
            is_writing: false,
            write_error: None,
            closing: None,
            is_announced: false,
            ended: None,
            refusals: 0,
            abandoned: Vec::new(),
        }
    }

    pub(super) fn has_room(&self, config: &Config) -> bool {
        self.ended.is_some() || self.outgoing.queued() < config.outgoing_mark
    }

    /// Why no new call is taken, if so.
    pub(super) fn refusal(&self) -> Option<ConnectionError> {
        self.ended.as_ref().map(|ended| ended.error.clone()).or_else(|| self.closing.clone())
    }

    fn push_answer(&mut self, stream: StreamId, message: Message<'_>, answer: &Outcome) {
        match answer {
            Ok(_) => drop(self.outgoing.push(message)),
            Err(error) => self.outgoing.push_frame(error_frame(stream, error)),
        }
    }

    /// Nothing is in progress.
    pub(super) fn is_quiet(&self) -> bool {
        self.streams.is_empty() && self.oneways.is_empty()
    }

    /// Takes a stream out; the entry is to be dropped without the lock.
    pub(super) fn remove(&mut self, stream: StreamId) -> Option<Entry> {
        let mut entry = self.streams.remove(&stream)?;
        self.served -= usize::from(!matches!(entry, Entry::Call { .. }));
        if *entry.is_partial() {
            self.abandoned.push(stream);
        }
        Some(entry)
    }

    /// Applies a signal to a stream that is there, and takes it out if that ends it.
    pub(super) fn signal(&mut self, stream: StreamId, from: Role, signal: Signal) -> Option<Entry> {
        let halves = self.streams.get_mut(&stream)?.halves();
        halves.apply(from, signal);
        if halves.is_ended() { self.remove(stream) } else { None }
    }
}

impl Shared {
    /// Lets go of the lock, then wakes who waits for the last stream, then drops what was taken out.
    pub(super) fn settle(&self, state: MutexGuard<'_, State>, removed: Option<Entry>) {
        let is_last = state.closing.is_some() && state.is_quiet();
        drop(state);
        drop(removed);
        if is_last {
            self.quiet.notify_waiters();
        }
    }

    /// Opens a stream of this side and queues its request, once there is room.
    pub(super) fn poll_open(
        self: &Arc<Self>,
        cx: &Context<'_>,
        turn: &mut Turn,
        (kind, n): (FrameType, u32),
        request: &Payload,
        entry: impl FnOnce(u64) -> Option<Entry>,
    ) -> Poll<Result<StreamId, CallFailure>> {
        if Message::is_large(request) && !self.poll_room(turn, cx) {
            return Poll::Pending;
        }
        let mut message = Message::new(Head { kind, stream: 0, flags: 0, n }, request, self.config.max_frame);
        let mut state = self.state.lock();
        if let Some(error) = state.refusal() {
            return Poll::Ready(Err(CallFailure::Connection { error, is_written: false }));
        }
        if !state.has_room(&self.config) {
            let replaced = state.room.wait(turn, cx);
            drop(state);
            drop(replaced);
            return Poll::Pending;
        }
        if let Some(leases) = &mut state.leases
            && !leases.spend(now())
        {
            let text = "the peer's lease allows no request now: this one was not sent";
            return Poll::Ready(Err(CallFailure::stream(ErrorCode::REJECTED, text)));
        }
        let state_mut = &mut *state;
        let stream = state_mut.ids.draw(|id| state_mut.streams.contains_key(&id));
        message.address(stream);
        let end = state.outgoing.push(message);
        if let Some(entry) = entry(end) {
            state.streams.insert(stream, entry);
        }
        drop(state);
        self.leave(turn);
        self.flush();
        Poll::Ready(Ok(stream))
    }

    /// The caller lost interest: ends the call if it is still there.
    pub(super) fn cancel(self: &Arc<Self>, stream: StreamId, inlet: &Arc<Inlet>) {
        let mut state = self.state.lock();
        if !state.streams.get(&stream).is_some_and(|entry| entry.has_inlet(inlet)) {
            return;
        }
        let removed = state.remove(stream);
        state.outgoing.push_signal(FrameType::Cancel, stream, 0, 0);
        let up = removed.as_ref().and_then(Entry::job).cloned();
        self.settle(state, removed);
        if let Some(up) = up {
            up.stop(Stop::Now);
        }
        self.flush();
    }

    /// The responder of a channel wants no more items.
    pub(super) fn cancel_items(self: &Arc<Self>, stream: StreamId, inlet: &Arc<Inlet>) {
        let mut state = self.state.lock();
        let Some(entry) = state.streams.get_mut(&stream) else { return };
        if !entry.has_inlet(inlet) || !entry.halves().is_open(Role::Requester) {
            return;
        }
        let was_partial = std::mem::take(entry.is_partial());
        if was_partial {
            state.abandoned.push(stream);
        }
        state.outgoing.push_signal(FrameType::Cancel, stream, 0, 0);
        let removed = state.signal(stream, Role::Responder, Signal::Cancel);
        self.settle(state, removed);
        self.flush();
    }

    /// Makes the pump of a channel look again.
    pub(super) fn wake_pump(&self, stream: StreamId, inlet: &Arc<Inlet>) {
        let state = self.state.lock();
        let entry = state.streams.get(&stream).filter(|entry| entry.has_inlet(inlet));
        let job = entry.and_then(Entry::job).cloned();
        drop(state);
        if let Some(job) = job {
            job.wake();
        }
    }

    /// A consumer took items: grants more.
    pub(super) fn request_n(self: &Arc<Self>, stream: StreamId, inlet: &Arc<Inlet>, n: u32) {
        let mut state = self.state.lock();
        if !state.streams.get(&stream).is_some_and(|entry| entry.has_inlet(inlet)) {
            return;
        }
        state.outgoing.push_signal(FrameType::RequestN, stream, 0, n);
        drop(state);
        self.flush();
    }

    /// Queues an item of a stream this side produces for. `None`: that stream is gone; else whether there is room for
    /// more. Not flushed.
    pub(super) fn send_item(&self, stream: StreamId, job: &Arc<Job>, item: &Payload) -> Option<bool> {
        let head = Head { kind: FrameType::Payload, stream, flags: flags::NEXT, n: 0 };
        let message = Message::new(head, item, self.config.max_frame);
        let mut state = self.state.lock();
        if !state.streams.get(&stream).is_some_and(|entry| entry.has_job(job)) {
            return None;
        }
        state.outgoing.push(message);
        Some(state.has_room(&self.config))
    }

    /// Queues the end of what this side produces for a stream. Not flushed.
    pub(super) fn send_end(&self, stream: StreamId, job: &Arc<Job>, end: Result<(), StreamError>) {
        let mut state = self.state.lock();
        let Some(entry) = state.streams.get(&stream).filter(|entry| entry.has_job(job)) else { return };
        let role = entry.role();
        let signal = match end {
            Ok(()) => {
                state.outgoing.push_signal(FrameType::Payload, stream, flags::COMPLETE, 0);
                Signal::Complete
            }
            Err(error) => {
                state.outgoing.push_frame(error_frame(stream, &error));
                Signal::Error
            }
        };
        let removed = state.signal(stream, role, signal);
        let inlet = removed.as_ref().and_then(Entry::inlet).cloned();
        self.settle(state, removed);
        if signal == Signal::Error
            && let Some(inlet) = inlet
        {
            inlet.fail(CallFailure::stream(ErrorCode::CANCELED, "this side ended the channel with an error"));
        }
    }

    /// Queues the answer to a request-response and takes its entry out, if it has one (`job`). Not flushed.
    pub(super) fn send_answer(&self, stream: StreamId, job: Option<&Arc<Job>>, answer: &Outcome) {
        let message = self.message(stream, answer);
        let mut state = self.state.lock();
        let mut removed = None;
        if let Some(job) = job {
            if !state.streams.get(&stream).is_some_and(|entry| entry.has_job(job)) {
                return;
            }
            removed = state.remove(stream);
        }
        state.push_answer(stream, message, answer);
        self.settle(state, removed);
    }

    /// The same for a request that was promised an answer; a task writes it, with others that come at the same time.
    pub(super) fn keep_promise(self: &Arc<Self>, stream: StreamId, promise: u64, answer: &Outcome) {
        let message = self.message(stream, answer);
        let mut state = self.state.lock();
        let entry = state.streams.get(&stream);
        if !entry.is_some_and(|entry| matches!(entry, Entry::Promised { serial, .. } if *serial == promise)) {
            return;
        }
        let removed = state.remove(stream);
        state.push_answer(stream, message, answer);
        let is_claimed = std::mem::replace(&mut state.is_claimed, true);
        self.settle(state, removed);
        if !is_claimed {
            let shared = self.clone();
            self.runtime.spawn(async move { shared.write_claimed(shared.state.lock()) });
        }
    }

    fn message<'a>(&self, stream: StreamId, answer: &'a Outcome) -> Message<'a> {
        static EMPTY: Payload = Payload { metadata: None, data: Bytes::new() };
        let (bits, payload) = match answer {
            Ok(Some(payload)) => (flags::NEXT | flags::COMPLETE, payload),
            Ok(None) | Err(_) => (flags::COMPLETE, &EMPTY),
        };
        Message::new(Head { kind: FrameType::Payload, stream, flags: bits, n: 0 }, payload, self.config.max_frame)
    }

    /// Queues ERROR for a request that is not served. A peer that goes on asking and reads no refusal is cut off. Not
    /// flushed.
    pub(super) fn refuse(self: &Arc<Self>, mut state: MutexGuard<'_, State>, stream: StreamId, error: &StreamError) {
        state.outgoing.push_frame(error_frame(stream, error));
        state.refusals += 1;
        let is_flood = state.refusals > self.config.max_streams.max(REFUSALS);
        drop(state);
        if is_flood {
            self.end(ConnectionError::Closed, Ending::Dead);
        }
    }
}

/// The time leases and keepalive go by.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// ERROR on a stream. A code that belongs on stream 0 would be read as something else: it becomes APPLICATION_ERROR.
pub(super) fn error_frame(stream: StreamId, error: &StreamError) -> Frame {
    let is_reserved = error.code.is_connection() || error.code.0 == u32::MAX;
    let code = if is_reserved { ErrorCode::APPLICATION_ERROR } else { error.code };
    Frame::error(stream, code, &error.message)
}
