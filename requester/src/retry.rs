use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use towline_service_api::{CallOptions, Delivery, Retry, RpcError};

use crate::backoff::{doubled, not_before};

/// How long a service may be missing (RST-900404, RST-900405) before the caller hears of it: an instance that restarts
/// is back in less, and a name nobody serves fails fast.
const MISSING: Duration = Duration::from_millis(300);
/// The first pause before it is asked for again; it doubles, so that a call asks three or four times in all.
const MISSING_PAUSE: Duration = Duration::from_millis(50);
/// How a refused request (REJECTED) is tried again if the call does not say.
const REFUSED: Retry = Retry { max: 3, min_backoff: Duration::from_millis(20), max_backoff: Duration::from_secs(1) };

/// Thousandths of a retry earned by a call: retries are at most a fifth of the calls.
const EARNED: i64 = 200;
const RETRY: i64 = 1_000;
/// What an app may have saved, and starts with.
const SAVED: i64 = 10 * RETRY;

/// What was done for one call so far, and so what may be done next.
#[derive(Debug)]
pub(crate) struct Effort {
    retry: Option<Retry>,
    /// May be repeated though it was maybe delivered.
    is_repeatable: bool,
    tries: u32,
    missing_since: Option<Instant>,
}

/// What comes after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The failure is the call's end.
    Stop,
    /// Nothing was sent: another connection, at once and for free.
    Elsewhere,
    /// Another connection, at once.
    Other,
    /// After a pause.
    After(Duration),
}

impl Effort {
    pub(crate) fn new(options: &CallOptions, may_repeat: bool) -> Self {
        let is_repeatable = may_repeat && options.idempotent && options.retry.is_some();
        Self { retry: options.retry, is_repeatable, tries: 0, missing_since: None }
    }

    /// What this failure leads to. `has_other`: there is a connection that was not tried; `random` is within 0 to 1.
    pub(crate) fn next(&mut self, error: &RpcError, now: Instant, has_other: bool, random: f64) -> Next {
        let retry = self.retry.unwrap_or(REFUSED);
        let step =
            |retry: Retry, tries| doubled(retry.min_backoff, retry.max_backoff, tries).mul_f64(0.5 + random / 2.0);
        let next = match Cause::of(error) {
            Cause::Unsent => return Next::Elsewhere,
            Cause::Missing => {
                let since = *self.missing_since.get_or_insert(now);
                let pause = doubled(MISSING_PAUSE, MISSING, self.tries).mul_f64(0.5 + random / 2.0);
                match has_other {
                    true => Next::Other,
                    false if now + pause <= since + MISSING => Next::After(pause),
                    false => Next::Stop,
                }
            }
            Cause::Refused if self.tries >= retry.max => Next::Stop,
            // Never before the time that was asked for.
            Cause::Refused => Next::After(match error.retry_after {
                Some(pause) => not_before(pause, random),
                None => step(retry, self.tries),
            }),
            Cause::Maybe if self.is_repeatable && self.tries < retry.max => Next::After(step(retry, self.tries)),
            Cause::Maybe | Cause::Final => Next::Stop,
        };
        self.tries += 1;
        next
    }
}

enum Cause {
    /// No connection took it.
    Unsent,
    /// No instance, or no such endpoint.
    Missing,
    /// Overload, limit, drain.
    Refused,
    /// Lost or failed on the way, or in the handler.
    Maybe,
    /// A second try ends as the first did.
    Final,
}

impl Cause {
    fn of(error: &RpcError) -> Self {
        let is_missing = ["RST-900404", "RST-900405"].iter().any(|start| error.message.starts_with(start));
        match (error.code, error.delivery) {
            (RpcError::CONNECTION_CLOSED, Delivery::NotDelivered) => Self::Unsent,
            (RpcError::REJECTED, _) => Self::Refused,
            (_, Delivery::NotDelivered) if is_missing => Self::Missing,
            (_, Delivery::NotDelivered) | (RpcError::INVALID, _) => Self::Final,
            // The method decided.
            _ if error.typed().is_some() => Self::Final,
            (RpcError::CONNECTION_CLOSED | RpcError::CANCELED | RpcError::APPLICATION_ERROR, _) => Self::Maybe,
            _ => Self::Final,
        }
    }
}

/// What the retries of an app may cost its brokers.
#[derive(Debug)]
pub(crate) struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicI64::new(SAVED))
    }
}

impl Budget {
    /// A call began.
    pub(crate) fn earn(&self) {
        // What several threads add at once may exceed the limit by as many calls; that is harmless.
        if self.0.load(Ordering::Relaxed) < SAVED {
            self.0.fetch_add(EARNED, Ordering::Relaxed);
        }
    }

    /// A retry is to be sent. False: not now.
    #[must_use]
    pub(crate) fn spend(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| (saved >= RETRY).then_some(saved - RETRY))
            .is_ok()
    }
}
