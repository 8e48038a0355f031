//! The responder of `bench fair`: every stream gets an item once a period, at a moment of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, interval_at};

use super::Failure;
use super::histogram::Histogram;
use super::member::Member;
use super::requests;
use super::wire::{self, Frame};

pub(super) const SERVICE: &str = "bench.Paced";
/// Moments in a period at which items are due.
const SLOTS: usize = 50;
const CAPACITY: usize = 64 * 1024;

pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) links: usize,
    /// From one item of a stream to its next.
    pub(super) period: Duration,
    /// Bytes of an item; it begins with when it was due.
    pub(super) size: usize,
    /// What that is counted from.
    pub(super) clock: Instant,
}

/// What the responder saw.
#[derive(Debug)]
pub(super) struct Paced {
    /// Items that were due for streams that had no credit.
    pub(super) without_credit: u64,
    /// How late items were written to the socket, in nanoseconds.
    pub(super) late: Histogram,
}

impl Paced {
    fn new() -> Self {
        Self { without_credit: 0, late: Histogram::new() }
    }
}

/// Serves until it is told to stop; `ready` once all links are registered.
pub(super) async fn serve(
    plan: Plan,
    ready: oneshot::Sender<()>,
    stop: watch::Receiver<bool>,
) -> Result<Paced, Failure> {
    let mut links = JoinSet::new();
    for nth in 0..plan.links {
        let mut member = Member::connect(plan.address, None, CAPACITY).await?;
        wire::put_setup(member.outbox(), &format!("pacer-{nth}"), fastrand::u128(..), Some(SERVICE));
        wire::put_keepalive(member.outbox(), true, b"");
        let mut link = PacedLink::new(member, &plan);
        poll_fn(|cx| link.poll_registered(cx)).await?;
        links.spawn(link.run(plan.period, stop.clone()));
    }
    // The driver waits for it or has given up.
    let _ = ready.send(());
    let mut all = Paced::new();
    while let Some(ended) = links.join_next().await {
        let paced = ended.map_err(|e| Failure::new(format!("the pacer: {e}")))??;
        all.without_credit += paced.without_credit;
        all.late.merge(&paced.late);
    }
    Ok(all)
}

/// One connection of the responder and the streams on it.
struct PacedLink {
    member: Member,
    /// Credit left, by stream id.
    credit: HashMap<u32, u64>,
    /// Streams by the moment of the period at which their items are due; ended ones go when their turn comes.
    slots: Vec<Vec<u32>>,
    is_registered: bool,
    item: Vec<u8>,
    clock: Instant,
    paced: Paced,
}

impl PacedLink {
    fn new(member: Member, plan: &Plan) -> Self {
        Self {
            member,
            credit: HashMap::new(),
            slots: vec![Vec::new(); SLOTS],
            is_registered: false,
            item: vec![7; plan.size],
            clock: plan.clock,
            paced: Paced::new(),
        }
    }

    async fn run(mut self, period: Duration, mut stop: watch::Receiver<bool>) -> Result<Paced, Failure> {
        // A tick that comes late is made up for at once: what is due stays due.
        let mut ticks = interval(period / SLOTS as u32);
        let mut keepalive = interval_at(Instant::now() + wire::KEEPALIVE_EVERY, wire::KEEPALIVE_EVERY);
        let mut slot = 0;
        loop {
            tokio::select! {
                ended = poll_fn(|cx| self.poll_serve(cx)) => match ended { Err(failure) => return Err(failure) },
                due = ticks.tick() => {
                    self.emit(slot, due);
                    slot = (slot + 1) % SLOTS;
                }
                _ = keepalive.tick() => wire::put_keepalive(self.member.outbox(), true, b""),
                // An error is the driver's end.
                _ = stop.changed() => return Ok(self.paced),
            }
        }
    }

    /// Items for the streams of one slot.
    fn emit(&mut self, slot: usize, due: Instant) {
        let late = due.elapsed().as_nanos() as u64;
        let at = due.saturating_duration_since(self.clock).as_nanos() as u64;
        self.item[..8].copy_from_slice(&at.to_be_bytes());
        let Self { credit, item, member, paced, slots, .. } = self;
        slots[slot].retain(|stream_id| {
            let Some(left) = credit.get_mut(stream_id) else { return false };
            match left.checked_sub(1) {
                None => paced.without_credit += 1,
                Some(less) => {
                    *left = less;
                    requests::put_payload(member.outbox(), *stream_id, wire::NEXT, item);
                    paced.late.record(late);
                }
            }
            true
        });
    }

    fn poll_registered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !self.is_registered {
            ready!(self.member.poll_flush(cx))?;
            ready!(self.member.poll_read(cx))?;
            self.take_frames()?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, Failure>> {
        loop {
            ready!(self.member.poll_flush(cx))?;
            ready!(self.member.poll_read(cx))?;
            self.take_frames()?;
        }
    }

    fn take_frames(&mut self) -> Result<(), Failure> {
        let Self { member, credit, slots, is_registered, .. } = self;
        let (inbox, outbox) = member.parts();
        while let Some(frame) = inbox.next_frame()? {
            let Frame { stream_id, body, .. } = frame;
            match frame.kind {
                requests::REQUEST_STREAM => {
                    credit.insert(stream_id, requests::requested(body).into());
                    slots[fastrand::usize(..SLOTS)].push(stream_id);
                }
                requests::REQUEST_N => {
                    if let Some(left) = credit.get_mut(&stream_id) {
                        *left += u64::from(requests::requested(body));
                    }
                }
                requests::CANCEL => drop(credit.remove(&stream_id)),
                wire::KEEPALIVE if frame.has(wire::RESPOND) => wire::answer_keepalive(outbox, &frame),
                wire::KEEPALIVE => *is_registered = true,
                wire::ERROR => return Err(Failure::new(format!("the pacer: {}", frame.error_text()))),
                _ => {}
            }
        }
        Ok(())
    }
}
