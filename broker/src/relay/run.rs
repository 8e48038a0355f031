//! A run: small frames of one read that are relayed together, so that a link's lock is taken once for many of them.
//!
//! ```text
//!  this link, once      begin (requests), depart (all other frames)
//!  desks                take: whole requests for services inside the process
//!  each other link, once    open, deliver: in the order read
//!  this link, once      fill
//! ```
//! No two frames of a run belong to one stream, so the order within streams is kept by ending the run; the order of what
//! goes to one link is kept within it.

use super::dispatch::{Dispatch, Growth, Plan};
use crate::link::{
    Begin, Delivered, Departure, Effect, Link, Opened, Opening, Packet, Refusal, Serial, Step, Ticket, Touched,
};
use bytes::{Buf, BytesMut};
use rsocket::frame::{FrameRef, LENGTH};
use rsocket::{FrameType, ReadBuffer, StreamId};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// Frames of one run.
const FRAMES: usize = 64;
/// A run of so many bytes, and of such frames on average, is cut up, so that neighbours for one link go on without a copy:
/// smaller frames are sooner copied than cut out, and join what others send there.
const WORTH_CUTTING: usize = 16 * 1024;
const WORTH_CUTTING_EACH: usize = 1024;

/// One frame, and how far it has come.
struct Item {
    /// Where it stands in the read buffer, with its length.
    at: Range<usize>,
    /// See [`Plan`].
    growth: Option<Growth>,
    /// See [`Plan`].
    is_direct: bool,
    stream: StreamId,
    step: Step,
    stage: Stage,
}

enum Stage {
    /// A request for this link.
    Request(Arc<Link>),
    /// A frame of an open stream.
    Later,
    /// A request that goes over the desk of this link.
    Asking(Arc<Link>, Opening),
    Opening(Arc<Link>, Opening),
    Opened(Arc<Link>, Serial, Opened),
    Refused(Opening, u64, Refusal),
    Forward(Arc<Link>, StreamId, Serial),
    Done,
}

/// The frames of a run, gathered and not yet relayed.
pub(super) struct Run {
    items: Vec<Item>,
    /// A bit for each stream in it, by its low bits: a false alarm ends the run early, no harm.
    streams: [u64; 4],
    effects: Vec<Effect<Arc<Link>>>,
    /// The frames by their items, if they were cut out of the buffer.
    wires: Vec<BytesMut>,
    /// A request with what was added to it.
    longer: Option<BytesMut>,
}

impl Default for Run {
    fn default() -> Self {
        Self::new()
    }
}

thread_local! {
    /// Empty: every read on this thread uses its memory again.
    static SPARE: Cell<Run> = const { Cell::new(Run::new()) };
}

impl Run {
    const fn new() -> Self {
        Self { items: Vec::new(), streams: [0; 4], effects: Vec::new(), wires: Vec::new(), longer: None }
    }

    /// An empty run, to be given back by [`Self::keep`]: an idle link holds no memory for one.
    pub(super) fn spare() -> Self {
        SPARE.take()
    }

    /// Keeps the memory of a run that has been relayed.
    pub(super) fn keep(self) {
        debug_assert!(self.items.is_empty(), "a run is relayed before it ends");
        SPARE.set(self);
    }

    /// Whether a frame of this stream must wait for the next run.
    pub(super) fn is_full(&self, stream: StreamId) -> bool {
        let (word, bit) = place(stream);
        self.items.len() >= FRAMES || self.streams[word] & bit != 0
    }

    /// Adds a frame; a request comes with its plan.
    pub(super) fn push(&mut self, at: Range<usize>, stream: StreamId, step: Step, plan: Option<Plan>) {
        let (word, bit) = place(stream);
        self.streams[word] |= bit;
        let (growth, is_direct) = plan.as_ref().map_or((None, false), |plan| (plan.growth, plan.is_direct));
        let stage = plan.map_or(Stage::Later, |plan| Stage::Request(plan.to));
        self.items.push(Item { at, growth, is_direct, stream, step, stage });
    }

