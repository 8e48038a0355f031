//! One file of the log while it is written, or waits to be sealed.

use super::disk::{Disk, File};
use super::file::{self, FileId, Kind, PAGE};
use crate::store::log::mutant::{self, Mutant};
use std::io;
use std::sync::Arc;

/// A segment that is open for reading and, if it is the newest, for writing.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub id: FileId,
    pub file: Arc<dyn File>,
    /// Bytes of the file.
    pub len: u64,
}

impl Segment {
    /// A new, empty segment that is certain before this returns (rule 2). Its first group goes behind the first page.
    pub(crate) fn create(disk: &dyn Disk, id: u64, seed: u64, len: u64) -> io::Result<Self> {
        let id = FileId { kind: Kind::Segment, id, seed };
        let file = disk.create(&id.to_string(), len)?;
        Self::begin(disk, id, file, len)
    }

    /// As [`Segment::create`], with the zeros written: what is synced into it later takes half as long. For one made ahead.
    pub(crate) fn create_filled(disk: &dyn Disk, id: u64, seed: u64, len: u64) -> io::Result<Self> {
        let id = FileId { kind: Kind::Segment, id, seed };
        let file = disk.create_filled(&id.to_string(), len)?;
        Self::begin(disk, id, file, len)
    }

    /// As [`Segment::create`], of a spare file: for a disk that is full. What the spare held fits no checksum of the segment.
    pub(crate) fn from_spare(disk: &dyn Disk, spare: FileId, id: u64, seed: u64) -> io::Result<Self> {
        let id = FileId { kind: Kind::Segment, id, seed };
        disk.rename(&spare.to_string(), &id.to_string())?;
        let file = disk.open(&id.to_string())?;
        let len = file.len()?;
        Self::begin(disk, id, file, len)
    }

    fn begin(disk: &dyn Disk, id: FileId, file: Arc<dyn File>, len: u64) -> io::Result<Self> {
        file.write_at(&file::page(id), 0)?;
        if !mutant::is_on(Mutant::HeaderNotSynced) {
            file.sync()?;
        }
        if !mutant::is_on(Mutant::NameNotSynced) {
            disk.sync_dir()?;
        }
        Ok(Self { id, file, len })
    }

    /// A segment that is there.
    pub(crate) fn open(disk: &dyn Disk, id: FileId) -> io::Result<Self> {
        let file = disk.open(&id.to_string())?;
        let len = file.len()?;
        Ok(Self { id, file, len })
    }

    /// Where its first group is.
    pub(crate) const START: u64 = PAGE as u64;
}
