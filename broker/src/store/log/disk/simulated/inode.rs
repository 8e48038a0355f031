//! One file without its name: what it holds for whoever reads it now, and what of that is certain.

use super::content::{Content, PAGE, Page, pieces};
use super::luck::Luck;
use super::ranges::Ranges;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A disk writes this much wholly or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// The name it has, or had last.
    pub name: String,
    /// Handles that keep it though its name is gone.
    pub handles: usize,
    /// Pages that have their place on the disk.
    pub allocated: Ranges,
    current: Content,
    certain: Content,
    /// What was done to each page since it was certain, in order.
    unsynced: BTreeMap<u64, Vec<Change>>,
    /// What was done to the file as a whole since, in order.
    operations: Vec<Operation>,
    /// How long it is once all of that is certain.
    planned: u64,
    /// Pages that are taken for certain and are not, since a sync of them failed.
    lost: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Bytes {
        from: usize,
        bytes: Box<[u8]>,
    },
    /// Part of an operation, and arrives with it.
    Zeros {
        operation: usize,
        range: Range<usize>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    /// A write made it at least so long.
    Extend(u64),
    Length(u64),
    Punch,
}

impl Inode {
    /// A new file of zeros; its length is not certain yet.
    pub(super) fn new(name: &str, len: u64) -> Self {
        let mut inode = Self { name: name.to_owned(), ..Self::default() };
        inode.allocated.add(0..len.div_ceil(PAGE as u64));
        inode.set_len(len);
        inode
    }

    pub(super) fn len(&self) -> u64 {
        self.current.len
    }

    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> usize {
        self.current.read(buffer, at)
    }

