use super::shared::Shared;
use std::collections::BTreeMap;
use std::task::{Context, Waker};

/// Who waits for the outgoing queue to fall below its mark, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Room {
    waiters: BTreeMap<u64, Waker>,
    next: u64,
}

/// One waiter's place; the owner gives it up with [`Shared::leave`] when it is dropped while waiting.
#[derive(Debug, Default)]
pub(super) struct Turn(Option<u64>);

impl Room {
    /// Registers, or registers again under the same place. The waker returned is to be dropped without the lock.
    pub(super) fn wait(&mut self, turn: &mut Turn, cx: &Context<'_>) -> Option<Waker> {
        let key = *turn.0.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.waiters.insert(key, cx.waker().clone())
    }

    /// Everyone who waits, to be woken without the lock.
    pub(super) fn take(&mut self) -> BTreeMap<u64, Waker> {
        std::mem::take(&mut self.waiters)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

impl Shared {
    /// Whether something large may be queued; if not, `cx` is woken once it may, or when the connection ends.
    pub(super) fn poll_room(&self, turn: &mut Turn, cx: &Context<'_>) -> bool {
        let mut state = self.state.lock();
        if state.has_room(&self.config) {
            return true;
        }
        let replaced = state.room.wait(turn, cx);
        drop(state);
        drop(replaced);
        false
    }

    /// Gives up a place.
    pub(super) fn leave(&self, turn: &mut Turn) {
        if let Some(key) = turn.0.take() {
            let waker = self.state.lock().room.waiters.remove(&key);
            drop(waker);
        }
    }
}
