//! What the broker counts, and how a scraper reads it.
//!
//! Invariant: a recorder is passed in, never the global one, and every handle exists from the start: the label values
//! are enums, so the number of series is fixed by the code whatever peers send.
//!
//! ```text
//!  labels    the enums that are label values          families   one handle per label value
//!  meters    the handles of the relay                 queue      those of durable topics
//!  process   memory, files, CPU, read from the kernel
//! ```

mod families;
mod labels;
mod meters;
mod process;
mod queue;
#[cfg(test)]
mod tests;

pub use families::{Counters, Gauges, Label};
pub use labels::{CloseReason, EventOutcome, Interaction, LinkKind, PushOutcome, RequestRefusal, SetupRefusal};
pub use meters::Meters;
pub(crate) use process::{max_files, open_files};
pub use queue::QueueMeters;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

/// Seconds: from an ordinary sync to a disk that stalls.
const CONFIRM_BUCKETS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// A recorder of its own, to be given to [`Meters::new`].
pub fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new();
    let confirm = Matcher::Full(queue::CONFIRM.to_owned());
    builder.set_buckets_for_metric(confirm, &CONFIRM_BUCKETS).expect("there are buckets").build_recorder()
}
