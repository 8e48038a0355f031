//! The requester of `bench fair`: streams that are read as they come, and the time from one item to the next.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::sync::watch;
use tokio::time::{Instant, interval_at};

use super::Failure;
use super::histogram::Histogram;
use super::member::Member;
use super::pacer::SERVICE;
use super::requests;
use super::wire::{self, COMPLETE, NEXT};

const CAPACITY: usize = 32 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Warmup,
    Measured,
    Over,
}

/// What the streams of one connection, or of all, saw in the measured time.
#[derive(Debug)]
pub(super) struct Gaps {
    /// Items of each stream.
    pub(super) counts: Vec<u64>,
    /// From one item of a stream to its next, in nanoseconds; waits that did not end count if they are the longest.
    pub(super) between: Histogram,
    /// From when an item was due until it came, in nanoseconds.
    pub(super) late: Histogram,
}

impl Gaps {
    pub(super) fn new() -> Self {
        Self { counts: Vec::new(), between: Histogram::new(), late: Histogram::new() }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.extend_from_slice(&other.counts);
        self.between.merge(&other.between);
        self.late.merge(&other.late);
    }

    pub(super) fn items(&self) -> f64 {
        self.counts.iter().sum::<u64>() as f64
    }

    /// 0 if there is no stream, or one without any item.
    pub(super) fn slowest_over_mean(&self) -> f64 {
        let slowest = self.counts.iter().min().copied().unwrap_or(0);
        if slowest == 0 { 0.0 } else { slowest as f64 * self.counts.len() as f64 / self.items() }
    }
}

/// When one stream's items came.
#[derive(Debug, Clone)]
pub(super) struct Beat {
    last: Instant,
    pub(super) count: u64,
}

impl Beat {
    pub(super) fn since(begin: Instant) -> Self {
        Self { last: begin, count: 0 }
    }

    /// An item came; how long after the last one, in nanoseconds.
    pub(super) fn item(&mut self, now: Instant) -> u64 {
        let gap = self.waits(now);
        self.last = now;
        self.count += 1;
        gap
    }

    /// How long ago the last item came, in nanoseconds.
    pub(super) fn waits(&self, now: Instant) -> u64 {
        (now - self.last).as_nanos() as u64
    }
}

/// Opens so many streams and reads them until the measured time is over.
pub(super) async fn read_streams(
    address: SocketAddr,
    streams: usize,
    credit: u32,
    clock: Instant,
    mut phase: watch::Receiver<Phase>,
) -> Result<Gaps, Failure> {
    let mut member = Member::connect(address, None, CAPACITY).await?;
    wire::put_setup(member.outbox(), "fair-reader", fastrand::u128(..), None);
    for nth in 0..streams {
        requests::put_stream(member.outbox(), stream_id(nth), credit, SERVICE);
    }
    let now = Instant::now();
    let mut reader = Reader {
        member,
        phase: *phase.borrow_and_update(),
        beats: vec![Beat::since(now); streams],
        left: vec![credit; streams],
        credit,
        clock,
        gaps: Gaps::new(),
    };
    let mut keepalive = interval_at(now + wire::KEEPALIVE_EVERY, wire::KEEPALIVE_EVERY);
    loop {
        tokio::select! {
            ended = poll_fn(|cx| reader.poll_work(cx)) => match ended { Err(failure) => return Err(failure) },
            _ = keepalive.tick() => wire::put_keepalive(reader.member.outbox(), true, b""),
            changed = phase.changed() => {
                let next = *phase.borrow_and_update();
                changed.map_err(|_| Failure::new("the driver is gone"))?;
                if let Some(gaps) = reader.enter(next) {
                    return Ok(gaps);
                }
            }
        }
    }
}

fn stream_id(nth: usize) -> u32 {
    1 + 2 * nth as u32
}

struct Reader {
    member: Member,
    phase: Phase,
    beats: Vec<Beat>,
    /// Credit left, by stream.
    left: Vec<u32>,
    credit: u32,
    clock: Instant,
    gaps: Gaps,
}

impl Reader {
    /// What was seen, if that was the end.
    fn enter(&mut self, phase: Phase) -> Option<Gaps> {
        let now = Instant::now();
        self.phase = phase;
        match phase {
            Phase::Warmup => None,
            Phase::Measured => {
                // A stream is not older than the measured time, but its wait may be: what it waits for counts.
                self.beats.iter_mut().for_each(|beat| beat.count = 0);
                None
            }
            Phase::Over => {
                let mut gaps = std::mem::replace(&mut self.gaps, Gaps::new());
                let longest = gaps.between.quantile(1.0);
                let open = self.beats.iter().map(|beat| beat.waits(now)).filter(|wait| *wait > longest);
                open.for_each(|wait| gaps.between.record(wait));
                gaps.counts = self.beats.iter().map(|beat| beat.count).collect();
                Some(gaps)
            }
        }
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<std::convert::Infallible, Failure>> {
        loop {
            ready!(self.member.poll_flush(cx))?;
            ready!(self.member.poll_read(cx))?;
            self.take_frames()?;
        }
    }

    fn take_frames(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let Self { member, beats, left, gaps, .. } = self;
        let (inbox, outbox) = member.parts();
        while let Some(frame) = inbox.next_frame()? {
            match frame.kind {
                wire::PAYLOAD if frame.has(NEXT) && !frame.has(COMPLETE) => {
                    let nth = (frame.stream_id / 2) as usize;
                    let Some(beat) = beats.get_mut(nth) else {
                        return Err(Failure::new(format!(
                            "an item of stream {}, which nobody opened",
                            frame.stream_id
                        )));
                    };
                    let gap = beat.item(now);
                    if self.phase == Phase::Measured {
                        gaps.between.record(gap);
                        gaps.late.record(late(frame.data(), self.clock, now)?);
                    }
                    left[nth] = left[nth].saturating_sub(1);
                    if left[nth] <= self.credit / 2 {
                        let more = self.credit - left[nth];
                        requests::put_request_n(outbox, frame.stream_id, more);
                        left[nth] = self.credit;
                    }
                }
                wire::PAYLOAD => return Err(Failure::new("a stream ended")),
                wire::KEEPALIVE => wire::answer_keepalive(outbox, &frame),
                wire::ERROR => return Err(Failure::new(frame.error_text())),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How long ago an item was due.
fn late(item: Option<&[u8]>, clock: Instant, now: Instant) -> Result<u64, Failure> {
    let due = item.and_then(|item| item.first_chunk()).ok_or_else(|| Failure::new("an item was cut"))?;
    Ok(((now - clock).as_nanos() as u64).saturating_sub(u64::from_be_bytes(*due)))
}
