//! Which files become one sealed file: full segments, or sealed files that are mostly dead or small.

use super::catalog::Held;
use super::core::Core;
use super::disk::File;
use super::file::FileId;
use super::sealed::{Damage, Keep, Kept, MOST_BYTES, Piece, Sealed, merge, sort, write};
use super::sequence::Sequence;
use crate::store::log::mutant::{self, Mutant};
use crate::store::record::{self, Frame};
use crate::store::{Offset, TopicId};
use hashbrown::HashMap;
use std::io;
use std::sync::Arc;

/// Bytes of records that are sorted in memory at once: a segment is read once for each such part of a sealed file.
const SORTED: usize = 16 << 20;
/// Bytes of a segment that are read at once.
const WINDOW: usize = 1 << 20;
/// So many small files are merged at once, at least.
const SMALL: usize = 4;

/// A file that was made, or nothing if there was nothing to keep; and the files it is to replace.
pub(crate) type Made = (Option<Arc<Sealed>>, Vec<u64>);

impl Core {
    /// Sorts full segments into one file: the oldest, and as many more as fit one sealed file.
    pub(crate) fn seal_some(&self, id: FileId, full: &[(Held, Sequence)], keep: &Keep<'_>) -> io::Result<Made> {
        let (mut pieces, mut files, mut replaces, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (held, _) in full {
            let spots = self.catalog.lock().index.of_segment(held.segment.id.id);
            let found = pieces_of(&held.segment.file, files.len() as u32, &spots, keep)?;
            let more: usize = found.iter().map(|piece: &Piece| piece.len as usize).sum();
            if !files.is_empty() && bytes + more > MOST_BYTES / 2 {
                break;
            }
            bytes += more;
            pieces.extend(found);
            files.push(held.segment.file.clone());
            replaces.push(held.segment.id.id);
        }
        if pieces.is_empty() {
            return Ok((None, replaces));
        }
        let records = sort(&files, pieces, SORTED);
        let sealed = write(&*self.disk, &self.directories, id, &replaces, bytes as u64, records)?;
        self.check(sealed, replaces)
    }

    /// Sealed files nothing of which is kept.
    pub(crate) fn dead(&self, keep: &Keep<'_>) -> io::Result<Vec<u64>> {
        let all: Vec<Arc<Sealed>> = self.catalog.lock().sealed.values().cloned().collect();
        let mut dead = Vec::new();
        for sealed in &all {
            if sealed.live_bytes(keep)? == 0 {
                dead.push(sealed.id().id);
            }
        }
        Ok(dead)
    }

    /// Merges sealed files, if there are some to merge: those of which less than half is kept, and small ones.
    pub(crate) fn merge_some(&self, id: FileId, keep: &Keep<'_>) -> io::Result<Option<Made>> {
        let all: Vec<Arc<Sealed>> = self.catalog.lock().sealed.values().cloned().collect();
        let (mut chosen, mut dead, mut bytes, mut thin) = (Vec::new(), Vec::new(), 0, 0);
        for sealed in &all {
            let live = sealed.live_bytes(keep)?;
            let is_thin = 2 * live < sealed.record_bytes();
            if live == 0 {
                dead.push(sealed.id().id);
            } else if (is_thin || sealed.file_bytes() < self.settings.segment / 4)
                && bytes + live <= self.settings.segment
            {
                bytes += live;
                thin += usize::from(is_thin);
                chosen.push((sealed.clone(), is_thin));
            }
        }
        if !dead.is_empty() {
            return Ok(Some((None, dead)));
        }
        if thin == 0 && chosen.len() < SMALL {
            return Ok(None);
        }
        if interleaves(&chosen, &all)? && !mutant::is_on(Mutant::Interleaved) {
            // One alone never does.
            let Some(nth) = chosen.iter().position(|(_, is_thin)| *is_thin) else { return Ok(None) };
            chosen = vec![chosen.swap_remove(nth)];
        }
        let replaces: Vec<u64> = chosen.iter().map(|(sealed, _)| sealed.id().id).collect();
        let records = merge(chosen.iter().map(|(sealed, _)| sealed.records(keep)).collect());
        let sealed = write(&*self.disk, &self.directories, id, &replaces, bytes, records)?;
        self.check(sealed, replaces).map(Some)
    }

    /// A file is read back past the cache before anything is said of it, and its name is certain (rule 7).
    fn check(&self, sealed: Sealed, replaces: Vec<u64>) -> io::Result<Made> {
        let Damage { records, unknown, pages } = sealed.verify()?;
        if !(records.is_empty() && unknown == 0 && pages.is_empty()) {
            return Err(io::Error::other(format!("{} reads differently from what was written", sealed.id())));
        }
        if !mutant::is_on(Mutant::SealedNameNotSynced) {
            self.disk.sync_dir()?;
        }
        Ok((Some(Arc::new(sealed)), replaces))
    }
}

/// The messages of a segment that are kept, with their lengths.
fn pieces_of(
    file: &Arc<dyn File>,
    nth: u32,
    spots: &[(TopicId, super::index::Spot)],
    keep: &Keep<'_>,
) -> io::Result<Vec<Piece>> {
    let kept = spots.iter().filter(|(topic, spot)| keep(*topic, spot.offset..=spot.offset) != Kept::Nothing);
    let mut pieces: Vec<Piece> = kept
        .map(|(topic, spot)| {
            let position = u64::from(spot.position);
            Piece { topic: *topic, offset: spot.offset, segment: nth, len: 0, position }
        })
        .collect();
    pieces.sort_unstable_by_key(|piece| piece.position);
    let (mut window, mut from, mut read) = (vec![0; WINDOW], 0, 0);
    for piece in &mut pieces {
        let header = |from: u64, read| (piece.position - from) as usize..read;
        if piece.position + record::HEADER as u64 > from + read as u64 {
            from = piece.position;
            read = file.read_at(&mut window, from)?;
        }
        let frame = Frame::read(&window[header(from, read)]);
        // A length that is not right any more fails the record's check, as it should.
        piece.len = frame.map_or(0, |frame| frame.len).min(MOST_BYTES as u32);
    }
    Ok(pieces)
}

/// True if another file holds offsets of a topic between those of the chosen ones: then one read of a topic would have to go
/// back and forth between files.
fn interleaves(chosen: &[(Arc<Sealed>, bool)], all: &[Arc<Sealed>]) -> io::Result<bool> {
    let mut hulls: HashMap<TopicId, (Offset, Offset)> = HashMap::new();
    for (sealed, _) in chosen {
        for run in sealed.topics() {
            let run = run?;
            let hull = hulls.entry(run.topic).or_insert((run.first, run.last));
            *hull = (hull.0.min(run.first), hull.1.max(run.last));
        }
    }
    let is_chosen = |id| chosen.iter().any(|(sealed, _)| sealed.id().id == id);
    for sealed in all.iter().filter(|sealed| !is_chosen(sealed.id().id)) {
        for run in sealed.topics() {
            let run = run?;
            let is_inside = hulls.get(&run.topic).is_some_and(|(first, last)| run.first < *last && run.last > *first);
            if is_inside {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
