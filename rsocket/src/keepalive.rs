//! When to probe a silent peer and when to give it up. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

/// The times one side keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Silence after which KEEPALIVE with the respond flag is sent.
    pub interval: Duration,
    /// An answer missing for so long, counted from when the probe was written, makes the peer suspect.
    pub suspect: Duration,
    /// Silence after which the peer is dead.
    pub lifetime: Duration,
}

/// What to do at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Alive,
    /// Send KEEPALIVE with the respond flag.
    Probe,
    /// Use this peer only if nothing else is left.
    Suspect,
    /// Close the connection.
    Dead,
}

/// The state of one connection. Any byte read proves life.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    heard: Instant,
    probed: Option<Instant>,
    ticked: Instant,
}

impl Keepalive {
    /// A connection that lives at `now`.
    pub fn new(now: Instant) -> Self {
        Self { heard: now, probed: None, ticked: now }
    }

    /// Bytes were read.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.probed = None;
    }

    /// The probe asked for by [`Verdict::Probe`] was given to the socket.
    pub fn probe_written(&mut self, now: Instant) {
        self.probed = Some(now);
    }

    /// What to do now. A tick that comes more than a whole `interval` late means that this process was paused, not
    /// that the peer was silent: all counting starts again.
    pub fn tick(&mut self, now: Instant, expected: Duration, timing: Timing) -> Verdict {
        let late = now.saturating_duration_since(self.ticked).saturating_sub(expected);
        self.ticked = now;
        if late > timing.interval.min(timing.lifetime / 2) {
            *self = Self::new(now);
            return Verdict::Probe;
        }
        let silent = now.saturating_duration_since(self.heard);
        if silent >= timing.lifetime {
            return Verdict::Dead;
        }
        match self.probed {
            Some(at) if now.saturating_duration_since(at) >= timing.suspect => Verdict::Suspect,
            Some(_) => Verdict::Alive,
            None if silent >= timing.interval => Verdict::Probe,
            None => Verdict::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        interval: Duration::from_secs(20),
        suspect: Duration::from_secs(5),
        lifetime: Duration::from_secs(90),
    };
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_probed_suspected_and_then_fatal() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start);
        let mut seen = Vec::new();
        for second in 1..=90 {
            let now = start + SECOND * second;
            let verdict = keepalive.tick(now, SECOND, TIMING);
            if verdict == Verdict::Probe {
                keepalive.probe_written(now);
            }
            if seen.last().is_none_or(|(_, last)| *last != verdict) {
                seen.push((second, verdict));
            }
        }
        let expected = [
            (1, Verdict::Alive),
            (20, Verdict::Probe),
            (21, Verdict::Alive),
            (25, Verdict::Suspect),
            (90, Verdict::Dead),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn any_byte_proves_life() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start);
        keepalive.probe_written(start + SECOND * 20);
        keepalive.tick(start + SECOND * 20, SECOND * 20, TIMING);
        keepalive.heard(start + SECOND * 30);
        assert_eq!(keepalive.tick(start + SECOND * 31, SECOND * 11, TIMING), Verdict::Alive);
    }

    #[test]
    fn a_paused_process_kills_nobody() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start);
        assert_eq!(keepalive.tick(start + SECOND * 3600, SECOND, TIMING), Verdict::Probe);
        assert_eq!(keepalive.tick(start + SECOND * 3601, SECOND, TIMING), Verdict::Alive);
    }
}
