use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use towline_rsocket::ErrorCode;
use towline_rsocket::engine::Connection;

/// How often a connection that drains is looked at: the engine tells of the last stream only once it refuses new ones.
const LOOK: Duration = Duration::from_millis(20);

/// One connection of an app.
pub(crate) struct Link {
    /// Unlike any other of this process.
    pub(crate) serial: u64,
    pub(crate) connection: Connection,
    pub(crate) signals: Arc<Signals>,
}

/// What is learnt of a connection while it runs.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The broker asked to be left.
    is_draining: AtomicBool,
    drain: Notify,
    /// It takes no calls, though its end is not known yet.
    is_down: AtomicBool,
}

impl Link {
    pub(crate) fn new(connection: Connection, signals: Arc<Signals>) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self { serial: SERIAL.fetch_add(1, Ordering::Relaxed), connection, signals }
    }

    /// Waits until its streams have ended, at most for `grace`, and closes it. Nested calls of handlers still running may
    /// need it meanwhile, so it takes requests until nothing is left.
    pub(crate) async fn retire(&self, grace: Duration) {
        let ended = timeout(grace, async {
            while self.connection.open_streams() > 0 && !self.connection.is_closed() {
                sleep(LOOK).await;
            }
            self.connection.drain().await;
        });
        if ended.await.is_err() {
            tracing::warn!(peer = self.connection.peer(), "streams were cut off: they outlived the time to close");
        }
        self.connection.close(Some((ErrorCode::CONNECTION_CLOSE, "this app closes the connection")));
    }
}

impl Signals {
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.drain.notify_one();
    }

    /// Waits until it takes no new calls though it may live on; one task waits.
    pub(crate) async fn replaced(&self) {
        self.drain.notified().await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// A call found it shut: whoever keeps it replaces it.
    pub(crate) fn fail(&self) {
        self.is_down.store(true, Ordering::Release);
        self.drain.notify_one();
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Acquire)
    }

    /// It takes new calls.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_down() && !self.is_draining()
    }
}

/// Closes a connection nobody took over.
pub(crate) struct Unclaimed(Option<Connection>);

impl Unclaimed {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self(Some(connection.clone()))
    }

    pub(crate) fn claim(mut self) {
        self.0 = None;
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.close(None);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("serial", &self.serial).field("signals", &self.signals).finish_non_exhaustive()
    }
}
