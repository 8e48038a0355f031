//! Which files become one sealed file: full segments, or sealed files that are mostly dead or small.

use super::catalog::Held;
use super::core::Core;
use super::file::FileId;
use super::index::{Index, Spot, Stretch};
use super::sealed::{Damage, Keep, Kept, MOST_BYTES, Memory, Piece, Sealed, merge, sort, write};
use super::sequence::Sequence;
use crate::store::log::mutant::{self, Mutant};
use crate::store::{Offset, TopicId};
use hashbrown::HashMap;
use std::io;
use std::sync::Arc;

/// Bytes of records that are sorted in memory at once: a segment is read once for each such part of a sealed file.
const SORTED: usize = 4 << 20;
/// So many small files are merged at once, at least.
const SMALL: usize = 4;
/// So many files are merged at once, at most: a piece of each is in memory.
const MERGED: usize = 8;

/// A file that was made, or nothing if there was nothing to keep; and the files it is to replace.
pub(crate) type Made = (Option<Arc<Sealed>>, Vec<u64>);

impl Core {
    /// Which full segments are given up or sealed now, the oldest first: those of which nothing is kept any more. The others
    /// wait for that, as what is consumed soon need never be written again, unless there are too many, or the disk is short
    /// of room, or they hold more that is given up than a segment and what is kept (rule 9), or one of them is damaged.
    pub(crate) fn due<'a>(
        &self,
        full: &'a [(Held, Sequence)],
        keep: &Keep<'_>,
        may_wait: usize,
    ) -> &'a [(Held, Sequence)] {
        let is_full = |segment| full.iter().any(|(held, _)| held.segment.id.id == segment);
        let stretches = self.catalog.lock().index.stretches(is_full);
        let mut kept: HashMap<u64, u64> = HashMap::new();
        for stretch in &stretches {
            *kept.entry(stretch.segment).or_default() += kept_bytes(stretch, kept_of(stretch, keep));
        }
        let kept_in = |held: &Held| kept.get(&held.segment.id.id).copied().unwrap_or_default();
        let (dead, rest) = full.split_at(full.iter().take_while(|(held, _)| kept_in(held) == 0).count());
        let held: u64 = rest.iter().map(|(held, _)| held.segment.len).sum();
        let wanted: u64 = rest.iter().map(|(held, _)| kept_in(held)).sum();
        let is_damaged = rest.iter().any(|(held, _)| held.is_damaged);
        let waits = rest.len() <= may_wait && !is_damaged && held <= 2 * wanted + self.settings.segment;
        if waits { dead } else { full }
    }

    /// So many full segments may wait for their messages to be given up: none, if the index takes more than so many times
    /// what it may.
    pub(crate) fn may_wait(&self, index: &Index, times: usize) -> usize {
        if index.bytes() > times * self.settings.indexed { 0 } else { self.settings.unsealed }
    }

    /// Sorts full segments into one file: the oldest, and as many more as fit one sealed file.
    pub(crate) fn seal_some(&self, id: FileId, full: &[(Held, Sequence)], keep: &Keep<'_>) -> io::Result<Made> {
        let (mut stretches, mut files, mut replaces) = (Vec::new(), Vec::new(), Vec::new());
        let (mut bytes, mut messages) = (0, 0);
        for (held, _) in full {
            let found = self.catalog.lock().index.stretches(|segment| segment == held.segment.id.id);
            let (mut more, mut more_messages) = (0, 0);
            let found = found.into_iter().filter(|stretch| {
                let count = kept_of(stretch, keep);
                more += kept_bytes(stretch, count);
                more_messages += count;
                count > 0
            });
            let found: Vec<Stretch> = found.collect();
            if !files.is_empty() && bytes + more > MOST_BYTES as u64 / 2 {
                break;
            }
            (bytes, messages) = (bytes + more, messages + more_messages);
            stretches.extend(found);
            files.push(held.segment.file.clone());
            replaces.push(held.segment.id.id);
        }
        if messages == 0 {
            return Ok((None, replaces));
        }
        stretches.sort_unstable();
        let pieces = stretches.iter().flat_map(|stretch| self.pieces(*stretch, &replaces, keep));
        let record = (bytes / messages) as usize;
        let records = sort(&files, pieces, Memory { bytes: SORTED, record });
        let sealed = write(&*self.disk, &self.directories, id, &replaces, bytes, records)?;
        self.check(sealed, replaces)
    }

    /// Where the messages of a stretch are that are kept.
    fn pieces(&self, stretch: Stretch, segments: &[u64], keep: &Keep<'_>) -> Vec<Piece> {
        let Ok(nth) = segments.binary_search(&stretch.segment) else { return Vec::new() };
        let is_all = keep(stretch.topic, stretch.first..=stretch.last) == Kept::All;
        let is_kept = |offset: Offset| is_all || keep(stretch.topic, offset..=offset) != Kept::Nothing;
        let spots: Vec<Spot> = self.catalog.lock().index.spots(stretch).collect();
        let kept = spots.into_iter().filter(|spot| is_kept(spot.offset));
        let piece =
            |Spot { offset, position, .. }| Piece { topic: stretch.topic, offset, segment: nth as u32, position };
        kept.map(piece).collect()
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
                && chosen.len() < MERGED
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

/// Bytes of so many of its messages.
fn kept_bytes(stretch: &Stretch, count: u64) -> u64 {
    stretch.bytes * count / stretch.len()
}

/// How many of its messages are kept.
fn kept_of(stretch: &Stretch, keep: &Keep<'_>) -> u64 {
    match keep(stretch.topic, stretch.first..=stretch.last) {
        Kept::All => stretch.len(),
        Kept::Nothing => 0,
        Kept::Some => {
            let each = (stretch.first..=stretch.last).map(|offset| keep(stretch.topic, offset..=offset));
            each.filter(|kept| *kept != Kept::Nothing).count() as u64
        }
    }
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