    /// What waits to be written stays in memory and is read from there; what is taken for written is read as it was written.
    pub(super) fn read_past_cache(&self, buffer: &mut [u8], at: u64) -> usize {
        let len = self.current.read(buffer, at);
        let mut filled = 0;
        for (page, range) in pieces(at, at + len as u64) {
            if self.lost.contains(&page) {
                buffer[filled..filled + range.len()].copy_from_slice(&self.certain.page(page)[range.clone()]);
            }
            filled += range.len();
        }
        len
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], at: u64) {
        let end = at + bytes.len() as u64;
        for (page, range) in pieces(at, end) {
            let (piece, rest) = bytes.split_at(range.len());
            bytes = rest;
            self.current.write(page, range.start, piece);
            let change = if self.lost.remove(&page) {
                self.whole(page)
            } else {
                Change::Bytes { from: range.start, bytes: piece.into() }
            };
            self.unsynced.entry(page).or_default().push(change);
            self.allocated.add(page..page + 1);
        }
        self.current.len = self.current.len.max(end);
        // With its new end the system writes what it holds for the length, also what a failed sync lost.
        if self.planned < self.current.len {
            self.planned = self.current.len;
            self.operations.push(Operation::Extend(self.planned));
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.operations.push(Operation::Length(len));
        self.planned = len;
        if len < self.current.len {
            self.zero(len, u64::MAX);
            self.allocated.remove(len.div_ceil(PAGE as u64)..u64::MAX);
        }
        self.current.len = len;
    }

    pub(super) fn punch(&mut self, at: u64, len: u64) {
        let end = at.saturating_add(len).min(self.current.len);
        self.operations.push(Operation::Punch);
        self.zero(at, end);
        self.allocated.remove(at.div_ceil(PAGE as u64)..end / PAGE as u64);
    }

    /// Zeros by the operation that was pushed last.
    fn zero(&mut self, from: u64, to: u64) {
        let touched = from / PAGE as u64..to.div_ceil(PAGE as u64);
        if from >= to {
            return;
        }
        let mut pages: BTreeSet<u64> = self.current.pages(touched.clone()).collect();
        pages.extend(self.certain.pages(touched.clone()));
        pages.extend(self.unsynced.range(touched).map(|(page, _)| *page));
        for page in pages {
            let start = page * PAGE as u64;
            let range = from.saturating_sub(start) as usize..(to - start).min(PAGE as u64) as usize;
            self.current.zero(page, range.clone());
            let mut changes = vec![Change::Zeros { operation: self.operations.len() - 1, range }];
            if self.lost.remove(&page) {
                changes.push(self.whole(page));
            }
            self.unsynced.entry(page).or_default().extend(changes);
        }
    }

    /// The page as a whole: the system writes what it holds of it, also what it was told before.
    fn whole(&self, page: u64) -> Change {
        Change::Bytes { from: 0, bytes: Box::new(self.current.page(page)) }
    }

    pub(super) fn sync(&mut self) {
        for page in std::mem::take(&mut self.unsynced).into_keys() {
            self.certain.put(page, self.current.page(page));
        }
        self.operations.clear();
        self.certain.len = self.planned;
    }

    /// Some arrives, the rest never does: the system takes it for written.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        let pages: Vec<u64> = self.unsynced.keys().copied().collect();
        self.settle(rng);
        self.lost.extend(pages.into_iter().filter(|page| !self.current.is_same_page(&self.certain, *page)));
        self.planned = self.certain.len;
    }

    /// Leaves what an honest disk may, as certain.
    pub(super) fn power_cut(&mut self, rng: &mut Rng) {
        self.settle(rng);
        self.certain.cut(self.certain.len);
        self.current = self.certain.clone();
        self.planned = self.certain.len;
        self.lost.clear();
        self.handles = 0;
        let pages = self.certain.len.div_ceil(PAGE as u64);
        self.allocated.remove(pages..u64::MAX);
        for page in self.certain.pages(0..pages) {
            self.allocated.add(page..page + 1);
        }
    }

    /// Decides what of everything unsynced arrives.
    fn settle(&mut self, rng: &mut Rng) {
        let luck = Luck::draw(rng);
        let operations = std::mem::take(&mut self.operations);
        let arrived: Vec<bool> = operations.iter().map(|_| luck.arrives(rng)).collect();
        for (page, changes) in std::mem::take(&mut self.unsynced) {
            let bytes = self.settled_page(page, &changes, &arrived, luck, rng);
            self.certain.put(page, bytes);
        }
        for (operation, _) in operations.into_iter().zip(arrived).filter(|(_, arrived)| *arrived) {
            match operation {
                Operation::Extend(to) => self.certain.len = self.certain.len.max(to),
                Operation::Length(len) => self.certain.len = len,
                Operation::Punch => {}
            }
        }
    }

    fn settled_page(&self, page: u64, changes: &[Change], arrived: &[bool], luck: Luck, rng: &mut Rng) -> Page {
        let writes = changes.iter().filter(|change| matches!(change, Change::Bytes { .. })).count();
        let is_torn = rng.u8(..4) == 0;
        let mut bytes = self.page_after(page, changes, luck.count(writes, rng), arrived);
        if is_torn {
            for sector in (0..PAGE).step_by(SECTOR) {
                let sector = sector..sector + SECTOR;
                let then = self.page_after(page, changes, luck.count(writes, rng), arrived);
                bytes[sector.clone()].copy_from_slice(&then[sector]);
            }
        }
        bytes
    }

    /// The page after so many of the writes to it, and those operations that arrived.
    fn page_after(&self, page: u64, changes: &[Change], mut writes: usize, arrived: &[bool]) -> Page {
        let mut image = self.certain.page(page);
        for change in changes {
            match change {
                Change::Bytes { from, bytes } if writes > 0 => {
                    image[*from..from + bytes.len()].copy_from_slice(bytes);
                    writes -= 1;
                }
                Change::Zeros { operation, range } if arrived[*operation] => image[range.clone()].fill(0),
                Change::Bytes { .. } | Change::Zeros { .. } => {}
            }
        }
        image
    }

    /// Damages the medium and what was read from it.
    pub(super) fn flip(&mut self, bit: u64) {
        let (page, bit) = (bit / 8 / PAGE as u64, (bit % (8 * PAGE as u64)) as usize);
        for content in [&mut self.current, &mut self.certain] {
            let mut bytes = content.page(page);
            bytes[bit / 8] ^= 1 << (bit % 8);
            content.put(page, bytes);
        }
    }

    /// Damages the medium: the file ends here, whatever waits to be written.
    pub(super) fn truncate(&mut self, len: u64) {
        self.current.cut(len);
        self.certain.cut(len);
        self.planned = self.planned.min(len);
        self.unsynced.retain(|page, _| page * (PAGE as u64) < len);
        for operation in &mut self.operations {
            if let Operation::Extend(to) | Operation::Length(to) = operation {
                *to = len.min(*to);
            }
        }
    }
}
