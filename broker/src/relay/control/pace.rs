//! How often something may happen: a rate, and a burst. Pure: `now` is an argument.

use std::time::Instant;

/// A bucket of tokens, full at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { per_second: per_second.into(), burst, tokens: burst, at: None }
    }

    /// Takes one token; false if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let since = self.at.replace(now).map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.tokens = (self.tokens + since * self.per_second).min(self.burst);
        let is_within = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(is_within));
        is_within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(10, 5);
        let mut taken =
            |after: u64, tries: usize| (0..tries).filter(|_| pace.take(start + Duration::from_millis(after))).count();
        assert_eq!(taken(0, 9), 5);
        assert_eq!(taken(1_000, 20), 5, "no more than the burst is saved up");
        assert_eq!(taken(1_250, 9), 2);
        assert_eq!((0..100).map(|nth| taken(2_000 + 50 * nth, 1)).sum::<usize>(), 54, "5 saved, then 10 a second");
    }
}
