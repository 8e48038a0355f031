//! The life of the process: which phase it is in, which tasks belong to it, which signals end it.
//!
//! ```text
//!  Starting --listeners accept--> Running --first SIGTERM or SIGINT--> Draining --drained, or grace over--> Stopped
//! ```
//! Invariant: phases only move forward. The second signal does not wait for any of it: the process exits at once with
//! 128 + the signal's number, 143 for SIGTERM, 130 for SIGINT.

#[cfg(test)]
mod tests;

use parking_lot::Mutex;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::error;

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not every listener accepts yet.
    Starting,
    Running,
    /// What is under way is served to its end; nothing new is accepted.
    Draining,
    Stopped,
}

impl Phase {
    /// In one word, for people and probes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "ready",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// Says which phase it is; dropped, it is stopped.
#[derive(Debug)]
pub struct Lifecycle(watch::Sender<Phase>);

impl Default for Lifecycle {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }
}

impl Lifecycle {
    /// Moves forward; a phase that is over is not entered again.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let is_forward = phase > *current;
            if is_forward {
                *current = phase;
            }
            is_forward
        });
    }

    pub fn watch(&self) -> PhaseWatch {
        PhaseWatch(self.0.subscribe())
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        self.enter(Phase::Stopped);
    }
}

/// Sees which phase it is.
#[derive(Clone, Debug)]
pub struct PhaseWatch(watch::Receiver<Phase>);

impl PhaseWatch {
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until this phase, or a later one.
    pub async fn reached(&mut self, phase: Phase) {
        // The sender enters `Stopped` as it goes, so an error cannot mean that the phase is still to come.
        let _ = self.0.wait_for(|current| *current >= phase).await;
    }
}

/// The tasks of one owner: counted, waited for, ended together. Clones are the same set.
///
/// A task may hold a clone to spawn others; such a set lives until [`Tasks::finish`].
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Mutex<Set>>);

#[derive(Debug, Default)]
struct Set {
    running: JoinSet<()>,
    is_closed: bool,
}

impl Tasks {
    /// Runs a task on the current runtime; once the set is finished, the task is dropped instead.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.0.lock();
        // What has ended is let go here, so the set never holds much more than what runs.
        while let Some(ended) = set.running.try_join_next() {
            report(ended);
        }
        if !set.is_closed {
            set.running.spawn(task);
        }
    }

    /// Tasks that have not ended.
    pub fn len(&self) -> usize {
        let mut set = self.0.lock();
        while let Some(ended) = set.running.try_join_next() {
            report(ended);
        }
        set.running.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until no task is left.
    pub async fn idle(&self) {
        while let Some(ended) = poll_fn(|cx| self.0.lock().running.poll_join_next(cx)).await {
            report(ended);
        }
    }

    /// Waits for the tasks until the deadline, ends those that are left, and takes no more; how many were left.
    pub async fn finish(&self, deadline: Instant) -> usize {
        let is_idle = timeout_at(deadline, self.idle()).await.is_ok();
        let left = if is_idle { 0 } else { self.len() };
        {
            let mut set = self.0.lock();
            set.is_closed = true;
            set.running.abort_all();
        }
        self.idle().await;
        left
    }
}

/// A panic has been printed by the hook; here it gets a place in the log.
fn report(ended: Result<(), JoinError>) {
    if let Err(failure) = ended
        && failure.is_panic()
    {
        error!(%failure, "a task panicked");
    }
}

/// The signals that ask the process to end.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// From here on SIGTERM and SIGINT no longer end the process by themselves.
    ///
    /// # Errors
    /// If the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal, SIGTERM before SIGINT if both wait.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Interrupt,
}

impl Signal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    /// What a process ended by this signal is reported as.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}
