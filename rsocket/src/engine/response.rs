use super::Window;
use super::failure::CallFailure;
use super::inlet::Inlet;
use super::job::Job;
use super::payload::{Item, Payload};
use super::pump::Pump;
use super::room::Turn;
use super::shared::{Entry, Shared};
use crate::frame::{FrameType, StreamId};
use crate::stream::Halves;
use futures::Stream;
use futures::stream::BoxStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The answers of a request-stream or request-channel.
///
/// The request is sent at the first poll; REQUEST_N goes out as items are taken; dropping it before its end sends
/// CANCEL, which ends both directions of a channel. After its end a channel's own items still go on.
#[must_use = "a request is sent when it is first polled"]
pub struct ResponseStream {
    shared: Arc<Shared>,
    window: Window,
    turn: Turn,
    step: Step,
}

enum Step {
    Unsent(Payload, Option<BoxStream<'static, Item>>),
    Sent(StreamId, Arc<Inlet>),
    Done,
}

impl ResponseStream {
    pub(super) fn new(
        shared: Arc<Shared>,
        request: Payload,
        items: Option<BoxStream<'static, Item>>,
        window: Window,
    ) -> Self {
        Self { shared, window: window.checked(), turn: Turn::default(), step: Step::Unsent(request, items) }
    }

    fn poll_send(&mut self, cx: &Context<'_>) -> Poll<Result<(), CallFailure>> {
        let Step::Unsent(request, items) = &mut self.step else { return Poll::Ready(Ok(())) };
        let kind = if items.is_some() { FrameType::RequestChannel } else { FrameType::RequestStream };
        let n = self.window.first();
        let inlet = Arc::new(Inlet::new(n));
        let up = items.is_some().then(|| Arc::new(Job::new(0)));
        let opened = ready!(self.shared.poll_open(cx, &mut self.turn, (kind, n), request, |end| {
            let (inlet, up) = (inlet.clone(), up.clone());
            Some(Entry::Call { kind, inlet, up, halves: Halves::open(kind, false), end, is_partial: false })
        }));
        let stream = match opened {
            Ok(stream) => stream,
            Err(failure) => {
                self.step = Step::Done;
                return Poll::Ready(Err(failure));
            }
        };
        if let Some((items, up)) = items.take().zip(up) {
            Pump::new(self.shared.clone(), stream, up, items, None).spawn();
        }
        self.step = Step::Sent(stream, inlet);
        Poll::Ready(Ok(()))
    }
}

impl Stream for ResponseStream {
    type Item = Result<Payload, CallFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.poll_send(cx))?;
        let Step::Sent(stream, inlet) = &self.step else { return Poll::Ready(None) };
        let taken = inlet.poll(cx, Some(self.window));
        if taken.grant > 0 {
            self.shared.request_n(*stream, inlet, taken.grant);
        }
        let item = ready!(taken.item);
        if !matches!(item, Some(Ok(_))) {
            self.step = Step::Done;
        }
        Poll::Ready(item)
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        self.shared.leave(&mut self.turn);
        if let Step::Sent(stream, inlet) = &self.step {
            self.shared.cancel(*stream, inlet);
        }
    }
}
