//! What is done for all links again and again: looking at the clock, keeping the byte budget.

use super::Relay;
use super::driver::Read;
use crate::link::{Health, Link, Sample, Touched, links_to_close, streams_to_end};
use crate::metrics::CloseReason;
use rsocket::ErrorCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::time::{MissedTickBehavior, interval};

/// A link and what it has read.
#[derive(Debug)]
pub(crate) struct Watched {
    link: Arc<Link>,
    count: Arc<Read>,
}

pub(super) fn watch(link: Arc<Link>, count: Arc<Read>) -> Watched {
    Watched { link, count }
}

/// Looks at every link once a tick: KEEPALIVE, suspicion, links that take nothing or never end a frame.
pub(crate) async fn keep_time(relay: Arc<Relay>) {
    let mut ticks = interval(relay.shared.timing.tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let watched: Vec<_> =
            relay.watched.lock().values().map(|watched| (watched.link.clone(), watched.count.clone())).collect();
        for (link, count) in watched {
            look(&relay, &link, &count, now);
        }
    }
}

fn look(relay: &Relay, link: &Arc<Link>, count: &Read, now: Instant) {
    let sample = Sample {
        received: count.received.load(Ordering::Relaxed),
        frames: count.frames.load(Ordering::Relaxed),
        is_unfinished: count.is_unfinished.load(Ordering::Relaxed),
        is_paused: count.is_paused.load(Ordering::Relaxed),
        is_busy: false,
    };
    let mut touched = Touched::default();
    let (has_changed, health) = link.tick(now, sample, &mut touched);
    touched.flush();
    if has_changed {
        if link.is_suspect() {
            relay.meters.links_suspected.increment(1);
        }
        relay.registry.refresh(link);
    }
    if link.has_retired(now) {
        let text = "this app has newer connections";
        return relay.dismiss(link, CloseReason::Replaced, ErrorCode::CONNECTION_CLOSE, text);
    }
    let (reason, text) = match health {
        Health::Good | Health::Probe => return,
        Health::Silent(lifetime) => (CloseReason::Keepalive, format!("no byte came for {lifetime:?}")),
        Health::Stuck => (CloseReason::Stalled, "this connection does not take what waits for it".to_owned()),
        Health::Trickling => (CloseReason::SlowFrame, "a frame was begun and not ended".to_owned()),
    };
    tracing::debug!(link = link.id, peer = link.peer, reason = text, "closing");
    relay.dismiss(link, reason, ErrorCode::CONNECTION_ERROR, &text);
}

/// Time between two attempts to get below the limit.
const LET_RUN: std::time::Duration = std::time::Duration::from_millis(10);

/// Frees down to 7/8 of the budget whenever it is exceeded.
pub(crate) async fn keep_budget(relay: Arc<Relay>) {
    let mut choked: Option<Instant> = None;
    // Long enough to tell who really stalls: a whole period, after the one it began in.
    let patience = relay.shared.timing.stalled * 3 + relay.shared.timing.tick * 2;
    loop {
        if !relay.shared.budget.is_over() {
            choked = None;
        }
        relay.shared.budget.exceeded().await;
        free(&relay);
        if relay.shared.budget.is_choked() {
            if choked.get_or_insert_with(Instant::now).elapsed() > patience {
                cut_unfinished(&relay);
            }
        } else {
            choked = None;
        }
        // What is being written is freed only when its writer next looks: let it run.
        tokio::time::sleep(LET_RUN).await;
    }
}

fn free(relay: &Relay) {
    let budget = &relay.shared.budget;
    let loads: Vec<_> = relay.links().iter().map(|link| link.budget_load()).collect();
    let (victims, _) = links_to_close(loads, budget.excess());
    for link in victims.into_iter().filter_map(|id| relay.link(id)) {
        tracing::warn!(link = link.id, peer = link.peer, "closed: it stalls and the broker is over its memory budget");
        let text = "this connection takes nothing and the broker is over its memory budget";
        relay.dismiss(&link, CloseReason::Budget, ErrorCode::CONNECTION_ERROR, text);
    }
    let mut links = relay.links();
    links.sort_by_cached_key(|link| std::cmp::Reverse(link.budget_load().weight));
    for link in &links {
        let excess = budget.excess();
        if excess == 0 || !budget.is_over() {
            return;
        }
        let mut touched = Touched::default();
        for (stream, serial) in streams_to_end(link.weights(), excess) {
            relay.meters.budget_streams_ended.increment(1);
            link.end_stream(stream, serial, "broker over its memory budget", &mut touched);
        }
        link.sweep();
        touched.flush();
    }
}

/// Nobody stalls and no stream can be ended, so it is unfinished frames that fill the budget, and none of them can go on
/// while nothing is read: the heaviest make room for the others.
fn cut_unfinished(relay: &Relay) {
    let budget = &relay.shared.budget;
    let mut links = relay.links();
    links.sort_by_cached_key(|link| std::cmp::Reverse(link.budget_load().weight));
    for link in links {
        if !budget.is_choked() {
            return;
        }
        let text =
            "the broker is over its memory budget with unfinished frames, and this connection's is among the largest";
        relay.dismiss(&link, CloseReason::Budget, ErrorCode::CONNECTION_ERROR, text);
    }
}
