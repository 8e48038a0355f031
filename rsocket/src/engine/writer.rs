use super::outgoing::BATCH;
use super::shared::{Shared, State};
use crate::transport::writable;
use parking_lot::MutexGuard;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Waker;
use tokio::task::yield_now;

/// How far a round of writing got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing waits; the claim is let go.
    Done,
    /// The socket is full; the claim is kept.
    Full,
    /// Enough for one turn; the claim is kept.
    Turn,
}

impl Shared {
    /// Takes the right to write, if nobody has it.
    pub(super) fn claim(&self) -> bool {
        let mut state = self.state.lock();
        !std::mem::replace(&mut state.is_claimed, true)
    }

    /// Writes what waits, unless somebody else does already.
    pub(super) fn flush(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let is_idle = state.outgoing.is_empty() && !self.transport.has_unsent() && state.ended.is_none();
        if state.is_claimed || is_idle {
            return;
        }
        state.is_claimed = true;
        self.write_claimed(state);
    }

    /// The same, together with what those queue that are ready at the same time: a write is a system call, and wakes the peer.
    pub(super) async fn flush_together(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.is_claimed || state.outgoing.is_empty() {
                return;
            }
            state.is_claimed = true;
        }
        yield_now().await;
        self.write_claimed(self.state.lock());
    }

    /// Writes what waits; the caller holds the claim. What the socket does not take now is left to a write task.
    pub(super) fn write_claimed<'a>(self: &'a Arc<Self>, state: MutexGuard<'a, State>) {
        if self.write(state) != Progress::Done {
            self.runtime.spawn(write_on(self.clone()));
        }
    }

    fn write<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Progress {
        let mut total = 0;
        loop {
            if let Some(ended) = &state.ended
                && !ended.is_writing_on
            {
                state.outgoing.clear();
                state.is_claimed = false;
                return Progress::Done;
            }
            let batch = state.outgoing.take();
            if batch.is_none() && !self.transport.has_unsent() {
                state.is_claimed = false;
                state.refusals = 0;
                let is_ended = state.ended.is_some();
                drop(state);
                if is_ended {
                    self.transport.shutdown();
                    self.flushed.notify_one();
                }
                return Progress::Done;
            }
            // An empty one for what only the transport has to say.
            let mut batch = batch.unwrap_or_default();
            state.is_writing = true;
            drop(state);
            let result = self.transport.try_write(&mut batch);
            state = self.state.lock();
            state.is_writing = false;
            state.outgoing.put_back(batch, *result.as_ref().unwrap_or(&0));
            let is_low = state.outgoing.queued() <= self.config.outgoing_mark / 2;
            let waiters = if is_low && !state.room.is_empty() { Some(state.room.take()) } else { None };
            let released = state.release();
            if waiters.is_some() || released.is_some() {
                MutexGuard::unlocked(&mut state, || {
                    waiters.into_iter().flatten().for_each(|(_, waker)| Waker::wake(waker));
                    released.into_iter().for_each(|released| released.finish());
                });
            }
            match result {
                Ok(written) => total += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Full,
                Err(error) => {
                    // The claim is kept for good: nothing is written any more. What the peer said before it closed may
                    // still be read, and tells more than this error does.
                    state.write_error = Some(error.into());
                    return Progress::Done;
                }
            }
            if total >= BATCH {
                return Progress::Turn;
            }
        }
    }
}

/// Writes while the socket is full now and then; ends once nothing waits.
async fn write_on(shared: Arc<Shared>) {
    loop {
        let state = shared.state.lock();
        let progress = shared.write(state);
        match progress {
            Progress::Done => return,
            // An error here shows at the next write.
            Progress::Full => drop(writable(&*shared.transport).await),
            Progress::Turn => yield_now().await,
        }
    }
}
