use std::time::Duration;

/// A connection that lived so long was a good one: what follows starts from the beginning.
const GOOD: Duration = Duration::from_secs(10);

/// How long to wait before a broker is dialled again: full jitter, so that apps that lost one broker do not return as one.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The broker is away.
    Away,
    /// The broker refused this app: it will hardly change its mind at once.
    Refused,
}

impl Pace {
    const fn bounds(self) -> (Duration, Duration) {
        match self {
            Self::Away => (Duration::from_millis(100), Duration::from_secs(3)),
            Self::Refused => (Duration::from_secs(1), Duration::from_secs(30)),
        }
    }
}

impl Backoff {
    /// The next pause: between nothing and twice the last bound; `random` is within 0 to 1.
    pub(crate) fn pause(&mut self, pace: Pace, random: f64) -> Duration {
        let (min, max) = pace.bounds();
        let bound = doubled(min, max, self.failures);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random)
    }

    /// A connection lived so long.
    pub(crate) fn lived(&mut self, life: Duration) {
        if life >= GOOD {
            self.failures = 0;
        }
    }
}

/// `min`, doubled `times` times, at most `max`.
pub(crate) fn doubled(min: Duration, max: Duration, times: u32) -> Duration {
    min.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(max)
}
