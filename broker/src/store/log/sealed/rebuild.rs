//! Pages of the directory out of what they are of: a leaf out of the records, the others out of the leaves.
//!
//! Between records there is nothing, so a walk goes from one to the next by the length in its header. Behind a damaged one it
//! goes on where that header says, if a record is there; else it looks for the next bytes that are a record. A message may
//! hold such bytes: where the directory says how many records there are, a walk that finds more is not believed.

use super::builder::{self, Builder, Built};
use super::entry::{Entry, Key};
use super::inner::{self, Child, FAN};
use super::leaf::{self, Leaf};
use super::open::Sealed;
use super::page::Role;
use super::verify::Damage;
use super::window::Window;
use crate::store::TopicId;
use crate::store::log::disk::File;
use crate::store::record::Frame;
use bytes::Bytes;
use std::io;

/// No record is longer.
const LONGEST: u32 = 64 << 20;
/// The shortest message.
const SHORTEST: usize = 40;
/// The most a record holds besides its content.
const AROUND: usize = 64;
/// Bytes that are searched at once.
const STRIDE: usize = 64 << 10;
const LEAVES: Role = Role::Level(0);

/// Makes a page of the directory again.
pub(super) fn page(sealed: &Sealed, role: Role, number: u32) -> io::Result<Bytes> {
    let seed = sealed.id.seed;
    let of = sealed.footer.pages(role);
    match role {
        LEAVES => leaf(sealed, number),
        Role::Level(level) => Ok(inner::encode(&children(sealed, level, number)?, level, number, of, seed).into()),
        _ => {
            let mut builder = Builder::new();
            for entry in sealed.entries()? {
                builder.push(&entry?);
            }
            Ok(builder.finish(seed).runs.get(number as usize).cloned().unwrap_or_default())
        }
    }
}

/// What the pages below a page are. An empty one counts as the one behind it.
fn children(sealed: &Sealed, level: u8, number: u32) -> io::Result<Vec<Child>> {
    let below = Role::Level(level - 1);
    let to = (number.saturating_add(1).saturating_mul(FAN)).min(sealed.footer.pages(below));
    let end = Entry { topic: TopicId(u64::MAX), offset: u64::MAX, timestamp: u64::MAX, ..Entry::ZERO };
    let mut after = Child { first: Entry { position: sealed.footer.records_to, ..end }, records: 0 };
    let mut all = Vec::new();
    for child in (number * FAN..to).rev() {
        let page = sealed.page(below, child)?;
        let found = if below == LEAVES {
            builder::child_of(Leaf::new(page))
        } else {
            Some(builder::sum(&inner::decode(&page))).filter(|child| child.records > 0)
        };
        after = found.unwrap_or(Child { records: 0, ..after });
        all.push(after);
    }
    all.reverse();
    Ok(all)
}

/// A leaf that is damaged. Where it begins and ends the level above says; if that is damaged too, the nearest good leaves do,
/// and what is between them is cut into leaves as it was when the file was written.
fn leaf(sealed: &Sealed, number: u32) -> io::Result<Bytes> {
    let footer = &sealed.footer;
    let (seed, of) = (sealed.id.seed, footer.pages(LEAVES));
    let stated = child(sealed, number)?;
    let (mut first, mut from, mut previous) = (number, footer.records_from, None);
    if let Some(child) = stated {
        from = child.first.position;
    } else {
        while let Some(before) = first.checked_sub(1) {
            if let Some(leaf) = sealed.stored_page(LEAVES, before)? {
                previous = Leaf::new(leaf).last();
                from = previous.map_or(from, |entry| entry.end());
                break;
            }
            first = before;
        }
    }
    let mut end = number + 1;
    let mut to = stated.and(child(sealed, end)?).map(|child| child.first.position);
    while to.is_none() && end < of {
        to = sealed.stored_page(LEAVES, end)?.map(|leaf| Leaf::new(leaf).position());
        end += u32::from(to.is_none());
    }
    let walk = Walk { file: &*sealed.file, to: to.unwrap_or(footer.records_to), previous };
    let records = stated.map(|child| u64::from(child.records)).or((of == 1).then_some(footer.totals.records));
    let mut found = walk.run(from, true)?;
    if records.is_some_and(|records| found.count() > records) {
        found = walk.run(from, false)?;
    }
    if let (Some(child), Some(first)) = (stated, found.entries.first_mut()) {
        // The mark of a lost one may have the time of a message before this leaf.
        first.timestamp = first.timestamp.max(child.first.timestamp);
        for place in 1..found.entries.len() {
            found.entries[place] = found.entries[place].after(&found.entries[place - 1]);
        }
    }
    let pages = if stated.is_some() { vec![found.entries] } else { cut(found.entries, end - first, seed) };
    let mut wanted = None;
    for (entries, place) in pages.iter().zip(first..) {
        let mut filling = leaf::Filling::unbounded();
        entries.iter().for_each(|entry| {
            filling.push(entry);
        });
        let page = Bytes::from(filling.finish(place, of, seed));
        if place == number {
            wanted = Some(page);
        } else {
            sealed.keep_page(LEAVES, place, page);
        }
    }
    Ok(wanted.unwrap_or_default())
}

/// Cuts entries into so many leaves, as a [`Builder`] does; the last has all that is left, whatever its length.
fn cut(mut entries: Vec<Entry>, leaves: u32, seed: u64) -> Vec<Vec<Entry>> {
    let mut builder = Builder::new();
    entries.iter().for_each(|entry| builder.push(entry));
    let built = builder.finish(seed).levels.swap_remove(0);
    let mut pages = Vec::new();
    for leaf in built.into_iter().take(leaves as usize - 1) {
        let rest = entries.split_off(Leaf::new(leaf).count());
        pages.push(std::mem::replace(&mut entries, rest));
    }
    pages.push(entries);
    pages.resize(leaves as usize, Vec::new());
    pages
}

