//! Makes a sealed file.

use super::builder::Builder;
use super::cache::Directories;
use super::entry::Entry;
use super::footer::{COPIES, Footer};
use super::open::Sealed;
use super::page;
use crate::store::log::disk::{Disk, File};
use crate::store::log::file::{self, FileId, PAGE};
use crate::store::log::mutant::{self, Mutant};
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// Bytes written at once: as much as is still in the processor's cache when it is copied.
const PIECE: usize = 128 << 10;

/// Writes a file of these records, which come in the order of topic and offset, each once. `capacity` is what the records
/// take, about: the file is allocated so long at first. It is synced when this returns; its name is not, and it does not count
/// before the log says so.
///
/// # Errors
/// What the disk or the records say; what is there of the file then is an incomplete one, for the caller to remove.
pub(crate) fn write(
    disk: &dyn Disk,
    directories: &Arc<Directories>,
    id: FileId,
    replaces: &[u64],
    capacity: u64,
    records: impl Iterator<Item = io::Result<Bytes>>,
) -> io::Result<Sealed> {
    // A directory is 1 to 5 hundredths.
    let len = (capacity + capacity / 32).next_multiple_of(PAGE as u64) + 8 * PAGE as u64;
    let file = disk.create(&id.to_string(), len)?;
    let mut out = Output { file: &*file, at: 0, bytes: Vec::with_capacity(PIECE + PAGE) };
    let list = page::replaces(replaces, id.seed);
    out.put(&file::page(id))?;
    list.iter().try_for_each(|page| out.put(page))?;
    let records_from = out.position();
    let mut builder = Builder::new();
    let mut previous: Option<Entry> = None;
    for record in records {
        let record = record?;
        let entry = Entry::stated(&record, out.position()).ok_or_else(|| misfit("is none of a sealed file"))?;
        let entry = previous.map_or(entry, |previous| entry.after(&previous));
        if previous.is_some_and(|previous| previous.key() >= entry.key()) {
            return Err(misfit("does not come after the one before"));
        }
        out.put(&record)?;
        builder.push(&entry);
        previous = Some(entry);
    }
    let records_to = out.position();
    out.pad()?;
    let built = builder.finish(id.seed);
    built.levels.iter().flatten().chain(&built.runs).try_for_each(|page| out.put(page))?;
    list.iter().try_for_each(|page| out.put(page))?;
    out.flush()?;
    let footer = Footer {
        records_from,
        records_to,
        totals: built.totals,
        levels: built.levels.iter().map(|pages| pages.len() as u32).collect(),
        runs: built.runs.len() as u32,
        replaces: list.len() as u32,
    };
    file.set_len(footer.file_len())?;
    if !mutant::is_on(Mutant::SealedNotSynced) {
        file.sync()?;
    }
    // Only now may it look complete.
    (0..COPIES).try_for_each(|number| out.put(&footer.encode(id, number)))?;
    out.flush()?;
    if !mutant::is_on(Mutant::SealedNotSynced) {
        file.sync()?;
    }
    Ok(Sealed::new(id, file, footer, replaces.to_vec(), directories.clone()))
}

fn misfit(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("a record to be sealed {what}"))
}

/// What is not written yet, and where it goes.
struct Output<'a> {
    file: &'a dyn File,
    at: u64,
    bytes: Vec<u8>,
}

impl Output<'_> {
    fn position(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    /// Zeros up to the next page.
    fn pad(&mut self) -> io::Result<()> {
        let missing = self.position().next_multiple_of(PAGE as u64) - self.position();
        self.put(&[0; PAGE][..missing as usize])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.bytes, self.at)?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        // One large message does not keep its buffer.
        self.bytes.shrink_to(PIECE + PAGE);
        Ok(())
    }
}
