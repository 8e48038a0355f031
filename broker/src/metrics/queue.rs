//! What durable topics count.

use super::families::Registry;
use super::histogram::Histogram;
use ::metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;
use std::fmt;

/// Seconds: from an ordinary sync to a disk that stalls.
const CONFIRM: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Every metric of durable topics; a field's metric is named where they are made.
pub struct QueueMeters {
    pub published: Counter,
    pub direct: Counter,
    pub full: Counter,
    pub over_budget: Counter,
    pub post_failed: Counter,
    pub confirm_seconds: Histogram,
    pub settled: Counter,
    pub stale: Counter,
    pub redelivered: Counter,
    pub dead: Counter,
    pub expired: Counter,
    pub removed_unacked: Counter,
    pub damaged: Counter,
    pub topics: Gauge,
    pub store_disk_bytes: Gauge,
    pub store_free_bytes: Gauge,
    pub store_failed: Gauge,
}

impl QueueMeters {
    pub(crate) fn new(recorder: &PrometheusRecorder) -> Self {
        let at = Registry(recorder);
        Self {
            published: at.counter("towline_queue_published_total", "Messages taken by topics."),
            direct: at.counter(
                "towline_queue_direct_total",
                "Calls of publish that were taken straight from the connection they came on.",
            ),
            full: at.counter("towline_queue_refused_full_total", "Messages refused because their topic was full."),
            over_budget: at.counter(
                "towline_queue_refused_over_budget_total",
                "Messages refused because too many bytes waited to be confirmed.",
            ),
            post_failed: at
                .counter("towline_queue_post_failed_total", "Messages that were posted one-way and not stored."),
            confirm_seconds: Histogram::new(
                "towline_queue_confirm_seconds",
                "Time from taking a message until it is as durable as asked.",
                &CONFIRM,
            ),
            settled: at.counter("towline_queue_settled_total", "Deliveries that were settled."),
            stale: at.counter("towline_queue_stale_settles_total", "Settles that came too late."),
            redelivered: at
                .counter("towline_queue_redelivered_total", "Deliveries of messages that were handed over before."),
            dead: at.counter("towline_queue_dead_letters_total", "Messages that went to a dead-letter topic."),
            expired: at.counter("towline_queue_expired_total", "Messages that were settled at the end of their time."),
            removed_unacked: at.counter(
                "towline_queue_removed_unacked_total",
                "Messages that were given up though a group had not settled them.",
            ),
            damaged: at
                .counter("towline_queue_damaged_total", "Messages a group passed over because they are damaged."),
            topics: at.gauge("towline_queue_topics", "Topics there are."),
            store_disk_bytes: at.gauge("towline_store_disk_bytes", "Bytes the files of the store take."),
            store_free_bytes: at.gauge("towline_store_free_bytes", "Bytes the volume of the store has left."),
            store_failed: at.gauge("towline_store_failed", "1 once a write or a sync has failed, until a restart."),
        }
    }
}

impl fmt::Debug for QueueMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueMeters").finish_non_exhaustive()
    }
}
