use super::inlet::Inlet;
use super::job::{Gate, Job, Stop};
use super::payload::Item;
use super::room::Turn;
use super::shared::Shared;
use crate::error::{ErrorCode, StreamError};
use crate::frame::StreamId;
use futures::future::poll_fn;
use futures::stream::{BoxStream, Stream, StreamExt};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Items sent by one turn.
const TURN: usize = 64;

/// Sends the items of one stream: while the peer has given credit and the outgoing queue has room.
///
/// Without credit the source is polled only when its `size_hint` says that no item is left, to send its end: an item
/// nobody asked for is never made. Dropped before its end (a panic of the source), it sends an error.
pub(super) struct Pump {
    shared: Arc<Shared>,
    stream: StreamId,
    job: Arc<Job>,
    items: Option<BoxStream<'static, Item>>,
    parked: Option<Item>,
    has_room: bool,
    turn: Turn,
    is_done: bool,
    /// Of a channel: the items the source is made from. Who drops them before an error has sent no CANCEL.
    inlet: Option<Arc<Inlet>>,
}

impl Pump {
    /// `inlet` is what a channel's items come through, watched since before the source was made.
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: StreamId,
        job: Arc<Job>,
        items: BoxStream<'static, Item>,
        inlet: Option<Arc<Inlet>>,
    ) -> Self {
        let (parked, turn) = (None, Turn::default());
        Self { shared, stream, job, items: Some(items), parked, has_room: false, turn, is_done: false, inlet }
    }

    /// Goes on in a task of its own.
    pub(super) fn spawn(mut self) {
        let runtime = self.shared.runtime.clone();
        runtime.spawn(async move {
            poll_fn(|cx| {
                let progress = self.poll(cx);
                self.shared.flush();
                progress
            })
            .await;
        });
    }

    /// Sends what can be sent now; ready once the stream's end was sent or the job was stopped. Does not flush.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURN {
            let credit = match self.job.gate(cx) {
                Gate::Credit(credit) => credit,
                Gate::Stopped(stop) => return self.stopped(stop, cx),
            };
            self.tell_left();
            let Some(items) = &mut self.items else { return Poll::Ready(()) };
            if credit == 0 && (self.parked.is_some() || items.size_hint().1 != Some(0)) {
                return Poll::Pending;
            }
            if !self.has_room && !self.shared.poll_room(&mut self.turn, cx) {
                return Poll::Pending;
            }
            let next = match self.parked.take() {
                Some(item) => Some(item),
                None => match items.poll_next_unpin(cx) {
                    Poll::Ready(next) => next,
                    Poll::Pending => {
                        self.has_room = false;
                        self.tell_left();
                        return Poll::Pending;
                    }
                },
            };
            match next {
                Some(Ok(item)) if !self.job.spend() => self.parked = Some(Ok(item)),
                Some(Ok(item)) => match self.shared.send_item(self.stream, &self.job, &item) {
                    Some(has_room) => self.has_room = has_room,
                    None => return self.done(),
                },
                Some(Err(error)) => return self.send_end(Err(error)),
                None => {
                    self.tell_left();
                    return self.send_end(Ok(()));
                }
            }
        }
        self.tell_left();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells the requester that no more of its items are wanted.
    fn tell_left(&self) {
        if let Some(inlet) = self.inlet.as_ref().filter(|inlet| inlet.take_left()) {
            self.shared.cancel_items(self.stream, inlet);
        }
    }

    fn stopped(&mut self, stop: Stop, cx: &mut Context<'_>) -> Poll<()> {
        if stop == Stop::AfterPoll
            && let Some(items) = &mut self.items
        {
            let _unsent = items.poll_next_unpin(cx);
        }
        self.done()
    }

    fn send_end(&mut self, end: Result<(), StreamError>) -> Poll<()> {
        self.shared.send_end(self.stream, &self.job, end);
        self.done()
    }

    fn done(&mut self) -> Poll<()> {
        self.is_done = true;
        self.shared.leave(&mut self.turn);
        self.items = None;
        self.unwatch();
        Poll::Ready(())
    }

    /// From here on whoever drops the items tells.
    fn unwatch(&mut self) {
        if let Some(inlet) = self.inlet.take()
            && inlet.unwatch()
        {
            self.shared.cancel_items(self.stream, &inlet);
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.leave(&mut self.turn);
        if !self.is_done {
            let error = StreamError::new(ErrorCode::APPLICATION_ERROR, "the handler of this stream failed");
            self.shared.send_end(self.stream, &self.job, Err(error));
            self.shared.flush();
        }
        self.unwatch();
    }
}
