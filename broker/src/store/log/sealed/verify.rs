//! Every byte of a sealed file against what it should be.

use super::builder::Builder;
use super::footer::COPIES;
use super::open::Sealed;
use super::page::{self, Role};
use super::read::is_record_of;
use super::records::{Keep, Kept};
use super::window::Window;
use crate::store::log::file::{self, PAGE};
use crate::store::{Offset, TopicId};
use std::io;

const BYTES: u64 = PAGE as u64;

/// What of a file is not as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Messages that cannot be read; those that were lost before they came into the file are not among them.
    pub records: Vec<(TopicId, Offset)>,
    /// Records, or ranges of them, of which nothing is known: only where the directory is damaged too.
    pub unknown: u64,
    /// Positions of pages that cost nothing: what they say stands elsewhere too.
    pub pages: Vec<u64>,
}

impl Damage {
    pub(crate) fn is_none(&self) -> bool {
        self.records.is_empty() && self.unknown == 0 && self.pages.is_empty()
    }
}

impl Sealed {
    /// Reads all of the file back past the cache, and checks every byte of it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn verify(&self) -> io::Result<Damage> {
        self.damage(&|_, _| Kept::All)
    }

    /// As [`Sealed::verify`]; damage of records that are not kept is none.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn damage(&self, keep: &Keep<'_>) -> io::Result<Damage> {
        let mut damage = Damage::default();
        let mut window = Window::new(&*self.file, true, self.footer.records_to);
        let mut builder = Builder::new();
        for entry in self.entries()? {
            let entry = entry?;
            builder.push(&entry);
            let is_right = is_record_of(&entry, window.peek(entry.position, entry.len as usize)?);
            if !is_right && keep(entry.topic, entry.offset..=entry.offset) != Kept::Nothing {
                damage.records.push(entry.key());
            }
        }
        let built = builder.finish(self.id.seed);
        damage.unknown = self.footer.totals.records.saturating_sub(built.totals.records);
        if self.is_salvaged() {
            return Ok(damage);
        }
        window = Window::new(&*self.file, true, u64::MAX);
        let mut check = |at: u64, expected: &[u8]| {
            if window.peek(at, expected.len())? != expected {
                damage.pages.push(at);
            }
            Ok::<_, io::Error>(())
        };
        check(0, &file::page(self.id))?;
        let list = page::replaces(self.replaces(), self.id.seed);
        (1..).zip(&list).try_for_each(|(number, page)| check(number * BYTES, page))?;
        let padding = self.footer.position(Role::Level(0)) - self.footer.records_to;
        check(self.footer.records_to, &vec![0; padding as usize])?;
        let mut at = self.footer.position(Role::Level(0));
        let footers: Vec<_> = (0..COPIES).map(|number| self.footer.encode(self.id, number)).collect();
        let directory = built.levels.iter().flatten().chain(&built.runs).map(|page| &page[..]);
        for expected in directory.chain(list.iter().chain(&footers).map(|page| &page[..])) {
            check(at, expected)?;
            at += BYTES;
        }
        Ok(damage)
    }
}
