//! One group: what it has handed over, to whom, and what became of it. Pure: no lock, no clock, no store.
//!
//! ```text
//!                        hand                     ack, dead letter written
//!   not handed over ----------------> held ------------------------------> settled
//!     (from `next` on)                 |  ^
//!                nack, lost link,      |  | hand
//!                missed deadline       v  |
//!                              ready or waiting ---- attempts are spent, or dead ----> dying
//! ```
//! Settled is what is below `next` and no hole. Invariant: a hole is in exactly one of: held by a member, in `ready`, waiting
//! for its time, or dying; what happens to holes by itself stands in `times`.

mod hole;
mod journal;
mod settle;
#[cfg(test)]
mod tests;

pub(crate) use hole::{Death, Reason};

use crate::store::{GroupView, Offset, Progress};
use hole::{Hole, State};
use journal::Journal;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Who holds deliveries: a member, or an instance that fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Holder(pub u64);

/// What a group obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Milliseconds.
    pub ack_deadline: u64,
    /// Of one holder.
    pub max_in_flight: usize,
    /// Failures, or lost links, after which a message is dead.
    pub max_attempts: u16,
    /// Messages handed over and not settled, of all holders together and what waits.
    pub max_holes: usize,
}

/// Of the holes that could be handed over, so many are looked at for one whose bytes are here.
const LOOK: usize = 64;

/// How long a message waits after its first, second, .. failure, in seconds.
const LADDER: [u64; 16] = [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// See the module.
#[derive(Debug)]
pub(crate) struct Group {
    rules: Rules,
    /// The first offset that was never handed over.
    next: Offset,
    holes: BTreeMap<Offset, Hole>,
    /// Deadlines of those that are held and due times of those that wait, milliseconds.
    times: BTreeSet<(u64, Offset)>,
    /// Holes that can be handed over.
    ready: BTreeSet<Offset>,
    /// The same of those that must be handed over alone.
    alone: BTreeSet<Offset>,
    dying: VecDeque<Death>,
    holders: HashMap<Holder, Hands>,
    /// Who gets the next message that is to be alone, once it has settled the rest.
    emptying: Option<Holder>,
    /// What is below it may have been handed over before the last stop.
    suspect: Offset,
    journal: Journal,
    /// Hand-overs beyond the first of a message.
    redelivered: u64,
}

/// What one holder has.
#[derive(Clone, Debug, Default)]
struct Hands {
    held: BTreeSet<Offset>,
    /// It has one that nothing may be beside.
    is_alone: bool,
}

/// What a holder may get now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// This one, which was handed over before.
    Again(Offset),
    /// The next that was not.
    New,
    /// Nothing before it settles something.
    Full,
    /// Nothing is there.
    Nothing,
}

/// A message as it is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub attempt: u32,
    pub is_redelivered: bool,
}

/// Why a settle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another holds it, or it is settled.
    Stale,
    /// It was never handed over.
    Invalid,
}

