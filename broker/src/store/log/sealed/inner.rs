//! A page of a level above the leaves: where the pages below it begin.
//!
//! ```text
//!  24 for each page below: 0 topic  8 offset  16 timestamp  24 position of its first record   32 records it covers
//! ```

use super::entry::Entry;
use super::page::{self, Header, Role};
use crate::store::TopicId;
use crate::store::log::file::PAGE;
use crate::store::wire::{Put, Take};

const CHILD: usize = 36;
/// Pages below one page.
pub(super) const FAN: u32 = ((PAGE - page::HEADER) / CHILD) as u32;

/// A page below: its first record, the length of which is not known here, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub first: Entry,
    pub records: u32,
}

/// The page of so many children, at most [`FAN`].
pub(super) fn encode(children: &[Child], level: u8, number: u32, of: u32, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; page::HEADER];
    for Child { first, records } in children {
        bytes.u64(first.topic.0);
        bytes.u64(first.offset);
        bytes.u64(first.timestamp);
        bytes.u64(first.position);
        bytes.u32(*records);
    }
    page::finish(bytes, Role::Level(level), Header { entries: children.len() as u32, number, of }, seed)
}

/// The children in a page that has been checked.
pub(super) fn decode(bytes: &[u8]) -> Vec<Child> {
    let (entries, content) = page::content(bytes);
    let mut take = Take(content);
    (0..entries).map_while(|_| child(&mut take)).collect()
}

/// Which child of a page that has been checked what is looked for is in: the last one that begins before it, or the first.
pub(super) fn find(bytes: &[u8], is_before: impl Fn(&Entry) -> bool) -> u32 {
    let (entries, content) = page::content(bytes);
    let (mut from, mut to) = (0, entries);
    while from < to {
        let middle = from.midpoint(to);
        let rest = content.get(middle as usize * CHILD..).unwrap_or_default();
        if child(&mut Take(rest)).is_some_and(|child| is_before(&child.first)) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from.saturating_sub(1)
}

fn child(take: &mut Take<'_>) -> Option<Child> {
    let (topic, offset, timestamp, position) = (TopicId(take.u64()?), take.u64()?, take.u64()?, take.u64()?);
    Some(Child { first: Entry { topic, offset, timestamp, position, len: 0, is_lost: false }, records: take.u32()? })
}
