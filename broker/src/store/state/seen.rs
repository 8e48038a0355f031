//! What a topic remembers of messages in order to know one that comes twice.
//!
//! Two ways to know one: by a producer's sequence (the last one, and the offsets of the last 1,024), and by an id. Ids are kept
//! in chunks, in the order in which they came, and found by a table of places: about 35 bytes each.
//!
//! Invariant: what is remembered follows from the messages that were kept and their order alone. A duplicate changes nothing,
//! so a replay remembers the same.

use super::ids::Ids;
use crate::store::wire::{Put, Take};
use crate::store::{Dedup, Offset};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Sequences whose offsets are remembered.
pub(crate) const REMEMBERED: usize = 1024;
/// Bytes a producer takes beside its offsets: its place in the map, and what the allocator adds.
const PRODUCER: usize = 144;
/// Stands for the offset of a sequence that was used up by a refused message.
const NOWHERE: Offset = Offset::MAX;

/// When something was used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// Counts uses, in the order of the records: what was used least recently has the lowest.
    pub tick: u64,
    /// The store's uptime, milliseconds: what windows are measured by.
    pub uptime: u64,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    Duplicate(Option<Offset>),
    /// The producer left a sequence out: this one was expected.
    Gap(u64),
}

/// Something that can be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Memory {
    Producer(u128),
    /// The oldest ids.
    Chunk,
}

/// A topic's memory of messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    producers: HashMap<u128, Arc<Producer>>,
    ids: Ids,
}

#[derive(Clone, Debug)]
struct Producer {
    last: u64,
    /// Of the sequences up to `last`.
    offsets: VecDeque<Offset>,
    /// Messages of the topic are missing: the next sequence may be any above `last`.
    is_loose: bool,
    used: Moment,
}

impl PartialEq for Producer {
    /// Uptimes are of one life of the store.
    fn eq(&self, other: &Self) -> bool {
        (self.last, &self.offsets, self.is_loose, self.used.tick)
            == (other.last, &other.offsets, other.is_loose, other.used.tick)
    }
}

impl Producer {
    fn bytes(&self) -> usize {
        PRODUCER + 8 * self.offsets.len().next_power_of_two()
    }
}

/// What the next sequence of a producer may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub sequence: u64,
    pub is_loose: bool,
}

impl Last {
    /// Judges a sequence by the last one alone.
    pub(crate) fn judge(self, sequence: u64) -> Verdict {
        if sequence <= self.sequence {
            Verdict::Duplicate(None)
        } else if self.is_loose || sequence - 1 == self.sequence {
            Verdict::New
        } else {
            Verdict::Gap(self.sequence + 1)
        }
    }
}

impl Seen {
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.ids.is_empty()
    }

    /// A producer's last sequence.
    pub(crate) fn last(&self, producer: u128) -> Option<Last> {
        self.producers.get(&producer).map(|known| Last { sequence: known.last, is_loose: known.is_loose })
    }

    pub(crate) fn judge(&self, dedup: Dedup) -> Verdict {
        match dedup {
            Dedup::Id(id) => self.ids.find(id).map_or(Verdict::New, |offset| Verdict::Duplicate(Some(offset))),
            Dedup::Sequence { producer, sequence } => {
                let Some(known) = self.producers.get(&producer) else { return Verdict::New };
                let last = Last { sequence: known.last, is_loose: known.is_loose };
                match last.judge(sequence) {
                    Verdict::Duplicate(_) => {
                        let ago = usize::try_from(known.last - sequence).ok();
                        let at = ago.and_then(|ago| (known.offsets.len() - 1).checked_sub(ago));
                        Verdict::Duplicate(at.map(|at| known.offsets[at]).filter(|offset| *offset != NOWHERE))
                    }
                    other => other,
                }
            }
        }
    }

    /// Remembers a message that was kept, or one that was refused and used its sequence up. Returns the bytes it takes more.
    pub(crate) fn note(&mut self, dedup: Dedup, offset: Option<Offset>, used: Moment) -> isize {
        match dedup {
            Dedup::Id(id) => offset.map_or(0, |offset| self.ids.insert(id, offset, used)),
            Dedup::Sequence { producer, sequence } => {
                let mut before = 0;
                let known =
                    self.producers.entry(producer).and_modify(|known| before = known.bytes()).or_insert_with(|| {
                        let offsets = VecDeque::new();
                        Arc::new(Producer { last: sequence, offsets, is_loose: false, used })
                    });
                let known = Arc::make_mut(known);
                // Whatever does not join was accepted all the same: the producer had been forgotten, or messages are missing.
                if known.last.checked_add(1) != Some(sequence) {
                    known.offsets.clear();
                }
                if known.offsets.len() == REMEMBERED {
                    known.offsets.pop_front();
                }
                known.offsets.push_back(offset.unwrap_or(NOWHERE));
                (known.last, known.is_loose, known.used) = (sequence, false, used);
                known.bytes() as isize - before as isize
            }
        }
    }

    /// Messages are missing: producers may go on anywhere above their last sequence.
    pub(crate) fn loosen(&mut self) {
        for producer in self.producers.values_mut() {
            Arc::make_mut(producer).is_loose = true;
        }
    }

    /// Everything that is remembered, with when it was used.
    pub(crate) fn memories(&self) -> impl Iterator<Item = (Moment, Memory)> {
        let producers = self.producers.iter().map(|(id, known)| (known.used, Memory::Producer(*id)));
        producers.chain(self.ids.chunks().map(|used| (used, Memory::Chunk)))
    }

    /// Forgets; for [`Memory::Chunk`] the oldest one. Returns the bytes it took.
    pub(crate) fn forget(&mut self, memory: Memory) -> usize {
        match memory {
            Memory::Producer(id) => self.producers.remove(&id).map_or(0, |known| known.bytes()),
            Memory::Chunk => self.ids.pop(),
        }
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.producers.values().map(|known| known.bytes()).sum::<usize>() + self.ids.bytes()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.varint(self.producers.len() as u64);
        for (id, known) in &self.producers {
            out.u128(*id);
            out.u64(known.last);
            out.u8(u8::from(known.is_loose));
            out.varint(known.used.tick);
            out.varint(known.offsets.len() as u64);
            let mut before = 0;
            for &offset in &known.offsets {
                // Wrapping: a sequence that was used up stands between offsets that grow.
                out.varint(offset.wrapping_sub(before));
                before = offset;
            }
        }
        self.ids.encode(out);
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let mut producers = HashMap::new();
        for _ in 0..take.varint()? {
            let (id, last, is_loose) = (take.u128()?, take.u64()?, take.u8()? != 0);
            let used = Moment { tick: take.varint()?, uptime: 0 };
            let (mut offsets, mut before) = (VecDeque::new(), 0u64);
            for _ in 0..take.varint()? {
                before = before.wrapping_add(take.varint()?);
                offsets.push_back(before);
            }
            (1..=REMEMBERED).contains(&offsets.len()).then_some(())?;
            producers.insert(id, Arc::new(Producer { last, offsets, is_loose, used }));
        }
        Some(Self { producers, ids: Ids::decode(take)? })
    }
}
