use super::failure::CallFailure;
use super::inlet::Inlet;
use super::payload::Payload;
use super::room::Turn;
use super::shared::{Entry, Shared};
use crate::frame::{FrameType, StreamId};
use crate::stream::Halves;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// One request-response: sent at its first poll, cancelled when dropped before its end.
#[must_use = "a call is sent when it is first polled"]
pub struct ResponseFuture {
    shared: Arc<Shared>,
    turn: Turn,
    step: Step,
}

enum Step {
    Unsent(Payload),
    Sent(StreamId, Arc<Inlet>),
    Done,
}

impl ResponseFuture {
    pub(super) fn new(shared: Arc<Shared>, request: Payload) -> Self {
        Self { shared, turn: Turn::default(), step: Step::Unsent(request) }
    }

    fn poll_send(&mut self, cx: &Context<'_>) -> Poll<Result<(), CallFailure>> {
        let Step::Unsent(request) = &self.step else { return Poll::Ready(Ok(())) };
        let mut opened = None;
        let kind = FrameType::RequestResponse;
        let stream = ready!(self.shared.poll_open(cx, &mut self.turn, (kind, 0), request, |end| {
            let inlet = opened.insert(Arc::new(Inlet::new(1))).clone();
            Some(Entry::Call { kind, inlet, up: None, halves: Halves::open(kind, false), end, is_partial: false })
        }));
        match (stream, opened) {
            (Ok(stream), Some(inlet)) => self.step = Step::Sent(stream, inlet),
            (Err(failure), _) => {
                self.step = Step::Done;
                return Poll::Ready(Err(failure));
            }
            (Ok(_), None) => unreachable!("poll_open makes the entry of every stream it opens"),
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Option<Payload>, CallFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.poll_send(cx))?;
        let Step::Sent(_, inlet) = &self.step else { panic!("a call was polled after its end") };
        let answer = ready!(inlet.poll(cx, None).item);
        self.step = Step::Done;
        Poll::Ready(answer.transpose())
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        self.shared.leave(&mut self.turn);
        if let Step::Sent(stream, inlet) = &self.step {
            self.shared.cancel(*stream, inlet);
        }
    }
}

/// One fire-and-forget: done once its request is in the outgoing queue.
#[must_use = "a request is sent when it is first polled"]
pub struct FireFuture {
    shared: Arc<Shared>,
    turn: Turn,
    request: Payload,
}

impl FireFuture {
    pub(super) fn new(shared: Arc<Shared>, request: Payload) -> Self {
        Self { shared, turn: Turn::default(), request }
    }
}

impl Future for FireFuture {
    type Output = Result<(), CallFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, turn, request } = &mut *self;
        shared.poll_open(cx, turn, (FrameType::RequestFnf, 0), request, |_| None).map_ok(|_| ())
    }
}

impl Drop for FireFuture {
    fn drop(&mut self) {
        self.shared.leave(&mut self.turn);
    }
}
