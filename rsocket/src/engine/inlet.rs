use super::{CallFailure, Payload, Window};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// The receiving half of one stream: items that arrived and were not taken yet, and how it ended.
///
/// Items granted and not taken (`outstanding` + those here) never exceed the consumer's window.
#[derive(Debug)]
pub(super) struct Inlet {
    state: Mutex<InletState>,
}

#[derive(Debug)]
struct InletState {
    first: Option<Payload>,
    more: VecDeque<Payload>,
    outstanding: u64,
    end: Option<Result<(), CallFailure>>,
    is_ended: bool,
    waker: Option<Waker>,
    /// A pump tells the requester when the responder wants no more of it.
    is_watched: bool,
    /// The responder wants no more of it, and the requester has not been told.
    is_left: bool,
}

/// What one poll of an [`Inlet`] found.
pub(super) struct Taken {
    pub(super) item: Poll<Option<Result<Payload, CallFailure>>>,
    /// To be sent as REQUEST_N, if not 0.
    pub(super) grant: u32,
}

impl Inlet {
    /// Without items, after a grant of `granted`.
    pub(super) fn new(granted: u32) -> Self {
        Self {
            state: Mutex::new(InletState {
                first: None,
                more: VecDeque::new(),
                outstanding: u64::from(granted),
                end: None,
                is_ended: false,
                waker: None,
                is_watched: false,
                is_left: false,
            }),
        }
    }

    /// An item arrived, or the end, or both. False: the item is more than was granted; it was dropped.
    #[must_use]
    pub(super) fn arrived(&self, item: Option<Payload>, is_complete: bool) -> bool {
        let mut state = self.state.lock();
        if let Some(item) = item {
            if state.outstanding == 0 {
                return false;
            }
            state.outstanding -= 1;
            if state.first.is_none() && state.more.is_empty() {
                state.first = Some(item);
            } else {
                state.more.push_back(item);
            }
        }
        if is_complete {
            state.finish(Ok(()));
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        true
    }

    /// The stream ended with an error, after the items that are here. A second end changes nothing.
    pub(super) fn fail(&self, failure: CallFailure) {
        let mut state = self.state.lock();
        state.finish(Err(failure));
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes the next item, or the one answer.
    pub(super) fn poll(&self, cx: &mut Context<'_>, window: Option<Window>) -> Taken {
        let mut state = self.state.lock();
        let mut replaced = None;
        let item = match state.pop() {
            Some(item) => Poll::Ready(Some(Ok(item))),
            None if state.is_ended => Poll::Ready(match state.end.take() {
                Some(Err(failure)) => Some(Err(failure)),
                _ => None,
            }),
            None => {
                if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    replaced = state.waker.replace(cx.waker().clone());
                }
                Poll::Pending
            }
        };
        let mut grant = 0;
        if let Some(window) = window
            && !state.is_ended
        {
            grant = window.top_up(state.outstanding + state.unread(), item.is_pending());
            state.outstanding += u64::from(grant);
        }
        drop(state);
        drop(replaced);
        Taken { item, grant }
    }

    /// A pump watches this from now on.
    pub(super) fn watch(&self) {
        self.state.lock().is_watched = true;
    }

    /// No pump watches it any more; true if the requester is still to be told that the responder has left.
    pub(super) fn unwatch(&self) -> bool {
        self.state.lock().is_watched = false;
        self.take_left()
    }

    /// The responder wants no more; false if no pump will tell.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        state.is_left = state.is_watched;
        state.is_watched
    }

    /// Whether the responder has left, once.
    pub(super) fn take_left(&self) -> bool {
        std::mem::take(&mut self.state.lock().is_left)
    }

    /// How many items are still to be taken: known once the end is here.
    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        let state = self.state.lock();
        let here = state.unread() as usize;
        let error = usize::from(matches!(state.end, Some(Err(_))));
        (here, state.is_ended.then_some(here + error))
    }
}

impl InletState {
    fn pop(&mut self) -> Option<Payload> {
        let item = self.first.take()?;
        self.first = self.more.pop_front();
        Some(item)
    }

    fn unread(&self) -> u64 {
        u64::from(self.first.is_some()) + self.more.len() as u64
    }

    fn finish(&mut self, end: Result<(), CallFailure>) {
        if !self.is_ended {
            self.is_ended = true;
            self.end = Some(end);
        }
    }
}
