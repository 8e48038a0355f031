//! Batches to groups to certainty: the steps of the write thread and of the sync thread.

use super::certainty::Round;
use super::core::{Core, Writer};
use super::disk::File;
use super::front::{Open, Taken, Waiter};
use super::group::{self, Header, Recovery};
use super::segment::Segment;
use super::sequence::{GRAIN, Sequence};
use crate::store::StoreError;
use crate::store::log::mutant::{self, Mutant};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// So many are told by the thread that syncs: it costs less than to wake another one.
const FEW: usize = 8;

/// A group that took so long to write was held up by the disk, and so may be the next ones: so many are left to the write
/// thread.
pub(crate) const LONG: Duration = Duration::from_millis(20);
pub(crate) const LEFT: u32 = 1024;

/// What a write step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// There is nothing to write.
    Idle,
    Group,
    /// The current segment is full and the next one is not ready.
    Blocked,
}

/// A group on its way to the disk.
#[derive(Debug)]
pub(crate) struct Writing {
    sequence: Sequence,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    open: Open,
}

impl Writing {
    pub(crate) fn run(&self) -> io::Result<()> {
        self.file.write_at(&self.bytes, self.sequence.position())
    }
}

impl Core {
    /// Writes one group: what is open.
    pub(crate) fn write(&self) -> Wrote {
        let mut writer = self.writer.lock();
        let (wrote, writing) = self.begin_write(&mut writer);
        if let Some(writing) = writing {
            let result = writing.run();
            writer.spare = self.end_write(writing, result);
        }
        wrote
    }

    /// Writes what is open if that is little, nobody else writes, and the last one so written did not take long. False if it
    /// is for the write thread, as going over to the next segment is.
    pub(crate) fn write_at_once(&self) -> bool {
        let Some(mut writer) = self.writer.try_lock() else { return false };
        writer.left = writer.left.saturating_sub(1);
        if writer.left > 0 || self.is_poisoned() || self.is_behind() {
            return false;
        }
        let room = writer.segment.len - writer.position;
        // Looked at and taken under one lock: a snapshot may be asked for at any time.
        let taken = {
            let mut front = self.front.lock();
            match front.holds_at_most(self.settings.at_once) {
                true => front.take(room, &mut writer.spare),
                false => return false,
            }
        };
        let open = match taken {
            Taken::Group(open) => open,
            Taken::Nothing => return true,
            Taken::TooLong => return false,
        };
        let writing = self.place(&mut writer, *open);
        let started = Instant::now();
        let result = writing.run();
        if started.elapsed() > LONG {
            writer.left = LEFT;
        }
        writer.spare = self.end_write(writing, result);
        true
    }

    /// Takes what is open and gives it its place.
    pub(crate) fn begin_write(&self, writer: &mut Writer) -> (Wrote, Option<Writing>) {
        if self.is_poisoned() {
            return (Wrote::Idle, None);
        }
        loop {
            let taken = self.front.lock().take(writer.segment.len - writer.position, &mut writer.spare);
            match taken {
                Taken::Nothing => return (Wrote::Idle, None),
                Taken::Group(open) => return (Wrote::Group, Some(self.place(writer, *open))),
                Taken::TooLong if self.roll(writer) => {}
                Taken::TooLong => return (Wrote::Blocked, None),
            }
        }
    }

    /// Completes a group for the place the writer is at.
    fn place(&self, writer: &mut Writer, mut open: Open) -> Writing {
        let sequence = Sequence::at(writer.segment.id.id, writer.position);
        let mut synced = self.certainty.lock().synced();
        if mutant::is_on(Mutant::MarkOfWritten) {
            synced = writer.previous;
        }
        let header =
            Header { sequence, previous: writer.previous, synced, recovery: writer.recovery, flags: open.flags };
        let mut bytes = std::mem::take(&mut open.bytes);
        group::finish(&mut bytes, &header, writer.segment.id.seed);
        writer.position += bytes.len() as u64;
        writer.previous = sequence;
        writer.is_marked = false;
        Writing { sequence, file: writer.segment.file.clone(), bytes, open }
    }

    /// Goes over to the next segment, if that is ready.
    fn roll(&self, writer: &mut Writer) -> bool {
        let Some(segment) = self.next.lock().take() else {
            self.to_keep.set();
            return false;
        };
        let full = std::mem::replace(&mut writer.segment, segment.clone());
        writer.position = Segment::START;
        writer.recovery = Recovery::default();
        self.catalog.lock().rolled(&full, segment, writer.previous);
        self.to_keep.set();
        true
    }

