//! How long things take, counted in buckets as it is told: the recorder's own histograms keep every sample until somebody
//! scrapes, and nobody may.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts durations.
#[derive(Debug)]
pub struct Histogram {
    name: &'static str,
    help: &'static str,
    /// What falls into each bucket at most, in seconds, growing; one more holds what is longer.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub(super) fn new(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { name, help, bounds, counts, nanoseconds: AtomicU64::new(0) }
    }

    /// So many took so many seconds each.
    pub fn record_many(&self, seconds: f64, count: usize) {
        let nth = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[nth].fetch_add(count as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add((seconds * 1e9 * count as f64) as u64, Ordering::Relaxed);
    }

    pub(super) fn render(&self, into: &mut String) {
        let Self { name, help, bounds, .. } = self;
        let mut write = |line: std::fmt::Arguments<'_>| into.write_fmt(line).expect("a String takes what it is given");
        write(format_args!("# HELP {name} {help}\n# TYPE {name} histogram\n"));
        let mut count = 0;
        let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, more) in bounds.zip(&self.counts) {
            count += more.load(Ordering::Relaxed);
            write(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}\n"));
        }
        let sum = self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        write(format_args!("{name}_sum {sum}\n{name}_count {count}\n\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_every_bucket_they_fit() {
        let histogram = Histogram::new("towline_test_seconds", "For a test.", &[0.001, 0.5]);
        histogram.record_many(0.001, 2);
        histogram.record_many(0.25, 3);
        histogram.record_many(7.0, 1);
        let mut text = String::new();
        histogram.render(&mut text);
        let expected = "# HELP towline_test_seconds For a test.\n\
                        # TYPE towline_test_seconds histogram\n\
                        towline_test_seconds_bucket{le=\"0.001\"} 2\n\
                        towline_test_seconds_bucket{le=\"0.5\"} 5\n\
                        towline_test_seconds_bucket{le=\"+Inf\"} 6\n\
                        towline_test_seconds_sum 7.752\n\
                        towline_test_seconds_count 6\n\n";
        assert_eq!(text, expected);
    }
}
