//! What goes on behind the front: the next segment, snapshots, sealing, and what is given back. One step at a time, each of
//! which may be the last before a crash.
//!
//! ```text
//!  roll -> next segment made ready                                        (rule 2)
//!       -> a snapshot is due -> the state comes with a group -> synced -> written, synced, read back: it counts  (rule 5)
//!       -> two that count are at or behind a full segment's end -> it waits for its messages to be given up     (rule 9)
//!          -> if that takes too long: sealed file written, synced, read back
//!          -> `sealed` record synced -> readers go over -> sources removed, folder synced                        (rule 7)
//!  files that are mostly dead, or small, are merged the same way          (rule 9)
//! ```
//! Invariant: nothing is removed that the folder, as it is certain to be after a crash, needs.

use super::catalog::Held;
use super::core::Core;
use super::file::{FileId, Kind};
use super::sealed::{Kept, Sealed};
use super::segment::Segment;
use super::sequence::Sequence;
use super::snapshot;
use crate::store::log::mutant::{self, Mutant};
use crate::store::record::Record;
use crate::store::state::Frozen;
use crate::store::{Offset, Receipt, StoreError, TopicId};
use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Milliseconds after which a snapshot is taken if anything was written since the last one but marks, though no segment is full.
const AT_LEAST: u64 = 10_000;
/// Full segments behind the newest snapshot for which the next one is taken at once.
const PRESSING: usize = 2;
/// Steps in a row that may fail before the store does.
const FAILURES: u32 = 3;
/// Syncs into a segment, as many as somebody waited for in the one before, from which on they take more time than writing
/// its zeros first.
pub(crate) const FILLED: u64 = 100;
/// Segments that wait to be written again instead of being made anew.
const RECYCLED: usize = 2;

/// See the module. Times are milliseconds of the store's uptime.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    /// A state was asked for; it comes with the next group.
    is_asked: bool,
    /// To be written once it is synced.
    frozen: Option<Snapshot>,
    /// Those that count, the newest last.
    pub counting: Vec<(FileId, Arc<Snapshot>)>,
    /// Snapshots of former lives of the store.
    pub former: Vec<FileId>,
    taken_at: u64,
    /// A sealed file whose record is on its way.
    sealing: Option<Sealing>,
    /// Names that are to go: what they were does not count any more.
    pub leaving: Vec<Leaving>,
    pub spares: Vec<FileId>,
    /// Steps in a row that failed.
    failures: u32,
    /// The snapshot for which nothing was found to be sealed or merged, while so many segments might wait.
    looked_at: (Sequence, usize),
}

/// A state, as of a group.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub sequence: Sequence,
    pub state: Frozen,
    pub files: BTreeSet<u64>,
}

#[derive(Debug)]
struct Sealing {
    sealed: Option<Arc<Sealed>>,
    replaces: Vec<u64>,
    receipt: Receipt,
}

/// A file that does not count any more.
#[derive(Debug)]
pub(crate) enum Leaving {
    Remove(FileId),
    /// It has damaged parts that somebody may want to look at.
    Quarantine(FileId),
    /// To be written again under another name.
    Recycle(FileId),
}

impl Keeper {
    pub(crate) fn new(former: Vec<FileId>, spares: Vec<FileId>) -> Self {
        Self { former, spares, ..Self::default() }
    }

    /// A group with the state that was asked for is written.
    pub(crate) fn frozen(&mut self, sequence: Sequence, state: Frozen, files: BTreeSet<u64>) {
        self.is_asked = false;
        self.frozen = Some(Snapshot { sequence, state, files });
    }

    /// Segments that end here or before may be sealed: two snapshots that count are behind them.
    fn sealable(&self) -> Sequence {
        match self.counting.as_slice() {
            _ if mutant::is_on(Mutant::NoSnapshot) => Sequence(u64::MAX),
            [.., (_, newer)] if mutant::is_on(Mutant::OneSnapshot) => newer.sequence,
            [.., (_, older), (_, newer)] => older.sequence.min(newer.sequence),
            _ => Sequence::default(),
        }
    }
}

impl Core {
    /// Does the next thing that is due; false if there is none. An error that is not the log's own is told and tried again.
    pub(crate) fn keep(&self, now: u64) -> bool {
        self.uptime.store(now, Ordering::Relaxed);
        if self.is_poisoned() {
            return false;
        }
        let mut keeper = self.keeper.lock();
        match self.step(&mut keeper, now) {
            Ok(done) => {
                keeper.failures = 0;
                done
            }
            Err(error) if is_full(&error) => {
                self.watch_space(Some(0));
                self.release(&mut keeper)
            }
            // What was begun is begun again, in a new file: nothing of it counts yet.
            Err(error) if keeper.failures < FAILURES => {
                keeper.failures += 1;
                tracing::warn!(%error, "keeping the data folder failed, it is tried again");
                false
            }
            Err(error) => {
                drop(keeper);
                self.poison("keeping the data folder", &error);
                false
            }
        }
    }

