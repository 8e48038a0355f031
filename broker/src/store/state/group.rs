//! One group: where it is in its topic.

use super::holes::Holes;
use crate::store::log::mutant::{self, Mutant};
use crate::store::wire::{Put, Take};
use crate::store::{GroupView, Offset, Progress, Run};

/// Settled is what is below `next` and no hole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupState {
    /// Nothing, if the record that created it is damaged.
    pub settings: Option<Box<[u8]>>,
    /// The first offset that was never handed over.
    pub next: Offset,
    pub holes: Holes,
    /// Its state could not be read: it stands at the oldest message until somebody seeks.
    pub is_lost: bool,
}

impl GroupState {
    /// Applies what the group did. `handed` counts before `settled`; `next` never goes back.
    pub(crate) fn apply(&mut self, progress: &Progress) {
        let Progress { from, next, handed, settled } = progress;
        let before = self.next;
        self.next = before.max(*next);
        // The record before is damaged: what it covered may or may not have been handed over.
        if !mutant::is_on(Mutant::GapSettled) {
            self.holes.insert_run(between(before, *from), 0, 0);
        }
        self.next = self.next.max(*from);
        // What neither list names was passed over. Holes are there already only where `from` is not where the last one ended.
        self.holes.remove_run(between(*from, (*next).min(before)));
        for hand in handed {
            let end = hand.run.first.saturating_add(hand.run.count).min(self.next);
            self.holes.insert_run(between(hand.run.first, end), hand.attempt, hand.due);
        }
        for run in settled {
            self.holes.remove_run(*run);
        }
    }

    /// Goes on somewhere else, with nothing handed over.
    pub(crate) fn seek(&mut self, next: Offset) {
        (self.next, self.holes, self.is_lost) = (next, Holes::default(), false);
    }

    /// Its state is not known: it stands at the oldest message, and takes no progress until somebody seeks.
    pub(crate) fn lose(&mut self, floor: Offset) {
        (self.next, self.holes, self.is_lost) = (floor, Holes::default(), true);
    }

    pub(crate) fn view(&self) -> GroupView {
        GroupView {
            settings: self.settings.as_deref().map(<[u8]>::to_vec),
            next: self.next,
            holes: self.holes.iter().collect(),
            is_lost: self.is_lost,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(u8::from(self.settings.is_some()) | (u8::from(self.is_lost) << 1));
        out.text(self.settings.as_deref().unwrap_or_default());
        out.varint(self.next);
        self.holes.encode(out);
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let flags = take.u8()?;
        let settings = Box::from(take.text()?);
        let next = take.varint()?;
        let settings = (flags & 1 != 0).then_some(settings);
        Some(Self { settings, next, holes: Holes::decode(take)?, is_lost: flags & 2 != 0 })
    }
}

/// The offsets from `first` on and below `end`: none if there are none.
fn between(first: Offset, end: Offset) -> Run {
    Run { first, count: end.saturating_sub(first) }
}