/// What the level above says of a leaf, if it is not damaged.
fn child(sealed: &Sealed, number: u32) -> io::Result<Option<Child>> {
    if sealed.footer.levels.len() < 2 || number >= sealed.footer.pages(LEAVES) {
        return Ok(None);
    }
    let page = sealed.stored_page(Role::Level(1), number / FAN)?;
    Ok(page.and_then(|page| inner::decode(&page).get((number % FAN) as usize).copied()))
}

/// The whole directory, out of records from `from` on; the file has so many bytes. Also where the last record ends.
pub(super) fn all(file: &dyn File, from: u64, len: u64, seed: u64) -> io::Result<(Built, Damage, u64)> {
    let found = Walk { file, to: len, previous: None }.run(from, true)?;
    let last = found.entries.iter().rposition(|entry| !found.damaged.contains(&entry.key()));
    let kept = last.map_or(0, |last| last + 1);
    let mut builder = Builder::new();
    found.entries[..kept].iter().for_each(|entry| builder.push(entry));
    let end = kept.checked_sub(1).map_or(from, |last| found.entries[last].end());
    // What was found behind the last record is the directory, or nothing.
    let is_within = |key: &Key| found.entries[..kept].last().is_some_and(|last| *key < last.key());
    let records = found.damaged.into_iter().filter(is_within).collect();
    let damage =
        Damage { records, unknown: found.unknown.iter().filter(|at| **at < end).count() as u64, ..Damage::default() };
    Ok((builder.finish(seed), damage, end))
}

/// A way through records.
struct Walk<'a> {
    file: &'a dyn File,
    to: u64,
    previous: Option<Entry>,
}

/// What was met on it.
#[derive(Debug, Default)]
struct Found {
    /// Damaged ones too, where their headers can be believed.
    entries: Vec<Entry>,
    damaged: Vec<Key>,
    /// Where there is something damaged that nothing is known of.
    unknown: Vec<u64>,
}

impl Found {
    fn count(&self) -> u64 {
        (self.entries.len() + self.unknown.len()) as u64
    }
}

impl Walk<'_> {
    /// `may_search`: behind a damaged record whose length is wrong.
    fn run(&self, from: u64, may_search: bool) -> io::Result<Found> {
        let mut window = Window::new(self.file, true, self.to);
        let mut found = Found::default();
        let mut previous = self.previous;
        let mut at = from;
        while at < self.to {
            if let Some(entry) = intact(&mut window, at, previous)? {
                at = entry.end();
                found.entries.push(previous.map_or(entry, |previous| entry.after(&previous)));
                previous = found.entries.last().copied();
                continue;
            }
            let stated = header(&mut window, at)?;
            let next = match stated.map(|entry| entry.end()) {
                Some(end) if end == self.to => Some(end),
                Some(end) if intact(&mut window, end, previous)?.is_some() => Some(end),
                _ if may_search => self.search(&mut window, at + 1, previous)?,
                _ => None,
            };
            let next = next.unwrap_or(self.to);
            // Its offset counts if it is one between its neighbours'.
            let after = intact(&mut window, next, previous)?;
            let fits = |entry: &Entry| {
                previous.is_none_or(|previous| previous.key() < entry.key())
                    && after.is_none_or(|after| entry.key() < after.key())
            };
            match stated.filter(fits) {
                Some(entry) => {
                    let len = u32::try_from(next - at).unwrap_or(u32::MAX);
                    let entry = Entry { len, timestamp: 0, is_lost: false, ..entry };
                    found.damaged.push(entry.key());
                    found.entries.push(previous.map_or(entry, |previous| entry.after(&previous)));
                    previous = found.entries.last().copied();
                }
                None => found.unknown.push(at),
            }
            at = next;
        }
        Ok(found)
    }

    /// The next place that a record begins at.
    fn search(&self, window: &mut Window<'_>, from: u64, previous: Option<Entry>) -> io::Result<Option<u64>> {
        let mut at = from;
        while at + SHORTEST as u64 <= self.to {
            let bytes = window.bytes(at, STRIDE + SHORTEST)?;
            if bytes.len() < SHORTEST {
                break;
            }
            for start in 0..=bytes.len() - SHORTEST {
                let place = at + start as u64;
                if may_begin(&bytes[start..]) && intact(window, place, previous)?.is_some() {
                    return Ok(Some(place));
                }
            }
            at += (bytes.len() - SHORTEST + 1) as u64;
        }
        Ok(None)
    }
}

/// What a record's header says, if it may be one.
fn header(window: &mut Window<'_>, at: u64) -> io::Result<Option<Entry>> {
    let bytes = window.bytes(at, AROUND)?;
    Ok(if may_begin(&bytes) { Entry::stated(&bytes, at) } else { None })
}

/// True if a record may begin so.
fn may_begin(bytes: &[u8]) -> bool {
    bytes.get(8).is_some_and(|kind| *kind != 0)
        && bytes.get(10..16) == Some(&[0; 6])
        && Frame::read(bytes).is_some_and(|frame| {
            (frame.is_message() || frame.is_lost()) && (SHORTEST as u32..=LONGEST).contains(&frame.len)
        })
}

/// The record there, if it is one, as it was written, and comes after the one before.
fn intact(window: &mut Window<'_>, at: u64, previous: Option<Entry>) -> io::Result<Option<Entry>> {
    let Some(entry) = header(window, at)? else { return Ok(None) };
    if previous.is_some_and(|previous| previous.key() >= entry.key()) {
        return Ok(None);
    }
    Ok(Entry::of(&window.bytes(at, entry.len as usize)?, at))
}
