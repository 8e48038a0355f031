//! LEASE: how many requests one side lets the other send, and how long (Protocol.md, "Lease Semantics"). Per link, never
//! passed on.

use std::time::{Duration, Instant};

/// What a responder lets the broker send it: nothing before its first LEASE.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lease {
    left: u32,
    until: Option<Instant>,
}

impl Lease {
    /// The last LEASE counts; a number or time of 0 stops requests.
    pub(crate) fn renew(&mut self, now: Instant, ttl: Duration, requests: u32) {
        *self = Self { left: requests, until: now.checked_add(ttl) };
    }

    /// What has expired allows nothing.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until) {
            *self = Self::default();
        }
    }

    /// Whether no request may be sent, as of the last look.
    pub(crate) fn is_out(self) -> bool {
        self.left == 0
    }

    /// Takes one request off; false if none is left.
    pub(crate) fn spend(&mut self) -> bool {
        let is_allowed = self.left > 0;
        self.left -= u32::from(is_allowed);
        is_allowed
    }
}

/// What the broker lets a requester send, renewed before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub requests: u32,
    pub ttl: Duration,
}

impl Grant {
    /// Time after which it is renewed.
    pub(crate) fn renewal(self) -> Duration {
        self.ttl * 2 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_spent_overridden_and_expires() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut lease = Lease::default();
        assert!(lease.is_out() && !lease.spend(), "nothing before the first LEASE");
        lease.renew(start, second, 2);
        assert!(lease.spend() && lease.spend() && !lease.spend());
        lease.renew(start, second, 5);
        lease.renew(start, second, 1);
        assert!(lease.spend() && !lease.spend(), "the last one counts");
        lease.renew(start, second, 5);
        lease.look(start + second / 2);
        assert!(lease.spend());
        lease.look(start + second);
        assert!(lease.is_out() && !lease.spend(), "expired");
        lease.renew(start, second, 0);
        assert!(!lease.spend(), "0 stops");
        lease.renew(start, Duration::ZERO, 9);
        lease.look(start);
        assert!(!lease.spend());
    }
}
