use super::shared::Shared;
use crate::frame::{Frame, MAX_REQUEST_N};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many requests one side lets the other send, and how long (Protocol.md, "Lease Semantics"). A fire-and-forget
/// counts, fragments of a request do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// 1 to 2^31-1; 0 allows none.
    pub requests: u32,
    /// Counted from when the other side reads it, in whole milliseconds; 0 allows none.
    pub ttl: Duration,
}

impl Default for Lease {
    /// As many as LEASE can say, for 30 s.
    fn default() -> Self {
        Self { requests: MAX_REQUEST_N, ttl: Duration::from_secs(30) }
    }
}

impl Lease {
    pub(super) fn checked(self) -> Self {
        Self {
            requests: self.requests.min(MAX_REQUEST_N),
            ttl: self.ttl.min(Duration::from_millis(MAX_REQUEST_N.into())),
        }
    }

    fn is_none(self) -> bool {
        self.requests == 0 || self.ttl.as_millis() == 0
    }

    fn renewal(self) -> Duration {
        self.ttl * 2 / 3
    }

    /// How often to look whether it is to be renewed: that may be so late, and still be in time.
    pub(super) fn period(self) -> Option<Duration> {
        (!self.is_none()).then_some(self.ttl / 6)
    }
}

/// The leases of a connection whose SETUP had the L flag, both ways. Pure: time comes in as an argument.
#[derive(Debug)]
pub(super) struct Leases {
    /// Requests this side may still send, and until when: none before the peer's first LEASE.
    received: (u32, Instant),
    /// Requests the peer may still send. That its lease has run out is the peer's to see: it counts from when it read it.
    sent: u32,
    /// What is sent again in time, and when.
    standing: Option<(Lease, Instant)>,
}

impl Leases {
    pub(super) fn new(standing: Lease, now: Instant) -> Self {
        let standing = standing.checked();
        Self { received: (0, now), sent: 0, standing: (!standing.is_none()).then_some((standing, now)) }
    }

    /// The standing lease, when it is to be sent.
    pub(super) fn due(&mut self, now: Instant) -> Option<Lease> {
        let (lease, at) = self.standing.as_mut()?;
        if now < *at {
            return None;
        }
        *at = now + lease.renewal();
        self.sent = lease.requests;
        Some(*lease)
    }

    /// Another lease is sent in place of the standing one.
    pub(super) fn replace(&mut self, lease: Lease) {
        self.standing = None;
        self.sent = if lease.is_none() { 0 } else { lease.requests };
    }

    /// LEASE came: the last one counts.
    pub(super) fn received(&mut self, lease: Lease, now: Instant) {
        self.received = (lease.requests, now + lease.ttl);
    }

    /// Whether this side may send a request now.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        let (left, until) = self.received;
        left > 0 && now < until
    }

    /// Takes a request of this side off; false if none is allowed.
    #[must_use]
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let is_open = self.is_open(now);
        self.received.0 -= u32::from(is_open);
        is_open
    }

    /// Takes a request of the peer off; false if it may send none.
    #[must_use]
    pub(super) fn admit(&mut self) -> bool {
        let is_allowed = self.sent > 0;
        self.sent -= u32::from(is_allowed);
        is_allowed
    }
}

impl Shared {
    /// Sends the standing lease if that is due.
    pub(super) fn renew_lease(self: &Arc<Self>, now: Instant) {
        let mut state = self.state.lock();
        if let Some(lease) = state.leases.as_mut().and_then(|leases| leases.due(now)) {
            state.outgoing.push_control(Frame::lease(lease.ttl, lease.requests));
            drop(state);
            self.flush();
        }
    }
}
