use std::time::Duration;

use towline_service_api::RpcError;

/// What a peer may ask for counts up to here.
const LONGEST: Duration = Duration::from_secs(3_600);

/// A connection that lived so long was a good one: what follows starts from the beginning.
const GOOD: Duration = Duration::from_secs(10);

/// How long to wait before what was lost is tried again, a broker or a channel: full jitter, so that apps that lost one
/// broker do not return as one.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The broker is away: within 100 ms first, 3 s at most.
    Away,
    /// The broker refused: it will hardly change its mind at once. Within 1 s first, 30 s at most.
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
    pub fn pause(&mut self, pace: Pace, random: f64) -> Duration {
        let (min, max) = pace.bounds();
        let bound = doubled(min, max, self.failures);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random)
    }

    /// The pause before a channel that ended so is opened again, never before the time the broker asked for; `None` if
    /// it would end so again.
    pub fn after(&mut self, error: &RpcError, random: f64) -> Option<Duration> {
        match (error.code, error.retry_after) {
            (RpcError::REJECTED, Some(pause)) => Some(not_before(pause, random)),
            (RpcError::CONNECTION_CLOSED | RpcError::REJECTED | RpcError::CANCELED, _) => {
                Some(self.pause(Pace::Away, random))
            }
            _ => None,
        }
    }

    /// What was lost had lived so long; if that is 10 s, the next pause is the first again.
    pub fn lived(&mut self, life: Duration) {
        if life >= GOOD {
            self.failures = 0;
        }
    }
}

/// `min`, doubled `times` times, at most `max`.
pub(crate) fn doubled(min: Duration, max: Duration, times: u32) -> Duration {
    min.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(max)
}

/// A time somebody asked to be left alone for, and up to half as much again.
pub(crate) fn not_before(pause: Duration, random: f64) -> Duration {
    pause.min(LONGEST).mul_f64(1.0 + random / 2.0)
}
