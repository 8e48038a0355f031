//! What a sealed file is.

use super::builder::Built;
use super::cache::Directories;
use super::footer::{COPIES, Footer};
use super::page::{self, Role};
use super::verify::Damage;
use super::{rebuild, window};
use crate::store::log::disk::{Disk, File};
use crate::store::log::file::{FileId, PAGE};
use std::io;
use std::sync::Arc;

const BYTES: u64 = PAGE as u64;
/// What a file that replaces less than some hundred others ends with: their list, and the footers.
const END: u64 = 3 * BYTES;

/// A sealed file that can be read. It takes some hundred bytes of memory, and what its pages take of [`Directories`].
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(super) id: FileId,
    pub(super) file: Arc<dyn File>,
    pub(super) footer: Footer,
    replaces: Vec<u64>,
    pub(super) directories: Arc<Directories>,
    /// The directory of a file that has lost its own.
    pub(super) built: Option<Built>,
}

/// What a file turned out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It was finished. Damage is noticed here only where this looked: see [`Sealed::verify`].
    Complete(Sealed),
    /// It was finished, and can be read all the same.
    Damaged(Sealed, Damage),
    /// It was never finished, or has lost the pages that say so: then the log names it, and [`salvage`] reads it. The ids of
    /// what it replaces, if they are there.
    Incomplete(Option<Vec<u64>>),
}

/// Looks what a file is; `name` is where it is now.
///
/// # Errors
/// Those of the disk: nothing is said about the file then.
pub(crate) fn open(disk: &dyn Disk, directories: &Arc<Directories>, id: FileId, name: &str) -> io::Result<Opened> {
    let file = disk.open(name)?;
    let len = file.len()?;
    // One read is enough for a file that is as it should be: there may be many.
    let end = window::read(&*file, len.saturating_sub(END), END as usize, false)?;
    let mut damage = Damage::default();
    let mut footer = None;
    for number in 0..COPIES {
        let Some(at) = len.checked_sub(u64::from(COPIES - number) * BYTES) else { continue };
        let read = |page: &[u8]| Footer::read(page, id, number, len);
        let remembered = end.len().checked_sub((len - at) as usize).and_then(|from| end.get(from..from + PAGE));
        match remembered.and_then(read).map_or_else(|| twice(&*file, at, read), |found| Ok(Some(found)))? {
            Some(found) => footer = Some(found),
            None => damage.pages.push(at),
        }
    }
    let Some(footer) = footer else { return Ok(Opened::Incomplete(replaced_before(&*file, id)?)) };
    let mut replaces = Vec::new();
    for number in 0..footer.replaces {
        let offset = u64::from(number) * BYTES;
        let read = |page: &[u8]| replaced(page, id.seed, number).map(|(ids, _)| ids);
        let is_remembered = footer.replaces == 1;
        let mut ids = end.get(..PAGE).filter(|_| is_remembered).and_then(read);
        for at in [footer.position(Role::Replaces) + offset, BYTES + offset] {
            if ids.is_none() {
                ids = twice(&*file, at, read)?;
                damage.pages.extend(ids.is_none().then_some(at));
            }
        }
        // With both copies of the list gone the log's own record of the sealing is left.
        replaces.extend(ids.unwrap_or_default());
    }
    let sealed = Sealed::new(id, file, footer, replaces, directories.clone());
    Ok(if damage.is_none() { Opened::Complete(sealed) } else { Opened::Damaged(sealed, damage) })
}

/// Reads what is left of a file that counts, as the log says, and has lost its end.
///
/// # Errors
/// Those of the disk.
pub(crate) fn salvage(
    disk: &dyn Disk,
    directories: &Arc<Directories>,
    id: FileId,
    name: &str,
    replaces: &[u64],
) -> io::Result<(Sealed, Damage)> {
    let file = disk.open(name)?;
    let len = file.len()?;
    let stated = twice(&*file, BYTES, |page| replaced(page, id.seed, 0))?.map(|(_, of)| of);
    let pages = stated.unwrap_or(page::replaces(replaces, id.seed).len() as u32);
    let records_from = ((u64::from(pages) + 1) * BYTES).min(len);
    let (built, damage, records_to) = rebuild::all(&*file, records_from, len, id.seed)?;
    let footer = Footer {
        records_from,
        records_to,
        totals: built.totals,
        levels: built.levels.iter().map(|pages| pages.len() as u32).collect(),
        runs: built.runs.len() as u32,
        replaces: pages,
    };
    let mut sealed = Sealed::new(id, file, footer, replaces.to_vec(), directories.clone());
    sealed.built = Some(built);
    Ok((sealed, damage))
}

impl Sealed {
    pub(super) fn new(
        id: FileId,
        file: Arc<dyn File>,
        footer: Footer,
        replaces: Vec<u64>,
        directories: Arc<Directories>,
    ) -> Self {
        Self { id, file, footer, replaces, directories, built: None }
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// The files in the place of which this one is.
    pub(crate) fn replaces(&self) -> &[u64] {
        &self.replaces
    }

    /// Bytes the file takes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.footer.file_len()
    }

    /// Bytes of its records.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.footer.records_to - self.footer.records_from
    }

    /// Records there are, marks of lost ones included.
    pub(crate) fn record_count(&self) -> u64 {
        self.footer.totals.records
    }

    #[cfg(test)]
    /// Messages that were damaged before they came into this file.
    pub(crate) fn lost_count(&self) -> u64 {
        self.footer.totals.lost
    }

    #[cfg(test)]
    /// The oldest and the newest timestamp, if there is any record.
    pub(crate) fn times(&self) -> Option<(u64, u64)> {
        let super::builder::Totals { records, oldest, newest, .. } = self.footer.totals;
        (records > 0).then_some((oldest, newest))
    }

    /// True if its end is lost and it is read by what was found: it is to be written again soon, as its directory takes memory.
    pub(crate) fn is_salvaged(&self) -> bool {
        self.built.is_some()
    }
}

/// Reads a page, and once more past the cache if it is not right; nothing, if it is not right then either.
pub(super) fn twice<T>(file: &dyn File, at: u64, check: impl Fn(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    match check(&window::read(file, at, PAGE, false)?) {
        Some(found) => Ok(Some(found)),
        None => Ok(check(&window::read(file, at, PAGE, true)?)),
    }
}

/// The list of what is replaced that stands before the records.
fn replaced_before(file: &dyn File, id: FileId) -> io::Result<Option<Vec<u64>>> {
    let (mut all, mut number) = (Vec::new(), 0);
    loop {
        let at = BYTES + u64::from(number) * BYTES;
        let Some((ids, of)) = twice(file, at, |page| replaced(page, id.seed, number))? else { return Ok(None) };
        all.extend(ids);
        number += 1;
        if number >= of {
            return Ok(Some(all));
        }
    }
}

/// The ids in a page of them, and how many such pages there are.
fn replaced(bytes: &[u8], seed: u64, number: u32) -> Option<(Vec<u64>, u32)> {
    let header = page::check(bytes, Role::Replaces, seed).filter(|header| header.number == number)?;
    Some((page::ids(bytes)?, header.of))
}
