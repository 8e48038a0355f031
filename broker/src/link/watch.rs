//! What the clock says about one link: silent, suspect, stalled, stuck. Pure: `now` and what was counted come in.

use rsocket::keepalive::{Keepalive, Timing as Probing, Verdict};
use std::time::{Duration, Instant};

/// Times of all links, from configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Time between two looks.
    pub tick: Duration,
    /// Silence before a KEEPALIVE: at most this, and while streams are open.
    pub interval: Duration,
    pub busy_interval: Duration,
    /// An answer missing for so long makes the link suspect.
    pub suspect: Duration,
    /// The most silence, whatever SETUP says.
    pub lifetime: Duration,
    /// Nothing taken for so long while frames wait: stalled.
    pub stalled: Duration,
    /// So many bytes must be taken, or arrive of an unfinished frame, ...
    pub progress: u64,
    /// ... in this time.
    pub window: Duration,
}

/// What was counted up to now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Bytes and frames read since the link is open.
    pub received: u64,
    pub frames: u64,
    /// A frame has begun and not ended.
    pub is_unfinished: bool,
    /// The broker does not read what waits in the socket: it is not the app that is silent.
    pub is_paused: bool,
    /// Streams are open.
    pub is_busy: bool,
}

/// What a look at a link found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// Send KEEPALIVE with the respond flag.
    Probe,
    /// Close: silent for this time.
    Silent(Duration),
    /// Close: it does not take what waits for it.
    Stuck,
    /// Close: a frame it began does not end.
    Trickling,
}

/// Progress of one direction while it has something to do.
#[derive(Clone, Copy, Debug)]
struct Progress {
    count: u64,
    changed: Instant,
    begun: (Instant, u64),
    /// Begin of the shorter time, and whether the last one brought too little.
    recent: (Instant, u64),
    is_slow: bool,
}

impl Progress {
    fn new(now: Instant, count: u64) -> Self {
        Self { count, changed: now, begun: (now, count), recent: (now, count), is_slow: false }
    }

    /// Time without any progress, and whether a whole window went by with too little.
    fn look(&mut self, now: Instant, count: u64, timing: &Timing) -> (Duration, bool) {
        if count != self.count {
            (self.count, self.changed) = (count, now);
        }
        if now.saturating_duration_since(self.recent.0) >= timing.stalled {
            self.is_slow = count - self.recent.1 < timing.progress;
            self.recent = (now, count);
        }
        let mut is_too_slow = false;
        if now.saturating_duration_since(self.begun.0) >= timing.window {
            is_too_slow = count - self.begun.1 < timing.progress;
            self.begun = (now, count);
        }
        (now.saturating_duration_since(self.changed), is_too_slow)
    }
}

#[derive(Debug)]
pub(crate) struct Watch {
    keepalive: Keepalive,
    interval: Duration,
    lifetime: Duration,
    received: u64,
    frames: u64,
    is_suspect: bool,
    taken: u64,
    is_waiting: bool,
    outgoing: Option<Progress>,
    incoming: Option<Progress>,
    is_stalled: bool,
    is_incoming_stuck: bool,
    lingering: Option<Instant>,
    /// Bytes taken by the time of the last look, and bytes a second since the one before.
    looked: u64,
    rate: u64,
    ticked: Instant,
}

impl Watch {
    /// A link whose SETUP named these times.
    pub(crate) fn new(now: Instant, interval: Duration, lifetime: Duration) -> Self {
        Self {
            keepalive: Keepalive::new(now),
            interval,
            lifetime,
            received: 0,
            frames: 0,
            is_suspect: false,
            taken: 0,
            is_waiting: false,
            outgoing: None,
            incoming: None,
            is_stalled: false,
            is_incoming_stuck: false,
            lingering: None,
            looked: 0,
            rate: 0,
            ticked: now,
        }
    }