    /// The next segment comes first, unless there was no room for it: then what gives room back does.
    fn step(&self, keeper: &mut Keeper, now: u64) -> io::Result<bool> {
        if self.front.lock().spent.is_none() {
            return Ok(self.prepare(keeper)? || self.tidy(keeper, now)?);
        }
        match self.tidy(keeper, now) {
            Err(error) if is_full(&error) && keeper.spares.is_empty() => self.prepare(keeper),
            Ok(false) => self.prepare(keeper),
            done => done,
        }
    }

    fn tidy(&self, keeper: &mut Keeper, now: u64) -> io::Result<bool> {
        Ok(self.leave(keeper)? || self.snapshot(keeper, now)? || self.seal(keeper)?)
    }

    /// Gives a spare file's room to a snapshot or a sealed file, behind which more is given back; false if there is none.
    fn release(&self, keeper: &mut Keeper) -> bool {
        let Some(spare) = keeper.spares.pop() else { return false };
        let removed = self.disk.remove(&spare.to_string()).and_then(|()| self.disk.sync_dir());
        if let Err(error) = &removed {
            tracing::warn!(%error, "a spare file could not be removed");
        }
        removed.is_ok()
    }

    /// Makes the next segment ready, if there is none.
    fn prepare(&self, keeper: &mut Keeper) -> io::Result<bool> {
        if self.next.lock().is_some() {
            return self.refill(keeper);
        }
        let made = self.make_next(keeper);
        // The current segment takes what it can; what is left in it is not worth counting on.
        self.front.lock().spent = match &made {
            Err(error) if is_full(error) => Some(StoreError::Full { free: 0, watermark: self.settings.watermark }),
            _ => None,
        };
        made.map(|()| true)
    }

    fn make_next(&self, keeper: &mut Keeper) -> io::Result<()> {
        let (id, seed) = self.fresh_file();
        // The last one is for what gives room back.
        let more = keeper.spares.len() > 1;
        let segment = if keeper.spares.len() > self.settings.spares {
            let spare = keeper.spares.pop().expect("there are more than none");
            Segment::from_spare(&*self.disk, spare, id, seed)?
        } else {
            let is_synced = self.awaited.swap(0, Ordering::Relaxed) >= FILLED;
            let create = if is_synced { Segment::create_filled } else { Segment::create };
            match create(&*self.disk, id, seed, self.settings.segment) {
                // What is published waits for room anyway; what is in reserve is for settling and for getting room.
                Err(error) if is_full(&error) => match keeper.spares.pop_if(|_| more) {
                    Some(spare) => Segment::from_spare(&*self.disk, spare, id, seed)?,
                    None => return Err(error),
                },
                created => created?,
            }
        };
        *self.next.lock() = Some(segment);
        self.to_write.set();
        self.to_sync.set();
        Ok(())
    }

    /// Keeps as many spare files as are wanted, while there is room.
    fn refill(&self, keeper: &mut Keeper) -> io::Result<bool> {
        if keeper.spares.len() >= self.settings.spares {
            return Ok(false);
        }
        if self.disk.free_space()? < self.settings.watermark + self.settings.segment {
            return Ok(false);
        }
        let (id, seed) = self.fresh_file();
        let spare = FileId { kind: Kind::Spare, id, seed };
        // Its length is to be certain, too.
        self.disk.create_filled(&spare.to_string(), self.settings.segment)?.sync()?;
        self.disk.sync_dir()?;
        keeper.spares.push(spare);
        Ok(true)
    }

    /// Takes away names of files that do not count.
    fn leave(&self, keeper: &mut Keeper) -> io::Result<bool> {
        if keeper.leaving.is_empty() {
            return Ok(false);
        }
        let left = self.take_away(keeper);
        if let Err(error) = &left {
            // It may come back when its successor is gone, too: the next opening sees to it.
            self.poison("removing what does not count", error);
        }
        left.map(|()| true)
    }

