use super::Window;
use super::failure::CallFailure;
use super::inlet::Inlet;
use super::payload::Item;
use super::shared::Shared;
use crate::frame::StreamId;
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The items a requester sends on a channel, after the first.
///
/// The first poll grants [`Config::prefetch`](super::Config::prefetch) items, later polls top up what was taken.
/// Dropping it before its end sends CANCEL, which stops the requester's items only. If the requester fails, cancels or
/// is gone, or sends more than it was granted, it yields that error.
pub struct Inbound {
    shared: Arc<Shared>,
    stream: StreamId,
    inlet: Arc<Inlet>,
    window: Window,
    is_done: bool,
}

impl Inbound {
    pub(super) fn new(shared: Arc<Shared>, stream: StreamId, inlet: Arc<Inlet>) -> Self {
        let window = shared.config.window().checked();
        Self { shared, stream, inlet, window, is_done: false }
    }
}

impl Stream for Inbound {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let taken = self.inlet.poll(cx, Some(self.window));
        if taken.grant > 0 {
            self.shared.request_n(self.stream, &self.inlet, taken.grant);
        }
        let item = ready!(taken.item);
        self.is_done = !matches!(item, Some(Ok(_)));
        Poll::Ready(item.map(|item| item.map_err(CallFailure::into_stream_error)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.is_done { (0, Some(0)) } else { self.inlet.size_hint() }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // While the answers are made it is for their pump to tell: an error behind this says more than CANCEL.
        if self.inlet.leave() {
            self.shared.wake_pump(self.stream, &self.inlet);
        } else {
            self.shared.cancel_items(self.stream, &self.inlet);
        }
    }
}
