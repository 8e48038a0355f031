//! What the broker counts, and how a scraper reads it.
//!
//! Invariant: a recorder is passed in, never the global one, and every handle exists from the start: the label values
//! are enums, so the number of series is fixed by the code whatever peers send.
//!
//! ```text
//!  labels    the enums that are label values          families   one handle per label value
//!  meters    the handles of the relay                 queue      those of durable topics
//!  process   memory, files, CPU, from the kernel      histogram  durations, counted in buckets
//! ```

mod families;
mod histogram;
mod labels;
mod meters;
mod process;
mod queue;
#[cfg(test)]
mod tests;

pub use families::{Counters, Gauges, Label};
pub use histogram::Histogram;
pub use labels::{CloseReason, EventOutcome, Interaction, LinkKind, PushOutcome, RequestRefusal, SetupRefusal};
pub use meters::Meters;
pub(crate) use process::{max_files, open_files};
pub use queue::QueueMeters;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// A recorder of its own, to be given to [`Meters::new`].
pub fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}