    /// Relays all of it and takes it off the front of the buffer. Returns how many bytes that were.
    #[must_use]
    pub(super) fn relay(&mut self, dispatch: &mut Dispatch, buffer: &mut ReadBuffer, touched: &mut Touched) -> usize {
        let Some(end) = self.items.last().map(|last| last.at.end) else { return 0 };
        self.streams = [0; 4];
        let link = dispatch.link().clone();
        let (mut refused, mut is_asking) = (false, false);
        let Self { items, effects, wires, longer, .. } = self;
        link.with(touched, |state| {
            for item in &mut *items {
                item.stage = match std::mem::replace(&mut item.stage, Stage::Done) {
                    Stage::Request(to) => match state.begin(item.stream, item.step) {
                        Begin::Started { serial, share, size } => {
                            let opening = Opening { step: item.step, serial, share, size };
                            if item.is_direct && state.is_direct() {
                                is_asking = true;
                                Stage::Asking(to, opening)
                            } else {
                                if to.desk().is_some() {
                                    state.detour(item.stream, item.step);
                                }
                                Stage::Opening(to, opening)
                            }
                        }
                        Begin::Ignored => Stage::Done,
                        Begin::Refused(why) => {
                            refused = true;
                            let opening = Opening { step: item.step, serial: Serial::NONE, share: 0, size: 0 };
                            Stage::Refused(opening, link.id, why)
                        }
                    },
                    _ => match state.depart(item.stream, &mut item.step) {
                        Departure::Forward(leg) => Stage::Forward(leg.link, leg.stream, leg.serial),
                        Departure::Effect(effect) => {
                            effects.push(effect);
                            Stage::Done
                        }
                        Departure::Stays => {
                            if item.step.kind == FrameType::Cancel {
                                dispatch.meters().cancels.increment(1);
                            }
                            Stage::Done
                        }
                        Departure::Empty => {
                            dispatch.meters().empty_fragments.increment(1);
                            Stage::Done
                        }
                        Departure::Dropped => {
                            dispatch.meters().frames_late.increment(1);
                            Stage::Done
                        }
                    },
                };
            }
        });
        let is_cut = end - items[0].at.start >= WORTH_CUTTING.max(items.len() * WORTH_CUTTING_EACH);
        if is_cut {
            cut(items, buffer.take(end), wires);
        }
        if is_asking {
            ask(&link, items, buffer, wires, touched);
        }
        let (mut overruns, mut late) = (0, 0);
        for first in 0..items.len() {
            let to = match &items[first].stage {
                Stage::Opening(to, _) | Stage::Forward(to, ..) => to.clone(),
                _ => continue,
            };
            to.with_lease(touched, |state| {
                for (nth, item) in items.iter_mut().enumerate().skip(first) {
                    if !item.stage.is_for(&to) {
                        continue;
                    }
                    let mut packet = match (item.growth, wires.get_mut(nth)) {
                        (None, None) => Packet::Small(buffer.range(item.at.clone())),
                        (None, Some(wire)) => Packet::Large(std::mem::take(wire)),
                        (Some(growth), wire) => {
                            let wire = match wire {
                                Some(wire) => &wire[..],
                                None => buffer.range(item.at.clone()),
                            };
                            let longer = longer.get_or_insert_default();
                            dispatch.grow(FrameRef::checked(&wire[LENGTH..]), growth, longer);
                            Packet::Small(longer)
                        }
                    };
                    match &item.stage {
                        Stage::Opening(_, opening) => {
                            let (opening, from) = (*opening, (dispatch.link().clone(), item.stream));
                            let planned = std::mem::replace(&mut item.stage, Stage::Done);
                            item.stage = match (state.open(from, opening, &mut packet), planned) {
                                (Ok(opened), Stage::Opening(to, _)) if !item.step.is_single() => {
                                    Stage::Opened(to, opening.serial, opened)
                                }
                                (Ok(_), _) => Stage::Done,
                                (Err(why), _) => {
                                    refused = true;
                                    if let Packet::Large(wire) = packet {
                                        wires[nth] = wire;
                                    }
                                    Stage::Refused(opening, to.id, why)
                                }
                            };
                        }
                        Stage::Forward(_, stream, serial) => {
                            if item.step.kind == FrameType::Cancel {
                                dispatch.meters().cancels.increment(1);
                            }
                            match state.deliver(*stream, *serial, item.step, &mut packet) {
                                Delivered::Queued => {}
                                Delivered::Overrun => overruns += 1,
                                Delivered::Effect(effect) => effects.push(effect),
                                Delivered::Dropped => late += 1,
                            }
                            item.stage = Stage::Done;
                        }
                        _ => {}
                    }
                }
            });
        }
        dispatch.meters().frames_late.increment(late);
        let mut taken_back = Vec::new();
        if items.iter().any(|item| matches!(item.stage, Stage::Opened(..))) {
            link.with(touched, |state| {
                for item in &mut *items {
                    item.stage = match std::mem::replace(&mut item.stage, Stage::Done) {
                        Stage::Opened(to, serial, opened) => {
                            match state.fill(item.stream, serial, to, opened) {
                                Ok(effect) => effects.extend(effect),
                                Err(to) => taken_back.push((to, serial, opened)),
                            }
                            continue;
                        }
                        other => other,
                    };
                }
            });
        }
        for effect in effects.drain(..) {
            touched.apply(effect);
        }
        for (to, serial, opened) in taken_back {
            dispatch.take_back(&to, serial, opened, touched);
        }
        if refused {
            for (nth, item) in items.iter().enumerate() {
                if let Stage::Refused(opening, by, why) = item.stage {
                    let mut packet = match wires.get_mut(nth) {
                        Some(wire) => Packet::Large(std::mem::take(wire)),
                        None => Packet::Small(buffer.range(item.at.clone())),
                    };
                    dispatch.refused(item.stream, opening, &mut packet, by, why, touched);
                }
            }
        }
        items.clear();
        match is_cut {
            true => wires.clear(),
            false => buffer.consume(end),
        }
        // Last, and under no lock: it may close this link.
        dispatch.overrun(overruns);
        end
    }
}

