//! Message ids a topic remembers, the oldest first.
//!
//! Invariant: every place in the table is that of an id in a chunk; of one that came twice, the later place.

use super::seen::Moment;
use crate::store::Offset;
use crate::store::wire::{Put, Take};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Ids that are forgotten together.
const CHUNK: usize = 256;
/// Bytes a chunk takes beside its ids.
const CHUNK_BYTES: usize = 112;
/// Bytes an id takes in its chunk and in the table.
const ID_BYTES: usize = 34;
/// Chunks are numbered so far, then from 0 again: far more than there ever are at once.
const NUMBERS: u32 = 1 << 24;

#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    chunks: VecDeque<Arc<Chunk>>,
    /// The number of the oldest chunk.
    first: u32,
    /// Places: a chunk's number and a place in it.
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Chunk {
    /// Both halves of an id, and its offset.
    ids: Vec<[u64; 3]>,
    /// Of the last one; the uptime is that of all.
    used: Moment,
}

impl PartialEq for Ids {
    /// Uptimes are of one life of the store, and so are numbers and the table.
    fn eq(&self, other: &Self) -> bool {
        let parts = |ids: &Self| {
            let chunks = ids.chunks.iter().map(|chunk| (chunk.ids.clone(), chunk.used.tick));
            chunks.collect::<Vec<_>>()
        };
        parts(self) == parts(other)
    }
}

impl Ids {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn find(&self, id: u128) -> Option<Offset> {
        let place = self.table.find(self.hash(id), |&place| self.at(place).0 == id)?;
        Some(self.at(*place).1)
    }

    /// Adds an id; one that is there already moves. Returns the bytes it takes more.
    pub(crate) fn insert(&mut self, id: u128, offset: Offset, used: Moment) -> isize {
        let before = self.bytes;
        if self.chunks.back().is_none_or(|last| last.ids.len() == CHUNK || last.used.uptime != used.uptime) {
            self.chunks.push_back(Arc::new(Chunk { ids: Vec::new(), used }));
            self.bytes += CHUNK_BYTES;
        }
        let number = (self.first + self.chunks.len() as u32 - 1) % NUMBERS;
        let last = Arc::make_mut(self.chunks.back_mut().expect("one was pushed"));
        let place = (number << 8) | last.ids.len() as u32;
        last.ids.push([id as u64, (id >> 64) as u64, offset]);
        last.used = used;
        self.bytes += ID_BYTES;
        self.point(id, place);
        (self.bytes - before) as isize
    }

    /// Forgets the oldest chunk, and says how many bytes it took.
    pub(crate) fn pop(&mut self) -> usize {
        let Some(chunk) = self.chunks.front().cloned() else { return 0 };
        for (index, id) in chunk.ids.iter().enumerate() {
            let place = (self.first << 8) | index as u32;
            if let Ok(entry) = self.table.find_entry(self.hash(whole(*id)), |at| *at == place) {
                entry.remove();
            }
        }
        self.chunks.pop_front();
        self.first = (self.first + 1) % NUMBERS;
        let bytes = CHUNK_BYTES + chunk.ids.len() * ID_BYTES;
        self.bytes -= bytes;
        self.table.shrink_to(self.table.len() * 2, |&place| hash_at(&self.chunks, self.first, &self.hasher, place));
        bytes
    }

    /// When each chunk was used, the oldest first.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = Moment> {
        self.chunks.iter().map(|chunk| chunk.used)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.varint(self.chunks.len() as u64);
        for chunk in &self.chunks {
            out.varint(chunk.used.tick);
            out.varint(chunk.ids.len() as u64);
            for &[low, high, offset] in &chunk.ids {
                out.u64(low);
                out.u64(high);
                out.varint(offset);
            }
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let (mut ids, mut places) = (Self::default(), Vec::new());
        for number in 0..u32::try_from(take.varint()?).ok()? {
            let used = Moment { tick: take.varint()?, uptime: 0 };
            let count = usize::try_from(take.varint()?).ok().filter(|count| (1..=CHUNK).contains(count))?;
            let mut chunk = Vec::with_capacity(count);
            for _ in 0..count {
                chunk.push([take.u64()?, take.u64()?, take.varint()?]);
            }
            ids.chunks.push_back(Arc::new(Chunk { ids: chunk, used }));
            ids.bytes += CHUNK_BYTES + count * ID_BYTES;
            places.extend((0..count).map(|index| (number << 8) | index as u32));
        }
        let Self { chunks, first, hasher, table, .. } = &mut ids;
        table.reserve(places.len(), |&at| hash_at(chunks, *first, hasher, at));
        for place in places {
            ids.point(ids.at(place).0, place);
        }
        Some(ids)
    }

    /// Lets the table point at a place, which holds `id`.
    fn point(&mut self, id: u128, place: u32) {
        let Self { chunks, first, table, hasher, .. } = self;
        let hash = hasher.hash_one(id);
        match table.find_mut(hash, |&at| id_at(chunks, *first, at) == id) {
            Some(known) => *known = place,
            None => {
                table.insert_unique(hash, place, |&at| hash_at(chunks, *first, hasher, at));
            }
        }
    }

    fn hash(&self, id: u128) -> u64 {
        self.hasher.hash_one(id)
    }

    fn at(&self, place: u32) -> (u128, Offset) {
        let id = slot(&self.chunks, self.first, place);
        (whole(id), id[2])
    }
}

fn slot(chunks: &VecDeque<Arc<Chunk>>, first: u32, place: u32) -> [u64; 3] {
    let chunk = (place >> 8).wrapping_sub(first) % NUMBERS;
    chunks[chunk as usize].ids[(place & 0xff) as usize]
}

fn id_at(chunks: &VecDeque<Arc<Chunk>>, first: u32, place: u32) -> u128 {
    whole(slot(chunks, first, place))
}

fn hash_at(chunks: &VecDeque<Arc<Chunk>>, first: u32, hasher: &DefaultHashBuilder, place: u32) -> u64 {
    hasher.hash_one(id_at(chunks, first, place))
}

fn whole([low, high, _]: [u64; 3]) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}
