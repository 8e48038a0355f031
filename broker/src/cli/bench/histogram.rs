//! Latencies in buckets less than one hundredth wide.

/// Each power of two is cut into this many buckets.
const FINE_BITS: u32 = 7;
const FINE: usize = 1 << FINE_BITS;
/// The longest latency told apart: 2^41 ns, 36 minutes.
const TOP_BIT: u32 = 40;
const BUCKETS: usize = ((TOP_BIT - FINE_BITS + 2) as usize) << FINE_BITS;

/// How often each latency in nanoseconds was seen.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    #[inline]
    pub(super) fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// How many were recorded.
    pub(super) fn len(&self) -> u64 {
        self.total
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The latency that `share` (0 to 1) of all stay at or below, in nanoseconds; 0 if nothing was recorded.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(at);
            }
        }
        0
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < FINE as u64 {
        return nanos as usize;
    }
    let nanos = nanos.min((1 << (TOP_BIT + 1)) - 1);
    let power = nanos.ilog2();
    let fine = (nanos >> (power - FINE_BITS)) as usize & (FINE - 1);
    (((power - FINE_BITS + 1) as usize) << FINE_BITS) | fine
}

fn middle(bucket: usize) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let shift = (bucket >> FINE_BITS) as u32 - 1;
    let low = ((FINE | (bucket & (FINE - 1))) as u64) << shift;
    low + (1 << shift) / 2
}