    fn take_away(&self, keeper: &mut Keeper) -> io::Result<()> {
        for leaving in std::mem::take(&mut keeper.leaving) {
            match leaving {
                Leaving::Remove(file) => self.disk.remove(&file.to_string())?,
                Leaving::Quarantine(file) => self.disk.rename(&file.to_string(), &format!("quarantine/{file}"))?,
                Leaving::Recycle(file) if keeper.spares.len() >= self.settings.spares + RECYCLED => {
                    self.disk.remove(&file.to_string())?;
                }
                Leaving::Recycle(file) => {
                    let (id, seed) = self.fresh_file();
                    let spare = FileId { kind: Kind::Spare, id, seed };
                    self.disk.rename(&file.to_string(), &spare.to_string())?;
                    keeper.spares.push(spare);
                }
            }
        }
        self.disk.sync_dir()
    }

    /// Asks for a state when a snapshot is due, and writes it once its group is certain.
    fn snapshot(&self, keeper: &mut Keeper, now: u64) -> io::Result<bool> {
        let synced = self.certainty.lock().synced();
        if let Some(frozen) =
            keeper.frozen.take_if(|frozen| frozen.sequence <= synced || mutant::is_on(Mutant::EarlySnapshot))
        {
            let (id, seed) = self.fresh_file();
            let file = FileId { kind: Kind::Snapshot, id, seed };
            if let Err(error) = self.whole(file, snapshot::save(&*self.disk, file, &frozen)) {
                keeper.frozen = Some(frozen);
                return Err(error);
            }
            keeper.counting.push((file, Arc::new(frozen)));
            if keeper.counting.len() > 2 {
                let (old, _) = keeper.counting.remove(0);
                keeper.leaving.push(Leaving::Remove(old));
            }
            self.sealable.store(keeper.sealable().0, Ordering::Relaxed);
            if keeper.counting.len() == 2 {
                keeper.leaving.extend(keeper.former.drain(..).map(Leaving::Remove));
            }
            return Ok(true);
        }
        // While files are replaced the folder is not what a list of them says.
        if keeper.is_asked || keeper.frozen.is_some() || keeper.sealing.is_some() || !keeper.leaving.is_empty() {
            return Ok(false);
        }
        let since = now.saturating_sub(keeper.taken_at);
        let changed = Sequence(self.changed.load(Ordering::Relaxed));
        let newest = keeper.counting.last().map_or(Sequence::default(), |(_, newest)| newest.sequence);
        let full = self.full_segments();
        let is_full = full.iter().any(|(_, end)| *end > keeper.sealable());
        // Under load segments fill up faster: sealing waits for two snapshots behind them.
        let is_pressing = full.iter().filter(|(_, end)| *end > newest).count() >= PRESSING;
        let is_due = keeper.counting.len() < 2 || is_full || since >= AT_LEAST && changed > newest;
        let is_early = since < self.settings.snapshot_every && !is_pressing;
        if !is_due || is_early && !keeper.counting.is_empty() {
            return Ok(false);
        }
        (keeper.is_asked, keeper.taken_at) = (true, now);
        self.front.lock().freeze();
        self.to_write.set();
        Ok(true)
    }

    /// Segments that are full and not sealed, with their ends, the oldest first.
    pub(crate) fn full_segments(&self) -> Vec<(Held, Sequence)> {
        let catalog = self.catalog.lock();
        catalog.segments.values().filter_map(|held| Some((held.clone(), held.end?))).collect()
    }

    /// Sealing is behind: publishing has to slow.
    pub(crate) fn is_behind(&self) -> bool {
        self.backlog() > self.settings.backlog
    }

    /// How many of them could be sealed, beyond those that may wait.
    pub(crate) fn backlog(&self) -> usize {
        let sealable = Sequence(self.sealable.load(Ordering::Relaxed));
        let catalog = self.catalog.lock();
        let full = catalog.segments.values().filter(|held| held.end.is_some_and(|end| end <= sealable)).count();
        full.saturating_sub(self.may_wait(&catalog.index, 2))
    }

