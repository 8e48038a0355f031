//! The last page of a sealed file, and the one before it, which is the same: where everything is.
//!
//! ```text
//!  24 as the first page begins (36 bytes)   60 zero(4)   64 records from  72 to  80 how many  88 of these lost  96 oldest
//!  104 newest timestamp   112 pages of runs   116 of replaces   120 levels   124 pages of each level, the leaves first
//! ```

use super::builder::Totals;
use super::page::{self, Header, Role};
use crate::store::log::file::{self, FileId, PAGE};
use crate::store::wire::{Put, Take};

/// Bytes of a first page that say which file it is.
const IDENTITY: usize = 36;
/// How many there are.
pub(super) const COPIES: u32 = 2;
/// More levels than any file has.
const MOST_LEVELS: u32 = 8;
const BYTES: u64 = PAGE as u64;

/// Where everything in a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub records_from: u64,
    pub records_to: u64,
    pub totals: Totals,
    /// How many pages each level has, the leaves first.
    pub levels: Vec<u32>,
    pub runs: u32,
    pub replaces: u32,
}

impl Footer {
    /// How many pages there are for this.
    pub(super) fn pages(&self, role: Role) -> u32 {
        match role {
            Role::Level(level) => self.levels.get(usize::from(level)).copied().unwrap_or(0),
            Role::Runs => self.runs,
            Role::Replaces => self.replaces,
            Role::Footer => COPIES,
        }
    }

    /// Where the first page for this is; of the replaced files' list, the one after the records.
    pub(super) fn position(&self, role: Role) -> u64 {
        let levels = |count: usize| self.levels.iter().take(count).map(|pages| u64::from(*pages)).sum::<u64>();
        let all = levels(self.levels.len());
        let before = match role {
            Role::Level(level) => levels(usize::from(level)),
            Role::Runs => all,
            Role::Replaces => all + u64::from(self.runs),
            Role::Footer => all + u64::from(self.runs) + u64::from(self.replaces),
        };
        self.records_to.next_multiple_of(BYTES) + before * BYTES
    }

    /// Bytes of the file.
    pub(super) fn file_len(&self) -> u64 {
        self.position(Role::Footer) + u64::from(COPIES) * BYTES
    }

    /// One of the copies.
    pub(super) fn encode(&self, file: FileId, number: u32) -> Vec<u8> {
        let mut bytes = vec![0; page::HEADER];
        bytes.extend_from_slice(&file::page(file)[..IDENTITY]);
        bytes.u32(0);
        let Totals { records, lost, oldest, newest } = self.totals;
        for value in [self.records_from, self.records_to, records, lost, oldest, newest] {
            bytes.u64(value);
        }
        for pages in [self.runs, self.replaces, self.levels.len() as u32] {
            bytes.u32(pages);
        }
        self.levels.iter().for_each(|pages| bytes.u32(*pages));
        page::finish(bytes, Role::Footer, Header { entries: 1, number, of: COPIES }, file.seed)
    }

    /// Reads a copy of the footer of a file of so many bytes.
    pub(super) fn read(bytes: &[u8], file: FileId, number: u32, file_len: u64) -> Option<Self> {
        let header = page::check(bytes, Role::Footer, file.seed)?;
        let mut take = Take(bytes.get(page::HEADER..)?);
        let is_of_file = file::is_page_of(take.bytes(IDENTITY)?, file);
        take.u32()?;
        let (records_from, records_to) = (take.u64()?, take.u64()?);
        let totals = Totals { records: take.u64()?, lost: take.u64()?, oldest: take.u64()?, newest: take.u64()? };
        let (runs, replaces, levels) = (take.u32()?, take.u32()?, take.u32()?);
        if !is_of_file || header.number != number || levels == 0 || levels > MOST_LEVELS {
            return None;
        }
        let levels = (0..levels).map(|_| take.u32()).collect::<Option<_>>()?;
        let footer = Self { records_from, records_to, totals, levels, runs, replaces };
        (records_from <= records_to && footer.file_len() == file_len).then_some(footer)
    }
}
