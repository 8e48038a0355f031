use std::time::Duration;

use tokio::time::Instant;
use towline_service_api::{CallOptions, Retry, RpcError, TypedError};

use crate::backoff::{Backoff, Pace};
use crate::retry::{Budget, Effort, Next};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn back_off_stays_within_its_bounds_and_uses_all_of_them() {
    for (pace, bounds) in [
        (Pace::Away, [100, 200, 400, 800, 1_600, 3_000, 3_000, 3_000]),
        (Pace::Refused, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]),
    ] {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let mut backoff = Backoff::default();
            for bound in bounds {
                assert!(backoff.pause(pace, random.f64()) <= ms(bound));
            }
        }
        let (mut low, mut high) = (Backoff::default(), Backoff::default());
        for bound in bounds {
            assert_eq!((low.pause(pace, 0.0), high.pause(pace, 1.0)), (ms(0), ms(bound)));
        }
        // Many failures do not wrap around.
        (0..100).for_each(|_| assert_eq!(high.pause(pace, 1.0), ms(bounds[7])));
    }
}

#[test]
fn back_off_starts_anew_after_a_connection_that_lived() {
    let mut backoff = Backoff::default();
    (0..5).for_each(|_| assert!(backoff.pause(Pace::Away, 1.0) > ms(0)));
    backoff.lived(ms(9_999));
    assert_eq!(backoff.pause(Pace::Away, 1.0), ms(3_000));
    backoff.lived(ms(10_000));
    assert_eq!(backoff.pause(Pace::Away, 1.0), ms(100));
}

fn options(idempotent: bool, retry: Option<Retry>) -> CallOptions {
    CallOptions { idempotent, retry, ..CallOptions::default() }
}

const RETRY: Retry = Retry { max: 2, min_backoff: ms(20), max_backoff: ms(1_000) };

/// What follows each of these failures, at the longest pauses.
fn next(options: &CallOptions, errors: &[RpcError]) -> Vec<Next> {
    let (mut effort, now) = (Effort::new(options, true), Instant::now());
    errors.iter().map(|error| effort.next(error, now, false, 1.0)).collect()
}

#[tokio::test]
async fn a_request_that_was_maybe_delivered_is_repeated_only_if_that_is_harmless() {
    let lost = [RpcError::connection_lost("x"), RpcError::canceled("x"), RpcError::application("x")];
    for error in &lost {
        let error = std::slice::from_ref(error);
        assert_eq!(next(&options(false, Some(RETRY)), error), [Next::Stop]);
        assert_eq!(next(&options(true, None), error), [Next::Stop]);
    }
    assert_eq!(next(&options(true, Some(RETRY)), &lost), [Next::After(ms(20)), Next::After(ms(40)), Next::Stop]);
    let decided = [TypedError::new("taken", "x").into_rpc(), RpcError::invalid("x"), RpcError::from_wire(0x301, "x")];
    for error in decided {
        assert_eq!(next(&options(true, Some(RETRY)), &[error]), [Next::Stop]);
    }
}

#[tokio::test]
async fn a_request_that_was_refused_waits_as_long_as_it_was_asked_to() {
    let rejected = |after| RpcError::rejected("busy", after);
    let refused = [rejected(Some(ms(500))), rejected(None), rejected(None), rejected(None)];
    let expected = [Next::After(ms(750)), Next::After(ms(40)), Next::After(ms(80)), Next::Stop];
    assert_eq!(next(&options(false, None), &refused), expected);
    let mut effort = Effort::new(&options(false, None), true);
    assert_eq!(effort.next(&refused[0], Instant::now(), false, 0.0), Next::After(ms(500)));
    let for_ever = rejected(Some(ms(u64::MAX)));
    assert_eq!(effort.next(&for_ever, Instant::now(), false, 0.0), Next::After(Duration::from_secs(3_600)));
}

#[tokio::test]
async fn a_request_no_connection_took_goes_on_for_free() {
    let unsent = vec![RpcError::not_connected("x"); 50];
    assert!(next(&options(false, None), &unsent).iter().all(|next| *next == Next::Elsewhere));
}

#[tokio::test]
async fn a_missing_service_fails_fast() {
    let missing = RpcError::invalid("RST-900404: Service not found S");
    let (mut effort, start) = (Effort::new(&options(false, None), true), Instant::now());
    assert_eq!(effort.next(&missing, start, true, 1.0), Next::Other);
    let mut now = start;
    while let Next::After(pause) = effort.next(&missing, now, false, 1.0) {
        now += pause;
    }
    assert_eq!(now - start, ms(300));
    let forbidden = RpcError::from_wire(0x201, "RST-900401: Service request not allowed S");
    assert_eq!(next(&options(true, Some(RETRY)), &[forbidden]), [Next::Stop]);
}

#[test]
fn retries_are_at_most_a_fifth_of_the_calls() {
    let budget = Budget::default();
    let spend_all = || (0..1_000).take_while(|_| budget.spend()).count();
    assert_eq!(spend_all(), 10);
    (0..20).for_each(|_| budget.earn());
    assert_eq!(spend_all(), 4);
    (0..1_000).for_each(|_| budget.earn());
    assert_eq!(spend_all(), 10);
}

#[test]
fn a_channel_is_opened_again_unless_it_would_end_the_same_way() {
    let mut backoff = Backoff::default();
    let asked = RpcError::rejected("busy", Some(ms(200)));
    assert_eq!((backoff.after(&asked, 0.0), backoff.after(&asked, 1.0)), (Some(ms(200)), Some(ms(300))));
    for bound in [100, 200, 400] {
        assert_eq!(backoff.after(&RpcError::connection_lost("x"), 1.0), Some(ms(bound)));
    }
    assert_eq!(backoff.after(&RpcError::canceled("x"), 1.0), Some(ms(800)));
    assert_eq!(backoff.after(&RpcError::rejected("x", None), 1.0), Some(ms(1_600)));
    assert_eq!(backoff.after(&RpcError::invalid("x"), 1.0), None);
    assert_eq!(backoff.after(&RpcError::application("x"), 1.0), None);
}