    /// The group is written, or nothing is any more. Its memory comes back, to be filled again.
    pub(crate) fn end_write(&self, writing: Writing, result: io::Result<()>) -> Vec<u8> {
        let Writing { sequence, file, bytes, mut open } = writing;
        if let Err(error) = result {
            self.poison("writing to the log", &error);
            self.refuse(open.written.into_iter().chain(open.synced));
            return bytes;
        }
        self.counts.groups.fetch_add(1, Ordering::Relaxed);
        self.counts.messages.fetch_add(open.messages, Ordering::Relaxed);
        // An empty group that a snapshot waits for is none.
        let is_mark = bytes.len() == group::HEADER && open.synced.is_empty() && open.frozen.is_none();
        if bytes.len() > group::HEADER {
            self.changed.store(sequence.0, Ordering::Relaxed);
        }
        let frozen = open.frozen.take();
        {
            let mut catalog = self.catalog.lock();
            catalog.wrote(sequence, &bytes, &open.shown_written, &open.shown_synced);
            catalog.show(&open.shown_written);
        }
        let waiters = std::mem::take(&mut open.synced);
        self.awaited.fetch_add(u64::from(!waiters.is_empty()), Ordering::Relaxed);
        let (lost, is_news) = {
            let mut certainty = self.certainty.lock();
            let before = (certainty.is_urgent(), certainty.is_soon());
            let lost = certainty.wrote(sequence, &file, is_mark, waiters, open.shown_synced, open.reserved);
            (lost, before != (certainty.is_urgent(), certainty.is_soon()))
        };
        if is_news {
            self.to_sync.set();
        }
        if let Some((state, mut files)) = frozen {
            // All that the folder needs: what of it is missing at an opening, was there.
            files.extend(self.catalog.lock().segments.keys());
            self.keeper.lock().frozen(sequence, state, files);
            self.to_keep.set();
        }
        if self.is_poisoned() {
            self.refuse(open.written.into_iter().chain(lost));
        } else {
            open.written.into_iter().for_each(|waiter| waiter.answer(Ok(())));
        }
        bytes
    }

    /// Tells those who waited that the store has failed.
    fn refuse(&self, waiters: impl IntoIterator<Item = Waiter>) {
        let why = self.front.lock().stopped.clone().unwrap_or(StoreError::Closed);
        waiters.into_iter().for_each(|waiter| waiter.answer(Err(why.clone())));
    }

    /// Writes an empty group that says what is synced, if the last sync covered all there is and none says so yet. It is not
    /// synced itself: a mark never causes a mark (rule 1). But behind the group that closed the log it is: what is damaged
    /// there later had been certain, and is told from what was never synced. True if nothing is left to say.
    pub(crate) fn mark(&self) -> bool {
        let mut writer = self.writer.lock();
        let (is_at_rest, is_closed) = {
            let front = self.front.lock();
            let is_closed = front.stopped == Some(StoreError::Closed);
            (front.is_idle() && (is_closed || front.stopped.is_none()), is_closed)
        };
        if writer.is_marked || !is_at_rest {
            return writer.is_marked || self.is_poisoned();
        }
        let is_covered = {
            let certainty = self.certainty.lock();
            certainty.synced() == certainty.written() && certainty.synced() == writer.previous
        };
        if !is_covered || writer.segment.len - writer.position < GRAIN {
            return false;
        }
        let flags = if is_closed { group::CLEAN } else { 0 };
        let writing = self.place(&mut writer, Open { flags, ..Open::new(Vec::new()) });
        writer.is_marked = true;
        let result = writing.run();
        self.end_write(writing, result);
        drop(writer);
        if is_closed {
            self.sync();
        }
        true
    }

    /// Syncs what is written, once; false if there is nothing.
    pub(crate) fn sync(&self) -> bool {
        let Some(round) = self.begin_sync() else { return false };
        let result = round.run();
        self.end_sync(&round, result);
        true
    }

    pub(crate) fn begin_sync(&self) -> Option<Round> {
        self.certainty.lock().begin()
    }

    /// What a round covers is certain, or nothing is any more.
    pub(crate) fn end_sync(&self, round: &Round, result: io::Result<()>) {
        if let Err(error) = result
            && !mutant::is_on(Mutant::FailedSyncIgnored)
        {
            return self.poison("syncing the log", &error);
        }
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        let certain = self.certainty.lock().end(round);
        if !certain.reserved.is_empty() {
            self.front.lock().reserved(&certain.reserved);
        }
        if !certain.shown.is_empty() {
            self.catalog.lock().show(&certain.shown);
        }
        if certain.waiters.len() <= FEW {
            certain.waiters.into_iter().for_each(|waiter| waiter.answer(Ok(())));
        } else {
            // Meanwhile the next round can begin.
            self.answers.lock().extend(certain.waiters);
            self.to_write.set();
        }
    }

    /// Tells those whom a sync has left to be told.
    pub(crate) fn answer(&self) {
        let waiters = std::mem::take(&mut *self.answers.lock());
        waiters.into_iter().for_each(|waiter| waiter.answer(Ok(())));
    }
}
