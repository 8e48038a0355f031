//! Links for the tests of other folders.

use super::{Bounds, Budget, Dialect, Limits, Link, LinkKind, Shared, Terms, Timing, Watch};
use crate::metrics::{Meters, recorder};
use rsocket::transport::memory_pair;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};

/// The bounds of the default configuration.
pub(crate) const BOUNDS: Bounds = Bounds {
    window: Limits { total: 8 << 20, bytes: (8 << 10, 256 << 10), items: 1024, park: 256 << 10 },
    mark: 1 << 20,
    refuse: (32, 4),
    small_request: 64 << 10,
    small_frame: 2 << 10,
    request_fragments: 64 << 20,
    park: 8 << 20,
    streams: (8_192, 16_384),
};

/// What links share in tests.
pub(crate) fn shared() -> Arc<Shared> {
    const SECOND: Duration = Duration::from_secs(1);
    let timing = Timing {
        tick: SECOND / 4,
        interval: SECOND * 20,
        busy_interval: SECOND * 5,
        suspect: SECOND * 5,
        lifetime: SECOND * 90,
        stalled: SECOND * 5,
        progress: 64 << 10,
        window: SECOND * 30,
    };
    let meters = Arc::new(Meters::new(&recorder()));
    let (bounds, budget) = (Arc::new(BOUNDS), Budget::new(512 << 20));
    Arc::new(Shared { bounds, budget, runtime: runtime(), meters, batch: 256 << 10, timing })
}

/// The test's, or one for all tests that have none.
pub(crate) fn runtime() -> Handle {
    static OTHERS: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
    Handle::try_current().unwrap_or_else(|_| OTHERS.handle().clone())
}

/// An app without leases.
pub(crate) fn terms(watch: Watch) -> Terms {
    let dialect = Dialect::new(b"message/x.rsocket.composite-metadata.v0", b"application/json");
    Terms { kind: LinkKind::App, dialect, grant: None, watch }
}

/// A link whose peer is not there.
pub(crate) fn link(id: u64) -> Arc<Link> {
    let watch = Watch::new(Instant::now(), Duration::from_secs(20), Duration::from_secs(90));
    Link::new(id, terms(watch), Arc::new(memory_pair("test").0), shared())
}

impl Link {
    /// As if so many streams were open.
    pub(crate) fn set_load(&self, streams: u32) {
        self.hot.load.store(streams, Ordering::Relaxed);
    }
}
