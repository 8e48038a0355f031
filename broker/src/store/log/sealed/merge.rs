//! Several sorted streams of records as one.

use super::entry::{Entry, Key};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

/// The records of all sources in the order of topic and offset. One that several have comes once, as a message if one of them
/// has it. After an error comes nothing more.
pub(crate) fn merge<S: Iterator<Item = io::Result<Bytes>>>(sources: Vec<S>) -> Merge<S> {
    let heads = sources.iter().map(|_| None).collect();
    Merge {
        is_ended: false,
        order: BinaryHeap::new(),
        unread: (0..sources.len()).collect(),
        sources,
        heads,
        last: None,
    }
}

/// See [`merge`].
#[derive(Debug)]
pub(crate) struct Merge<S> {
    sources: Vec<S>,
    /// The next record of each source.
    heads: Vec<Option<Bytes>>,
    /// Where it belongs, messages before marks of lost ones; and the source.
    order: BinaryHeap<Reverse<(Key, bool, usize)>>,
    /// Sources whose next record is not known.
    unread: Vec<usize>,
    last: Option<Key>,
    is_ended: bool,
}

impl<S: Iterator<Item = io::Result<Bytes>>> Merge<S> {
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            while let Some(source) = self.unread.pop() {
                let Some(record) = self.sources[source].next().transpose()? else { continue };
                let entry = Entry::stated(&record, 0).ok_or(io::ErrorKind::InvalidData)?;
                self.order.push(Reverse((entry.key(), entry.is_lost, source)));
                self.heads[source] = Some(record);
            }
            let Some(Reverse((key, _, source))) = self.order.pop() else { return Ok(None) };
            self.unread.push(source);
            let record = self.heads[source].take();
            if self.last != Some(key) {
                self.last = Some(key);
                return Ok(record);
            }
        }
    }
}

impl<S: Iterator<Item = io::Result<Bytes>>> Iterator for Merge<S> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.is_ended {
            return None;
        }
        let next = self.read().transpose();
        self.is_ended = !matches!(next, Some(Ok(_)));
        next
    }
}
