use super::answer::Oneway;
use super::inbound::Inbound;
use super::inlet::Inlet;
use super::job::Job;
use super::payload::Payload;
use super::pump::Pump;
use super::replier::Replier;
use super::responder::Responder;
use super::shared::{Entry, Shared, error_frame};
use crate::error::{ErrorCode, StreamError};
use crate::frame::{FrameType, StreamId};
use crate::stream::{Halves, Role};
use futures::future::BoxFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::task::unconstrained;

/// A whole request of the peer.
pub(super) struct Request {
    pub(super) kind: FrameType,
    pub(super) stream: StreamId,
    pub(super) n: u32,
    pub(super) is_complete: bool,
    pub(super) payload: Payload,
}

/// Hands a request to the responder and polls what it returns once; spawns what is not done then.
pub(super) fn serve(shared: &Arc<Shared>, responder: &dyn Responder, request: Request) {
    let (kind, stream) = (request.kind, request.stream);
    if !is_admitted(shared, kind, stream) {
        return;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| match kind {
        FrameType::RequestFnf => fire(shared, responder.fire_and_forget(request.payload)),
        FrameType::RequestResponse => responder.answer(request.payload, Replier::new(shared.clone(), stream)),
        _ => produce(shared, responder, request),
    }));
    if outcome.is_err() {
        panicked(shared, kind, stream);
    }
}

/// Looks at the id in use, and at the limits. A refusal is answered here.
fn is_admitted(shared: &Arc<Shared>, kind: FrameType, stream: StreamId) -> bool {
    let mut state = shared.state.lock();
    if !state.ids.is_peers(stream) || state.streams.contains_key(&stream) || state.ended.is_some() {
        return false;
    }
    let is_full = state.served + state.oneways.len() >= shared.config.max_streams;
    let reason = if is_full {
        "too many requests in progress"
    } else if state.closing.is_some() {
        "this side is closing"
    } else if state.leases.as_mut().is_some_and(|leases| !leases.admit()) {
        "the lease allows no more requests"
    } else {
        return true;
    };
    if kind != FrameType::RequestFnf {
        let error = StreamError::new(ErrorCode::REJECTED, reason);
        shared.refuse(state, stream, &error);
    }
    false
}

/// The first poll, by the task that reads: without its budget, which belongs to the reading, and without a waker, as
/// the future is polled again at once by its own task if it is not done.
pub(super) fn first_poll<T>(future: &mut BoxFuture<'static, T>) -> Poll<T> {
    pin!(unconstrained(future)).poll(&mut Context::from_waker(Waker::noop()))
}

fn fire(shared: &Arc<Shared>, mut handler: BoxFuture<'static, ()>) {
    if first_poll(&mut handler).is_pending()
        && let Some(oneway) = Oneway::new(shared.clone())
    {
        shared.runtime.spawn(oneway.run(handler));
    }
}

/// A stream or a channel.
fn produce(shared: &Arc<Shared>, responder: &dyn Responder, request: Request) {
    let Request { kind, stream, n, is_complete, payload } = request;
    let job = Arc::new(Job::new(n));
    let inlet = (kind == FrameType::RequestChannel).then(|| Arc::new(Inlet::new(0)));
    if !register(shared, stream, kind, &job, inlet.clone(), is_complete) {
        return;
    }
    let items = match inlet.clone() {
        Some(inlet) => {
            inlet.watch();
            let was_granted = !is_complete || inlet.arrived(None, true);
            debug_assert!(was_granted, "an end needs no credit");
            responder.request_channel(payload, Inbound::new(shared.clone(), stream, inlet))
        }
        None => responder.request_stream(payload),
    };
    let mut pump = Pump::new(shared.clone(), stream, job, items, inlet);
    let mut first = std::future::poll_fn(|cx| pump.poll(cx));
    let progress = pin!(unconstrained(&mut first)).poll(&mut Context::from_waker(Waker::noop()));
    if progress.is_pending() {
        pump.spawn();
    }
}

/// Opens the stream of a request-response that is answered later. `None` if the connection has ended.
pub(super) fn promise(shared: &Shared, stream: StreamId) -> Option<u64> {
    let mut state = shared.state.lock();
    if state.ended.is_some() {
        return None;
    }
    state.served += 1;
    state.promised += 1;
    let serial = state.promised;
    let halves = Halves::open(FrameType::RequestResponse, false);
    let before = state.streams.insert(stream, Entry::Promised { serial, halves, is_partial: false });
    debug_assert!(before.is_none(), "ids in use are not admitted");
    Some(serial)
}

pub(super) fn register(
    shared: &Shared,
    stream: StreamId,
    kind: FrameType,
    job: &Arc<Job>,
    inlet: Option<Arc<Inlet>>,
    is_complete: bool,
) -> bool {
    let halves = Halves::open(kind, is_complete);
    let mut state = shared.state.lock();
    if state.ended.is_some() {
        return false;
    }
    state.served += 1;
    let entry = Entry::Served { job: job.clone(), inlet, halves, is_partial: false };
    state.streams.insert(stream, entry).is_none()
}

/// The responder panicked before its future or stream existed, or at the first poll.
fn panicked(shared: &Arc<Shared>, kind: FrameType, stream: StreamId) {
    tracing::error!(stream, ?kind, "a responder panicked");
    // Its replier has said so, when it was dropped.
    if matches!(kind, FrameType::RequestFnf | FrameType::RequestResponse) {
        return;
    }
    let mut state = shared.state.lock();
    let is_ended_by_guard = state.streams.get_mut(&stream).is_none_or(|entry| !entry.halves().is_open(Role::Responder));
    if is_ended_by_guard {
        return;
    }
    let removed = state.remove(stream);
    let error = StreamError::new(ErrorCode::APPLICATION_ERROR, "the handler of this request failed");
    state.outgoing.push_frame(error_frame(stream, &error));
    shared.settle(state, removed);
}