impl Group {
    /// A group as the store knows it. What is below `suspect` may have been handed over before.
    pub(crate) fn restore(view: &GroupView, rules: Rules, suspect: Offset, now: u64) -> Self {
        let mut group = Self {
            rules,
            next: view.next,
            holes: BTreeMap::new(),
            times: BTreeSet::new(),
            ready: BTreeSet::new(),
            alone: BTreeSet::new(),
            dying: VecDeque::new(),
            holders: HashMap::new(),
            emptying: None,
            suspect,
            journal: Journal::new(view.next),
            redelivered: 0,
        };
        for hand in &view.holes {
            for offset in hand.run.first..hand.run.first + hand.run.count {
                let hole = Hole::restore(hand.attempt);
                group.holes.insert(offset, hole);
                group.wait_until(offset, hand.due, now);
            }
        }
        group
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    pub(crate) fn holes(&self) -> usize {
        self.holes.len()
    }

    /// The oldest offset that is not settled.
    pub(crate) fn oldest(&self) -> Offset {
        self.holes.first_key_value().map_or(self.next, |(offset, _)| *offset)
    }

    /// What is not settled below `floor`, of what was handed over.
    pub(crate) fn holes_below(&self, floor: Offset) -> Vec<Offset> {
        self.holes.range(..floor).map(|(offset, _)| *offset).collect()
    }

    pub(crate) fn is_hole(&self, offset: Offset) -> bool {
        self.holes.contains_key(&offset)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.holders.values().map(|hands| hands.held.len()).sum()
    }

    pub(crate) fn held_by(&self, holder: Holder) -> usize {
        self.holders.get(&holder).map_or(0, |hands| hands.held.len())
    }

    pub(crate) fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Whether holes can be handed over now.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Which, those first that are handed over first.
    pub(crate) fn ready(&self) -> impl Iterator<Item = Offset> {
        self.alone.iter().take(1).chain(&self.ready).copied()
    }

    /// What `by` may get now. `is_loaded`: whether the bytes of a hole are here; `has_new`: whether those of the next new one are.
    pub(crate) fn offer(&mut self, by: Holder, is_loaded: impl Fn(Offset) -> bool, has_new: bool) -> Offer {
        let hands = self.holders.get(&by);
        let (count, is_alone) = hands.map_or((0, false), |hands| (hands.held.len(), hands.is_alone));
        if is_alone || count >= self.rules.max_in_flight {
            return Offer::Full;
        }
        if self.alone.is_empty() {
            self.emptying = None;
        }
        if let Some(&offset) = self.alone.first().filter(|offset| is_loaded(**offset))
            && self.emptying.is_none_or(|holder| holder == by)
        {
            self.emptying = Some(by);
            return if count == 0 { Offer::Again(offset) } else { Offer::Full };
        }
        if let Some(&offset) = self.ready.iter().take(LOOK).find(|offset| is_loaded(**offset)) {
            Offer::Again(offset)
        } else if self.ready.is_empty() && has_new && self.holes.len() < self.rules.max_holes {
            Offer::New
        } else {
            Offer::Nothing
        }
    }

    /// Hands a message over: one that is ready, or one from `next` on; what lies between counts as settled.
    pub(crate) fn hand(&mut self, by: Holder, offset: Offset, now: u64) -> Handed {
        debug_assert!(
            offset >= self.next || self.ready().any(|ready| ready == offset),
            "{offset} is not to be handed over"
        );
        if offset >= self.next {
            self.next = offset + 1;
        } else {
            self.journal.touch(offset);
        }
        self.unready(offset);
        let deadline = now.saturating_add(self.rules.ack_deadline);
        self.times.insert((deadline, offset));
        let hole = self.holes.entry(offset).or_default();
        hole.attempts = hole.attempts.saturating_add(1);
        hole.state = State::Held { by, deadline };
        let hands = self.holders.entry(by).or_default();
        hands.held.insert(offset);
        if hole.is_alone() {
            hands.is_alone = true;
            self.emptying = self.emptying.filter(|holder| *holder != by);
        }
        self.redelivered += u64::from(hole.attempts > 1);
        let is_redelivered = hole.attempts > 1 || offset < self.suspect;
        Handed { attempt: hole.attempts.into(), is_redelivered }
    }

    /// Offsets below `to` that were never handed over need not be: a filter passed them over, or they are gone.
    pub(crate) fn pass(&mut self, to: Offset) {
        self.next = self.next.max(to);
    }

    /// Makes everything below `to` a hole that can be handed over, for settling in any order. False: that would be too many.
    pub(crate) fn open_up(&mut self, offsets: impl IntoIterator<Item = Offset>, to: Offset) -> bool {
        let more: Vec<Offset> = offsets.into_iter().filter(|offset| (self.next..to).contains(offset)).collect();
        if self.holes.len() + more.len() > self.rules.max_holes {
            return false;
        }
        for offset in more {
            self.holes.insert(offset, Hole::default());
            self.make_ready(offset);
        }
        self.pass(to);
        true
    }

    /// Adds a hole at `offset`, which is `next` or above, that is due at `due`.
    pub(crate) fn schedule(&mut self, offset: Offset, due: u64, now: u64) {
        self.next = self.next.max(offset + 1);
        self.holes.insert(offset, Hole::default());
        self.wait_until(offset, due, now);
    }

    /// A holder is gone: what it has can be handed to another one at once.
    pub(crate) fn leave(&mut self, by: Holder) {
        let held = self.holders.get(&by).map(|hands| hands.held.clone()).unwrap_or_default();
        for offset in held {
            self.release(offset);
            self.journal.touch(offset);
            let Some(hole) = self.holes.get_mut(&offset) else { continue };
            hole.losses = hole.losses.saturating_add(1);
            if hole.losses >= self.rules.max_attempts {
                self.die(offset, Reason::Lost);
            } else {
                self.make_ready(offset);
            }
        }
        self.forget(by);
    }

    /// A holder gets nothing any more; what it has stays its own until the deadline.
    pub(crate) fn retire(&mut self, by: Holder) {
        if self.held_by(by) == 0 {
            self.forget(by);
        }
        self.emptying = self.emptying.filter(|holder| *holder != by);
    }

    fn forget(&mut self, by: Holder) {
        self.holders.remove(&by);
        self.emptying = self.emptying.filter(|holder| *holder != by);
    }

    /// What time does: missed deadlines, and what has waited long enough.
    pub(crate) fn tick(&mut self, now: u64) {
        while let Some(&(time, offset)) = self.times.first().filter(|(time, _)| *time <= now) {
            let Some(hole) = self.holes.get_mut(&offset) else { break };
            match hole.state {
                State::Held { .. } => {
                    let failures = self.fail(offset, Some("not settled within the ack deadline"));
                    if failures >= self.rules.max_attempts {
                        self.die(offset, Reason::Attempts);
                        continue;
                    }
                }
                _ => {
                    self.times.remove(&(time, offset));
                }
            }
            self.make_ready(offset);
        }
    }

    /// When time does something next.
    pub(crate) fn alarm(&self) -> Option<u64> {
        self.times.first().map(|(time, _)| *time)
    }

    /// The next message that is to go to the dead letter.
    pub(crate) fn dying(&self) -> Option<&Death> {
        self.dying.front()
    }

    /// Settles an offset whoever holds it: its bytes are gone, or worth nothing any more.
    pub(crate) fn drop_message(&mut self, offset: Offset) {
        if self.holes.contains_key(&offset) {
            self.dying.retain(|death| death.offset != offset);
            self.settle(offset);
        } else {
            self.pass(offset + 1);
        }
    }

    /// Goes on somewhere else: what was handed over before is nobody's.
    pub(crate) fn seek(&mut self, next: Offset) {
        let (rules, suspect, redelivered) = (self.rules, self.suspect, self.redelivered);
        *self =
            Self::restore(&GroupView { settings: None, next, holes: Vec::new(), is_lost: false }, rules, suspect, 0);
        self.redelivered = redelivered;
    }

    /// What is to be recorded, if there is anything; [`Self::recorded`] says that it was.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.journal.progress(self.next, &self.holes)
    }

