use super::failure::CallFailure;
use super::job::Stop;
use super::outgoing::Positions;
use super::shared::{Entry, Shared, State};
use crate::error::ConnectionError;
use crate::frame::Frame;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::timeout;

/// How long the last frames of a connection may take.
const LINGER: Duration = Duration::from_secs(1);

/// A connection that is over.
pub(super) struct Ended {
    pub(super) error: ConnectionError,
    /// What was queued when it ended is still written.
    pub(super) is_writing_on: bool,
    /// Its calls have been told.
    is_released: bool,
}

/// How a connection ends.
pub(super) enum Ending {
    /// The socket is dead: nothing more is written.
    Dead,
    /// The peer broke the protocol: what the socket began to take, then this frame.
    Broken(Frame),
    /// This side closes: all that is queued, then this frame.
    Closed(Option<Frame>),
}

/// What an end takes out of the state, to be told without the lock.
pub(super) struct Released {
    error: ConnectionError,
    /// Requests whose last byte is at most here count as written.
    written: u64,
    entries: Vec<Entry>,
    jobs: Vec<Arc<super::job::Job>>,
    waiters: BTreeMap<u64, Waker>,
}

impl State {
    /// Takes every stream out, once the connection has ended and it is known what was written.
    pub(super) fn release(&mut self) -> Option<Released> {
        let Positions { pushed, written } = self.outgoing.positions();
        let ended = self.ended.as_mut()?;
        if ended.is_released || (self.is_writing && !ended.is_writing_on) {
            return None;
        }
        ended.is_released = true;
        self.served = 0;
        Some(Released {
            error: ended.error.clone(),
            written: if ended.is_writing_on { pushed } else { written },
            entries: std::mem::take(&mut self.streams).into_values().collect(),
            jobs: std::mem::take(&mut self.oneways).into_values().collect(),
            waiters: self.room.take(),
        })
    }
}

impl Released {
    pub(super) fn finish(self) {
        for entry in &self.entries {
            let is_written = match entry {
                Entry::Call { end, .. } => *end <= self.written,
                Entry::Served { .. } | Entry::Promised { .. } => true,
            };
            if let Some(job) = entry.job() {
                job.stop(Stop::Now);
            }
            if let Some(inlet) = entry.inlet() {
                inlet.fail(CallFailure::Connection { error: self.error.clone(), is_written });
            }
        }
        self.jobs.iter().for_each(|job| job.stop(Stop::Now));
        self.waiters.into_values().for_each(Waker::wake);
    }
}

impl Shared {
    /// Ends the connection and every call on it; a second end changes nothing.
    pub(super) fn end(self: &Arc<Self>, error: ConnectionError, ending: Ending) {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return;
        }
        let is_writing_on = !matches!(ending, Ending::Dead) && state.write_error.is_none();
        state.ended = Some(Ended { error, is_writing_on, is_released: false });
        if matches!(ending, Ending::Broken(_)) {
            state.outgoing.drop_queued();
        }
        let released = state.release();
        if let Ending::Broken(frame) | Ending::Closed(Some(frame)) = ending {
            state.outgoing.push_frame(frame);
        }
        drop(state);
        if let Some(released) = released {
            released.finish();
        }
        self.ended.notify_waiters();
        self.quiet.notify_waiters();
        self.leased.notify_waiters();
        if is_writing_on {
            self.runtime.spawn(linger(self.clone()));
            self.flush();
        } else {
            self.transport.shutdown();
        }
    }
}

/// Shuts the socket down once the last frame is out, or when that takes too long.
async fn linger(shared: Arc<Shared>) {
    let _in_time = timeout(LINGER, shared.flushed.notified()).await;
    shared.transport.shutdown();
}
