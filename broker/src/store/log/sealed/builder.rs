//! Makes a directory out of what it is of, always the same one.

use super::entry::Entry;
use super::inner::{self, Child, FAN};
use super::leaf::{self, Leaf};
use super::runs::{self, Run};
use bytes::Bytes;

/// A directory in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Built {
    /// The leaves first, the root last; one page of each at least.
    pub levels: Vec<Vec<Bytes>>,
    pub runs: Vec<Bytes>,
    pub totals: Totals,
}

/// What all records of a file come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Marks of lost ones included.
    pub records: u64,
    pub lost: u64,
    /// Of any topic; zero if there is no record.
    pub oldest: u64,
    pub newest: u64,
}

impl Totals {
    fn push(&mut self, entry: &Entry) {
        self.oldest = if self.records == 0 { entry.timestamp } else { self.oldest.min(entry.timestamp) };
        self.newest = self.newest.max(entry.timestamp);
        self.records += 1;
        self.lost += u64::from(entry.is_lost);
    }
}

/// Takes the entries of a file in order.
#[derive(Debug)]
pub(super) struct Builder {
    leaves: Vec<leaf::Filling>,
    runs: Vec<runs::Filling>,
    run: Option<Run>,
    children: Vec<Child>,
    totals: Totals,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            leaves: vec![leaf::Filling::new()],
            runs: vec![runs::Filling::new()],
            run: None,
            children: Vec::new(),
            totals: Totals::default(),
        }
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        self.totals.push(entry);
        let fits = self.leaves.last_mut().is_some_and(|leaf| leaf.push(entry));
        if !fits {
            let mut leaf = leaf::Filling::new();
            leaf.push(entry);
            self.leaves.push(leaf);
        }
        match self.children.last_mut() {
            Some(child) if fits => child.records += 1,
            _ => self.children.push(Child { first: *entry, records: 1 }),
        }
        if !self.run.as_mut().is_some_and(|run| run.push(entry)) {
            self.end_run();
            self.run = Some(Run::of(entry));
        }
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        if !self.runs.last_mut().is_some_and(|page| page.push(&run)) {
            let mut page = runs::Filling::new();
            page.push(&run);
            self.runs.push(page);
        }
    }

    pub(super) fn finish(mut self, seed: u64) -> Built {
        self.end_run();
        let of = self.leaves.len() as u32;
        let leaves = self.leaves.into_iter().zip(0..).map(|(leaf, number)| leaf.finish(number, of, seed).into());
        let mut levels = vec![leaves.collect::<Vec<Bytes>>()];
        while levels.last().is_some_and(|level| level.len() > 1) {
            let (pages, above) = level_above(&self.children, levels.len() as u8, seed);
            levels.push(pages);
            self.children = above;
        }
        let of = self.runs.len() as u32;
        let runs = self.runs.into_iter().zip(0..).map(|(page, number)| page.finish(number, of, seed).into());
        Built { levels, runs: runs.collect(), totals: self.totals }
    }
}

/// The pages over `children`, and what they are to the level above.
fn level_above(children: &[Child], level: u8, seed: u64) -> (Vec<Bytes>, Vec<Child>) {
    let of = children.len().div_ceil(FAN as usize) as u32;
    let pages = children.chunks(FAN as usize).zip(0..);
    pages.map(|(children, number)| (inner::encode(children, level, number, of, seed).into(), sum(children))).unzip()
}

/// What a page of these is to the level above.
pub(super) fn sum(children: &[Child]) -> Child {
    let first = children.first().map_or(Entry::ZERO, |child| child.first);
    Child { first, records: children.iter().map(|child| child.records).sum() }
}

/// What a leaf is to the level above: nothing, if it is empty.
pub(super) fn child_of(leaf: Leaf) -> Option<Child> {
    let mut leaf = leaf;
    let first = leaf.next()?;
    Some(Child { first, records: 1 + leaf.count() as u32 })
}
