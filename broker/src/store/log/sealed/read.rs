//! Messages of a sealed file, by offset and by time.

use super::entry::Entry;
use super::open::Sealed;
use super::window;
use crate::store::record;
use crate::store::{Limits, Offset, Stored, TopicId};
use bytes::Bytes;
use std::io;

/// Bytes read at once, or one message: a message that is held holds no more than this.
const PIECE: u64 = 64 << 10;
/// The most a record holds besides its content.
const AROUND: usize = 64;

impl Sealed {
    /// The first and the last offset it holds of a topic.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn range(&self, topic: TopicId) -> io::Result<Option<(Offset, Offset)>> {
        let mut first = self.seek(|entry| entry.topic < topic)?;
        let Some(first) = first.peek()?.filter(|entry| entry.topic == topic) else { return Ok(None) };
        let last = self.seek(|entry| entry.topic <= topic)?.before();
        Ok(Some((first.offset, last.map_or(first.offset, |last| last.offset))))
    }

    /// The first offset it holds of a topic that is as young as `time`.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn offset_at(&self, topic: TopicId, time: u64) -> io::Result<Option<Offset>> {
        let mut found = self.seek(|entry| (entry.topic, entry.timestamp) < (topic, time))?;
        Ok(found.peek()?.filter(|entry| entry.topic == topic).map(|entry| entry.offset))
    }

    /// Adds messages of a topic from an offset on to `out`, and offsets whose bytes are damaged to `damaged`; says where to go
    /// on, what is below that and in neither is not there. The limits are of both together, with what they hold already; a
    /// message that would be the first of all is never too large.
    ///
    /// # Errors
    /// Those of the disk, if there is not even one message before the place; to be tried again.
    pub(crate) fn read(
        &self,
        topic: TopicId,
        from: Offset,
        limits: Limits,
        out: &mut Vec<Stored>,
        damaged: &mut Vec<Offset>,
    ) -> io::Result<Offset> {
        let before = out.len() + damaged.len();
        let mut next = from;
        match self.read_on(topic, &mut next, limits, out, damaged) {
            // Those that were read are not read again; the error comes again, if it stays.
            Err(error) if out.len() + damaged.len() == before => Err(error),
            _ => Ok(next),
        }
    }

    fn read_on(
        &self,
        topic: TopicId,
        next: &mut Offset,
        limits: Limits,
        out: &mut Vec<Stored>,
        damaged: &mut Vec<Offset>,
    ) -> io::Result<()> {
        let mut entries = self.seek(|entry| entry.key() < (topic, *next))?;
        let mut bytes: usize = out.iter().map(|message| message.content.len()).sum();
        let mut plan: Vec<Entry> = Vec::new();
        loop {
            let room = limits.messages.max(1).saturating_sub(out.len() + damaged.len());
            let mut expected = bytes;
            plan.clear();
            while let Some(entry) = entries.peek()?.filter(|entry| entry.topic == topic) {
                let from = plan.first().unwrap_or(&entry).position;
                let is_free = plan.is_empty() && out.is_empty();
                expected += (entry.len as usize).saturating_sub(AROUND);
                if plan.len() >= room
                    || !plan.is_empty() && entry.end() - from > PIECE
                    || !is_free && !entry.is_lost && expected > limits.bytes
                {
                    break;
                }
                plan.push(entry);
                entries.next();
            }
            let (Some(first), Some(last)) = (plan.first(), plan.last()) else { return Ok(()) };
            let piece = window::read(&*self.file, first.position, (last.end() - first.position) as usize, false)?;
            for entry in &plan {
                let at = (entry.position - first.position) as usize;
                let mut record = at.min(piece.len())..piece.len().min(at + entry.len as usize);
                let mut of = Some(&piece);
                let again;
                if !is_record_of(entry, &piece[record.clone()]) {
                    again = self.read_again(entry)?;
                    (record, of) = (0..entry.len as usize, again.as_ref());
                }
                match of.filter(|_| !entry.is_lost) {
                    None => damaged.push(entry.offset),
                    Some(of) => {
                        let (timestamp, content) = record::message_parts(&of[record.clone()]).unwrap_or_default();
                        let content = record.start + content..record.end;
                        bytes += content.len();
                        if !out.is_empty() && bytes > limits.bytes {
                            return Ok(());
                        }
                        out.push(Stored { offset: entry.offset, timestamp, content: of.slice(content) });
                    }
                }
                *next = entry.offset.saturating_add(1);
            }
        }
    }

    /// A record that seemed not to be as it was written, past the cache: nothing, if it is not so there either.
    pub(super) fn read_again(&self, entry: &Entry) -> io::Result<Option<Bytes>> {
        let record = window::read(&*self.file, entry.position, entry.len as usize, true)?;
        Ok(is_record_of(entry, &record).then_some(record))
    }
}

/// True if the record is the one the directory means.
pub(super) fn is_record_of(entry: &Entry, record: &[u8]) -> bool {
    Entry::of(record, entry.position)
        .is_some_and(|found| found.key() == entry.key() && found.len == entry.len && found.is_lost == entry.is_lost)
}