    /// The progress that was last asked for is in the store.
    pub(crate) fn recorded(&mut self) {
        self.journal = Journal::new(self.next);
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.journal.is_empty(self.next)
    }

    fn settle(&mut self, offset: Offset) {
        self.release(offset);
        if let Some(hole) = self.holes.remove(&offset) {
            if let State::Waiting { due } = hole.state {
                self.times.remove(&(due, offset));
            }
            self.unready(offset);
            self.journal.touch(offset);
        }
    }

    fn make_ready(&mut self, offset: Offset) {
        let Some(hole) = self.holes.get_mut(&offset) else { return };
        hole.state = State::Ready;
        let set = if hole.is_alone() { &mut self.alone } else { &mut self.ready };
        set.insert(offset);
    }

    fn unready(&mut self, offset: Offset) {
        self.ready.remove(&offset);
        self.alone.remove(&offset);
    }

    /// Takes it from who holds it; its state is not changed.
    fn release(&mut self, offset: Offset) {
        let Some(State::Held { by, deadline }) = self.holes.get(&offset).map(|hole| hole.state) else { return };
        self.times.remove(&(deadline, offset));
        let is_empty = self.holders.get_mut(&by).is_some_and(|hands| {
            hands.held.remove(&offset);
            hands.is_alone &= !hands.held.is_empty();
            hands.held.is_empty()
        });
        if is_empty && self.emptying != Some(by) {
            self.holders.remove(&by);
        }
    }

    /// Takes it from its holder after a failure; how many there were.
    fn fail(&mut self, offset: Offset, reason: Option<&str>) -> u16 {
        self.release(offset);
        self.journal.touch(offset);
        let Some(hole) = self.holes.get_mut(&offset) else { return 0 };
        hole.remember(reason);
        hole.failures = hole.failures.saturating_add(1);
        hole.failures
    }

    fn wait_until(&mut self, offset: Offset, due: u64, now: u64) {
        self.journal.touch(offset);
        if due <= now {
            self.make_ready(offset);
        } else if let Some(hole) = self.holes.get_mut(&offset) {
            hole.state = State::Waiting { due };
            self.times.insert((due, offset));
        }
    }

    fn die(&mut self, offset: Offset, reason: Reason) {
        self.journal.touch(offset);
        let Some(hole) = self.holes.get_mut(&offset) else { return };
        if let State::Waiting { due } = hole.state {
            self.times.remove(&(due, offset));
        }
        hole.state = State::Dying;
        let (attempts, last_error) = (hole.attempts.into(), hole.last_error.take());
        self.unready(offset);
        self.dying.push_back(Death { offset, attempts, reason, last_error });
    }
}
