//! The directory of a sealed file, page by page.

use super::cache::Place;
use super::entry::Entry;
use super::inner;
use super::leaf::Leaf;
use super::open::{Sealed, twice};
use super::page::{self, Role};
use super::rebuild;
use super::runs::{self, Run};
use crate::store::log::file::PAGE;
use bytes::Bytes;
use std::io;

const BYTES: u64 = PAGE as u64;

impl Sealed {
    /// A page of the directory; a damaged one is made again.
    pub(super) fn page(&self, role: Role, number: u32) -> io::Result<Bytes> {
        if let Some(page) = self.kept_page(role, number) {
            return Ok(page);
        }
        let page = self.made_page(role, number)?;
        self.keep_page(role, number, page.clone());
        Ok(page)
    }

    /// As [`Sealed::page`], for who goes through all of a file once: it drives out no page that readers want.
    fn passing_page(&self, role: Role, number: u32) -> io::Result<Bytes> {
        self.kept_page(role, number).map_or_else(|| self.made_page(role, number), Ok)
    }

    fn kept_page(&self, role: Role, number: u32) -> Option<Bytes> {
        if self.built.is_some() { None } else { self.directories.page(self.place(role, number)) }
    }

    fn made_page(&self, role: Role, number: u32) -> io::Result<Bytes> {
        self.stored_page(role, number)?.map_or_else(|| rebuild::page(self, role, number), Ok)
    }

    /// Keeps a page in memory for a while.
    pub(super) fn keep_page(&self, role: Role, number: u32, page: Bytes) {
        if self.built.is_none() {
            self.directories.insert(self.place(role, number), page);
        }
    }

    fn place(&self, role: Role, number: u32) -> Place {
        (self.id.id, self.footer.position(role) + u64::from(number) * BYTES)
    }

    /// A page as it is on the disk: nothing, if it is damaged.
    pub(super) fn stored_page(&self, role: Role, number: u32) -> io::Result<Option<Bytes>> {
        if let Some(built) = &self.built {
            let pages = match role {
                Role::Level(level) => built.levels.get(usize::from(level)),
                _ => Some(&built.runs),
            };
            return Ok(pages.and_then(|pages| pages.get(number as usize)).cloned());
        }
        let (_, at) = self.place(role, number);
        let seed = self.id.seed;
        twice(&*self.file, at, |page| {
            page::check(page, role, seed).filter(|header| header.number == number).map(|_| Bytes::copy_from_slice(page))
        })
    }

    /// What it holds of each topic, in the order of their ids.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn topics(&self) -> impl Iterator<Item = io::Result<Run>> + '_ {
        let pages = (0..self.footer.runs).map(|number| self.runs(number));
        pages.flat_map(|runs| match runs {
            Ok(runs) => runs.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }

    fn runs(&self, number: u32) -> io::Result<Vec<Run>> {
        let page = self.page(Role::Runs, number)?;
        Ok(runs::decode(&page).unwrap_or_default())
    }

    /// The entries from the first one on that is not before what is looked for; `is_before` is true for the first so many
    /// entries, and false for all others.
    pub(super) fn seek(&self, is_before: impl Fn(&Entry) -> bool) -> io::Result<Entries<'_>> {
        self.seek_from(is_before, Self::page)
    }

    /// As [`Sealed::seek`]; no page of the lowest level stays in memory.
    pub(super) fn seek_passing(&self, is_before: impl Fn(&Entry) -> bool) -> io::Result<Entries<'_>> {
        self.seek_from(is_before, Self::passing_page)
    }

    fn seek_from(&self, is_before: impl Fn(&Entry) -> bool, leaves: Leaves) -> io::Result<Entries<'_>> {
        let mut number = 0u32;
        for level in (1..self.footer.levels.len()).rev() {
            let page = self.page(Role::Level(level as u8), number)?;
            number = number * inner::FAN + inner::find(&page, &is_before);
        }
        let leaf = Leaf::new(leaves(self, Role::Level(0), number)?);
        let mut entries = Entries { sealed: self, leaves, leaf, number, before: None, next: None };
        while let Some(entry) = entries.peek()? {
            if !is_before(&entry) {
                break;
            }
            (entries.before, entries.next) = (Some(entry), None);
        }
        Ok(entries)
    }

    /// All entries.
    pub(super) fn entries(&self) -> io::Result<Entries<'_>> {
        self.seek_passing(|_| false)
    }
}

/// How a page of the lowest level is come by.
type Leaves = fn(&Sealed, Role, u32) -> io::Result<Bytes>;

/// Entries of a file in order.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    sealed: &'a Sealed,
    leaves: Leaves,
    leaf: Leaf,
    number: u32,
    /// What was passed over last.
    before: Option<Entry>,
    /// What comes next, if it was looked at already.
    next: Option<Entry>,
}

impl Entries<'_> {
    /// The entry before the one that was looked for.
    pub(super) fn before(&self) -> Option<Entry> {
        self.before
    }

    /// The next entry, which stays the next.
    pub(super) fn peek(&mut self) -> io::Result<Option<Entry>> {
        if self.next.is_none() {
            self.next = self.read()?;
        }
        Ok(self.next)
    }

    fn read(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Ok(Some(entry));
            }
            if self.number + 1 >= self.sealed.footer.pages(Role::Level(0)) {
                return Ok(None);
            }
            self.leaf = Leaf::new((self.leaves)(self.sealed, Role::Level(0), self.number + 1)?);
            self.number += 1;
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        match self.next.take() {
            Some(next) => Some(Ok(next)),
            None => self.read().transpose(),
        }
    }
}