    /// Seals full segments, or merges files, or takes over what was sealed once its record is certain.
    fn seal(&self, keeper: &mut Keeper) -> io::Result<bool> {
        if let Some(mut sealing) = keeper.sealing.take() {
            return match sealing.receipt.try_get() {
                None if mutant::is_on(Mutant::EarlyRemoval) => {
                    self.take_over(keeper, sealing);
                    Ok(true)
                }
                None => {
                    keeper.sealing = Some(sealing);
                    Ok(false)
                }
                Some(Err(StoreError::Failed(_) | StoreError::Closed)) => Ok(false),
                Some(Err(error)) => Err(io::Error::other(error)),
                Some(Ok(_)) => {
                    self.take_over(keeper, sealing);
                    Ok(true)
                }
            };
        }
        let sealable = keeper.sealable();
        let synced = self.certainty.lock().synced();
        let full: Vec<_> =
            self.full_segments().into_iter().filter(|(_, end)| *end <= sealable && *end <= synced).collect();
        let Some((_, newest)) = keeper.counting.last().cloned() else { return Ok(false) };
        let live = mutant::is_on(Mutant::LiveNow).then(|| self.front.lock().state.freeze());
        let state = live.as_ref().unwrap_or(&newest.state);
        let keep = |topic, offsets| kept(state, topic, offsets);
        let (id, seed) = self.fresh_file();
        let file = FileId { kind: Kind::Sealed, id, seed };
        let (is_spent, is_short) = {
            let front = self.front.lock();
            (front.spent.is_some(), front.spent.is_some() || front.full.is_some())
        };
        let may_wait = if is_short { 0 } else { self.may_wait(&self.catalog.lock().index, 1) };
        // What takes no room to give back comes first, if there is none.
        let dead = if is_spent { self.dead(&keep)? } else { Vec::new() };
        let made = if !dead.is_empty() {
            Some((None, dead))
        } else if keeper.looked_at == (newest.sequence, may_wait) {
            return Ok(false);
        } else {
            match self.due(&full, &keep, may_wait) {
                [] => {
                    // A merge that fails waits for the next snapshot: nobody needs it, and the store must not fail of it.
                    keeper.looked_at = (newest.sequence, may_wait);
                    self.whole(file, self.merge_some(file, &keep))?
                }
                due => Some(self.whole(file, self.seal_some(file, due, &keep))?),
            }
        };
        let Some((sealed, replaces)) = made else { return Ok(false) };
        // There may be more of the same.
        keeper.looked_at = Default::default();
        let record = Record::Sealed { file: sealed.as_ref().map_or(0, |_| id), replaces: replaces.clone() };
        let receipt = self.front.lock().append_own(&record);
        keeper.sealing = Some(Sealing { sealed, replaces, receipt });
        self.to_sync.set();
        Ok(true)
    }

    /// Removes a file that did not become what it was to be. If that is not certain nothing else takes its place: it could
    /// be taken for the only one that holds its messages.
    fn whole<T>(&self, file: FileId, made: io::Result<T>) -> io::Result<T> {
        made.inspect_err(|_| {
            let removed = match self.disk.remove(&file.to_string()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.and_then(|()| self.disk.sync_dir()),
            };
            if let Err(error) = removed {
                self.poison("removing an unfinished file", &error);
            }
        })
    }

    /// From here on readers find the messages in the sealed file, and the sources may go.
    fn take_over(&self, keeper: &mut Keeper, sealing: Sealing) {
        let replaced = self.catalog.lock().replace(sealing.sealed, &sealing.replaces);
        keeper.leaving.extend(replaced.segments.into_iter().map(|held| match held {
            Held { segment, is_damaged: true, .. } => Leaving::Quarantine(segment.id),
            Held { segment, .. } if segment.len == self.settings.segment => Leaving::Recycle(segment.id),
            Held { segment, .. } => Leaving::Remove(segment.id),
        }));
        keeper.leaving.extend(replaced.sealed.into_iter().map(|sealed| Leaving::Remove(sealed.id())));
    }

    /// Looks how much room there is; `found` instead of asking the disk.
    pub(crate) fn watch_space(&self, found: Option<u64>) {
        let free = match found.map_or_else(|| self.disk.free_space(), Ok) {
            Ok(free) => free,
            Err(error) => return tracing::debug!(%error, "the free space of the data folder is not known"),
        };
        let watermark = self.settings.watermark;
        let full = (free < watermark).then_some(StoreError::Full { free, watermark });
        let mut front = self.front.lock();
        if front.full.is_some() != full.is_some() {
            match &full {
                Some(why) => tracing::warn!("nothing is published any more: {why}"),
                None => tracing::info!(free, "there is room again: messages are published"),
            }
        }
        front.full = full;
    }
}

/// No room on the disk: for the file system's reasons or a quota's.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What of some offsets a state that is certain still wants.
fn kept(state: &Frozen, topic: TopicId, offsets: RangeInclusive<Offset>) -> Kept {
    let Ok(nth) = state.topics.binary_search_by_key(&topic, |(id, _)| *id) else { return Kept::Nothing };
    let topic = &state.topics[nth].1;
    let (first, last) = offsets.into_inner();
    if first >= topic.floor {
        Kept::All
    } else if first == last {
        if topic.is_live(first) { Kept::All } else { Kept::Nothing }
    } else if last < topic.floor && !topic.has_holes(first, last) {
        Kept::Nothing
    } else {
        Kept::Some
    }
}
