//! Snapshots in files: written so that they count, and read at opening.

use super::{Base, read, write};
use crate::store::log::disk::Disk;
use crate::store::log::file::{self, FileId, PAGE};
use crate::store::log::keeper::Snapshot;
use crate::store::log::mutant::{self, Mutant};
use crate::store::state::SEEN_BUDGET;
use std::io;

/// Writes a snapshot whose sequence is certain. When this returns it counts: the file and its name are synced, and it was
/// read back past the system's cache.
pub(crate) fn save(disk: &dyn Disk, id: FileId, snapshot: &Snapshot) -> io::Result<()> {
    let files: Vec<u64> = snapshot.files.iter().copied().collect();
    let mut bytes = file::page(id);
    bytes.extend(write(&snapshot.state, snapshot.sequence, &files, id.seed));
    let file = disk.create(&id.to_string(), bytes.len() as u64)?;
    file.write_at(&bytes[PAGE..], PAGE as u64)?;
    file.sync()?;
    // Only now may it look like a snapshot: one that was never finished would be the newest, and know no topic.
    file.write_at(&bytes[..PAGE], 0)?;
    file.sync()?;
    disk.sync_dir()?;
    let mut back = vec![0; bytes.len()];
    let read = file.read_past_cache(&mut back, 0)?;
    if back[..read] != bytes {
        return Err(io::Error::other(format!("{id} reads differently from what was written")));
    }
    Ok(())
}

/// What a folder's snapshots say, the newest two that can be read; nothing, if none can. No others are read: lives that were
/// too short to clean up may have left many.
pub(crate) fn load(disk: &dyn Disk, files: impl Iterator<Item = FileId>) -> io::Result<Option<Base>> {
    let mut found = Vec::new();
    let mut files: Vec<_> = files.collect();
    // A later one has a higher id.
    files.sort_unstable_by_key(|file| file.id);
    while found.len() < 2
        && let Some(id) = files.pop()
    {
        let file = disk.open(&id.to_string())?;
        let mut bytes = vec![0; file.len()? as usize];
        let len = file.read_past_cache(&mut bytes, 0)?;
        bytes.truncate(len);
        if file::is_page_of(&bytes, id) || mutant::is_on(Mutant::UnfinishedSnapshot) {
            found.extend(bytes.get(PAGE..).and_then(|bytes| read(bytes, id.seed)));
        }
    }
    found.sort_by_key(|loaded| loaded.sequence);
    let Some(newest) = found.pop() else { return Ok(None) };
    Ok(Some(Base::combine(newest, found.pop(), SEEN_BUDGET)))
}