    /// The socket took so many bytes.
    pub(crate) fn taken(&mut self, n: usize) {
        self.taken += n as u64;
    }

    /// Frames wait because the socket is full.
    pub(crate) fn set_waiting(&mut self, is_waiting: bool) {
        self.is_waiting = is_waiting;
    }

    /// KEEPALIVE was queued.
    pub(crate) fn probed(&mut self, now: Instant) {
        self.keepalive.probe_written(now);
    }

    /// Milliseconds in which the socket takes so many bytes at its present rate, 50 to 2,000.
    pub(crate) fn time_to_take(&self, bytes: usize) -> u64 {
        (bytes as u64 * 1000).checked_div(self.rate).map_or(2_000, |ms| ms.clamp(50, 2_000))
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    pub(crate) fn is_incoming_stuck(&self) -> bool {
        self.is_incoming_stuck
    }

    /// Whether cancelled streams have waited a second for a sign.
    pub(crate) fn should_probe_cancelled(&mut self, now: Instant, lingering: usize) -> bool {
        if lingering == 0 {
            self.lingering = None;
            return false;
        }
        let since = *self.lingering.get_or_insert(now);
        let is_due = now.saturating_duration_since(since) >= Duration::from_secs(1);
        if is_due {
            self.lingering = None;
        }
        is_due
    }

    /// Looks at the link.
    pub(crate) fn tick(&mut self, now: Instant, sample: Sample, timing: &Timing) -> Health {
        if sample.received != self.received || sample.is_paused {
            self.keepalive.heard(now);
            self.is_suspect = false;
        }
        // So late a look means that this process was paused, not that the link made no progress: both begin again.
        if now.saturating_duration_since(self.ticked) >= timing.tick + timing.stalled {
            (self.outgoing, self.incoming) = (None, None);
        }
        self.ticked = now;
        let has_ended_frames = sample.frames != self.frames;
        (self.received, self.frames) = (sample.received, sample.frames);
        let second = 1000 / (timing.tick.as_millis() as u64).max(1);
        self.rate = (self.rate + (self.taken - self.looked) * second) / 2;
        self.looked = self.taken;
        if !self.is_waiting {
            (self.outgoing, self.is_stalled) = (None, false);
        } else {
            let taken = self.taken;
            let progress = self.outgoing.get_or_insert_with(|| Progress::new(now, taken));
            let (idle, is_too_slow) = progress.look(now, taken, timing);
            self.is_stalled = idle >= timing.stalled;
            if is_too_slow {
                return Health::Stuck;
            }
        }
        if !sample.is_unfinished || has_ended_frames || sample.is_paused {
            (self.incoming, self.is_incoming_stuck) = (None, false);
        } else {
            let progress = self.incoming.get_or_insert_with(|| Progress::new(now, sample.received));
            let (_, is_too_slow) = progress.look(now, sample.received, timing);
            self.is_incoming_stuck = progress.is_slow;
            if is_too_slow {
                return Health::Trickling;
            }
        }
        let interval = if sample.is_busy { timing.busy_interval } else { self.interval.min(timing.interval) };
        let probing = Probing { interval, suspect: timing.suspect, lifetime: self.lifetime.min(timing.lifetime) };
        match self.keepalive.tick(now, timing.tick, probing) {
            Verdict::Alive => Health::Good,
            Verdict::Probe => Health::Probe,
            Verdict::Suspect => {
                self.is_suspect = true;
                Health::Good
            }
            Verdict::Dead => Health::Silent(probing.lifetime),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMING: Timing = Timing {
        tick: SECOND,
        interval: Duration::from_secs(20),
        busy_interval: Duration::from_secs(5),
        suspect: Duration::from_secs(5),
        lifetime: Duration::from_secs(90),
        stalled: Duration::from_secs(5),
        progress: 64 * 1024,
        window: Duration::from_secs(30),
    };

    fn watch(now: Instant) -> Watch {
        Watch::new(now, 20 * SECOND, 90 * SECOND)
    }

    #[test]
    fn a_silent_link_with_streams_open_is_suspect_after_ten_seconds() {
        let start = Instant::now();
        let mut watch = watch(start);
        let sample = Sample { is_busy: true, ..Sample::default() };
        let first = (1..100).find(|second| {
            let now = start + SECOND * *second;
            if watch.tick(now, sample, &TIMING) == Health::Probe {
                watch.probed(now);
            }
            watch.is_suspect()
        });
        assert_eq!(first, Some(10));
        watch.tick(start + 11 * SECOND, Sample { received: 14, ..sample }, &TIMING);
        assert!(!watch.is_suspect(), "any byte proves life");
    }

    #[test]
    fn who_takes_nothing_is_stalled_and_then_stuck() {
        let start = Instant::now();
        let mut watch = watch(start);
        watch.set_waiting(true);
        for second in 0..30 {
            let sample = Sample { received: second, ..Sample::default() };
            assert_eq!(watch.tick(start + SECOND * second as u32, sample, &TIMING), Health::Good);
            assert_eq!(watch.is_stalled(), second >= 5);
        }
        assert_eq!(
            watch.tick(start + SECOND * 30, Sample { received: 99, ..Sample::default() }, &TIMING),
            Health::Stuck
        );
    }

    #[test]
    fn a_paused_process_finds_nobody_stuck() {
        let start = Instant::now();
        let mut watch = watch(start);
        watch.set_waiting(true);
        let sample = Sample { received: 10, is_unfinished: true, ..Sample::default() };
        for second in [0, 1, 3600, 3601] {
            let health = watch.tick(start + SECOND * second, sample, &TIMING);
            assert!(matches!(health, Health::Good | Health::Probe), "{health:?} after {second} s");
            assert!(!watch.is_stalled() && !watch.is_incoming_stuck());
        }
    }

    #[test]
    fn who_takes_a_little_is_not_stalled_but_must_take_64_kib_in_30_s() {
        let start = Instant::now();
        let (mut slow, mut honest) = (watch(start), watch(start));
        let mut ended = None;
        for second in 0..100u32 {
            let now = start + SECOND * second;
            let sample = Sample { received: second.into(), ..Sample::default() };
            for (watch, bytes) in [(&mut slow, 1_000), (&mut honest, 3_000)] {
                watch.set_waiting(true);
                watch.taken(bytes);
                let health = watch.tick(now, sample, &TIMING);
                assert!(!watch.is_stalled());
                if bytes == 3_000 {
                    assert_eq!(health, Health::Good);
                } else if health == Health::Stuck {
                    ended.get_or_insert(second);
                }
            }
        }
        assert_eq!(ended, Some(30));
    }

    #[test]
    fn the_time_to_wait_follows_the_rate() {
        let start = Instant::now();
        let mut watch = watch(start);
        assert_eq!(watch.time_to_take(1), 2_000, "nothing taken yet");
        for second in 1..20 {
            watch.taken(100_000);
            watch.tick(start + SECOND * second, Sample { received: second.into(), ..Sample::default() }, &TIMING);
        }
        assert!((95..=105).contains(&(watch.time_to_take(10_000))), "{}", watch.time_to_take(10_000));
        assert_eq!(watch.time_to_take(10), 50);
        assert_eq!(watch.time_to_take(1 << 30), 2_000);
    }

    #[test]
    fn an_unfinished_frame_must_grow_or_end() {
        let start = Instant::now();
        let mut watch = watch(start);
        let mut ended = None;
        for second in 0..100u32 {
            let sample =
                Sample { received: 10 + u64::from(second), frames: 0, is_unfinished: true, ..Sample::default() };
            if watch.tick(start + SECOND * second, sample, &TIMING) == Health::Trickling {
                ended.get_or_insert(second);
            }
        }
        assert_eq!(ended, Some(30));
    }
}