impl Stage {
    /// Whether its frame goes to this link next.
    #[inline]
    fn is_for(&self, link: &Arc<Link>) -> bool {
        matches!(self, Self::Opening(to, _) | Self::Forward(to, ..) if Arc::ptr_eq(to, link))
    }
}

/// Hands requests over the desk they are for. From the first one on that is not taken, they go over the link; and so do those
/// for another desk.
fn ask(link: &Arc<Link>, items: &mut [Item], buffer: &ReadBuffer, wires: &[BytesMut], touched: &mut Touched) {
    let (mut asking, mut requests) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    let mut whose = None::<&Arc<Link>>;
    for (nth, item) in items.iter().enumerate() {
        let Stage::Asking(to, opening) = &item.stage else { continue };
        if Arc::ptr_eq(whose.get_or_insert(to), to) {
            let wire = wires.get(nth).map_or(&buffer.bytes()[item.at.clone()], |wire| wire);
            requests.push(FrameRef::checked(&wire[LENGTH..]).data());
            asking.push((nth, item.stream, opening.serial));
        }
    }
    let mut ticket = |nth: usize| {
        let (_, stream, serial) = asking[nth];
        Ticket::new(link.clone(), stream, serial)
    };
    let desk = whose.and_then(|whose| whose.desk());
    let taken = desk.map_or(0, |desk| desk.take(&requests, &mut ticket));
    asking[..taken].iter().for_each(|(nth, ..)| items[*nth].stage = Stage::Done);
    for item in items {
        if let Stage::Asking(to, opening) = &item.stage {
            link.with(touched, |state| state.detour(item.stream, item.step));
            item.stage = Stage::Opening(to.clone(), *opening);
        }
    }
}

/// Cuts the frames of these items out of what they were read with.
#[cold]
fn cut(items: &[Item], mut read: BytesMut, wires: &mut Vec<BytesMut>) {
    let mut at = 0;
    for item in items {
        read.advance(item.at.start - at);
        wires.push(read.split_to(item.at.len()));
        at = item.at.end;
    }
}

/// A frame of a stream that is open: looked up, patched, queued on the other link.
#[inline]
pub(super) fn relay(
    link: &Arc<Link>,
    dispatch: &Dispatch,
    touched: &mut Touched,
    stream: StreamId,
    mut step: Step,
    mut packet: Packet<'_>,
) {
    match link.with(touched, |state| state.depart(stream, &mut step)) {
        Departure::Forward(leg) => {
            if step.kind == FrameType::Cancel {
                dispatch.meters().cancels.increment(1);
            }
            match leg.link.with(touched, |state| state.deliver(leg.stream, leg.serial, step, &mut packet)) {
                Delivered::Queued => {}
                Delivered::Overrun => dispatch.overrun(1),
                Delivered::Effect(effect) => touched.apply(effect),
                Delivered::Dropped => dispatch.meters().frames_late.increment(1),
            }
        }
        Departure::Effect(effect) => touched.apply(effect),
        Departure::Stays => {}
        Departure::Empty => dispatch.meters().empty_fragments.increment(1),
        Departure::Dropped => dispatch.meters().frames_late.increment(1),
    }
}

fn place(stream: StreamId) -> (usize, u64) {
    let low = (stream >> 1) as usize;
    (low >> 6 & 3, 1 << (low & 63))
}
