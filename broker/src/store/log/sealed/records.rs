//! Records of a sealed file in order, as they are written to another one.

use super::directory::Entries;
use super::entry::Entry;
use super::open::Sealed;
use super::read::is_record_of;
use super::runs::Run;
use super::window::Window;
use crate::store::record;
use crate::store::{Offset, TopicId};
use bytes::Bytes;
use std::io;
use std::ops::RangeInclusive;

/// How much of what was asked for is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    Nothing,
    /// To be asked for each offset. For one offset it is the same as [`Kept::All`].
    Some,
}

/// Says what of a range of a topic's offsets is wanted: it is asked for whole runs first.
pub(crate) type Keep<'a> = dyn Fn(TopicId, RangeInclusive<Offset>) -> Kept + 'a;

fn keeps(keep: &Keep<'_>, entry: &Entry) -> bool {
    keep(entry.topic, entry.offset..=entry.offset) != Kept::Nothing
}

impl Sealed {
    /// The records that are kept, in order. In the place of one that is damaged comes the mark that it is lost.
    pub(crate) fn records<'a>(&'a self, keep: &'a Keep<'a>) -> Records<'a> {
        Records {
            sealed: self,
            kept: self.kept_entries(keep),
            window: Window::new(&*self.file, false, self.footer.records_to),
            damaged: 0,
        }
    }

    /// Bytes of the records that are kept. What is asked for run by run costs the reading of one page for some hundred topics;
    /// only where the answer is [`Kept::Some`] offsets are looked at.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn live_bytes(&self, keep: &Keep<'_>) -> io::Result<u64> {
        let mut bytes = 0;
        for run in self.topics() {
            let run = run?;
            bytes += match keep(run.topic, run.first..=run.last) {
                Kept::All => run.bytes,
                Kept::Nothing => 0,
                Kept::Some => self.live_bytes_of(&run, keep)?,
            };
        }
        Ok(bytes)
    }

    fn live_bytes_of(&self, run: &Run, keep: &Keep<'_>) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in self.seek_passing(|entry| entry.topic < run.topic)? {
            let entry = entry?;
            if entry.topic != run.topic {
                break;
            }
            bytes += if keeps(keep, &entry) { u64::from(entry.len) } else { 0 };
        }
        Ok(bytes)
    }

    /// The entries of the records that are kept.
    pub(super) fn kept_entries<'a>(&'a self, keep: &'a Keep<'a>) -> KeptEntries<'a> {
        KeptEntries { sealed: self, keep, runs: Box::new(self.topics()), run: None }
    }
}

/// See [`Sealed::kept_entries`].
pub(super) struct KeptEntries<'a> {
    sealed: &'a Sealed,
    keep: &'a Keep<'a>,
    runs: Box<dyn Iterator<Item = io::Result<Run>> + 'a>,
    /// The entries from where it is on, the topic, and whether each is to be asked for.
    run: Option<(Entries<'a>, TopicId, bool)>,
}

impl KeptEntries<'_> {
    fn read(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some((entries, topic, is_each)) = &mut self.run {
                match entries.next().transpose()?.filter(|entry| entry.topic == *topic) {
                    Some(entry) if *is_each && !keeps(self.keep, &entry) => {}
                    Some(entry) => return Ok(Some(entry)),
                    None => self.run = None,
                }
                continue;
            }
            let Some(run) = self.runs.next().transpose()? else { return Ok(None) };
            let kept = (self.keep)(run.topic, run.first..=run.last);
            if kept != Kept::Nothing {
                let entries = self.sealed.seek_passing(|entry| entry.topic < run.topic)?;
                self.run = Some((entries, run.topic, kept == Kept::Some));
            }
        }
    }
}

impl Iterator for KeptEntries<'_> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        self.read().transpose()
    }
}

/// See [`Sealed::records`]. It holds one piece of the file.
pub(crate) struct Records<'a> {
    sealed: &'a Sealed,
    kept: KeptEntries<'a>,
    window: Window<'a>,
    damaged: u64,
}

impl Records<'_> {
    #[cfg(test)]
    /// How many marks of lost ones it made, so far, for records that were found damaged now.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    fn record(&mut self, entry: &Entry) -> io::Result<Bytes> {
        let record = self.window.bytes(entry.position, entry.len as usize)?;
        if is_record_of(entry, &record) {
            return Ok(record);
        }
        if let Some(record) = self.sealed.read_again(entry)? {
            return Ok(record);
        }
        self.damaged += 1;
        Ok(record::lost(entry.topic, entry.offset, entry.timestamp).into())
    }
}

impl Iterator for Records<'_> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let entry = match self.kept.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        Some(self.record(&entry))
    }
}
