//! Finds the groups of a segment, behind damaged ones too.

use super::chain::Seen;
use super::file::PAGE;
use super::group::{self, Found};
use super::segment::Segment;
use super::sequence::{GRAIN, Sequence};
use std::io;

/// What a segment's file holds.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub segment: Segment,
    /// In order.
    pub groups: Vec<Seen>,
    /// True if there is anything but zeros behind the last group.
    pub has_rest: bool,
    /// What lies behind the last group: as much as a header takes.
    behind: Vec<u8>,
}

impl Scanned {
    /// Reads the whole file, into memory that others may be read into after it.
    pub(crate) fn read(segment: Segment, bytes: &mut Vec<u8>) -> io::Result<Self> {
        read_all(&segment, bytes)?;
        let (mut at, mut groups) = (Segment::START, Vec::new());
        while at + GRAIN <= bytes.len() as u64 {
            let sequence = Sequence::at(segment.id.id, at);
            let (header, len, is_whole) = match group::check(&bytes[at as usize..], sequence, segment.id.seed, true) {
                Found::Group { header, len } => (header, len as u64, true),
                Found::Torn { header, len } => (header, len as u64, false),
                Found::Nothing | Found::Short(_) => {
                    at += GRAIN;
                    continue;
                }
            };
            groups.push(Seen { header, len, is_whole });
            at += len;
        }
        let rest = bytes.get(end(&groups) as usize..).unwrap_or_default();
        let has_rest = rest.iter().any(|byte| *byte != 0);
        let behind = rest[..rest.len().min(group::HEADER)].to_vec();
        Ok(Self { segment, groups, has_rest, behind })
    }

    /// Gives back what is behind the last group, if that is most of the file.
    pub(crate) fn shorten(&mut self) -> io::Result<()> {
        let (filled, whole) = (end(&self.groups), self.segment.len);
        let len = filled.next_multiple_of(PAGE as u64);
        if filled < whole / 4 && len < whole {
            self.segment.file.set_len(len)?;
            self.segment.len = len;
        }
        Ok(())
    }

    /// Bytes of a group behind all of these that is not whole; `last` is the last one of the log before this segment.
    pub(crate) fn torn(&self, last: Sequence) -> u64 {
        let (id, end) = (self.segment.id.id, end(&self.groups));
        let Some(left) = self.segment.len.checked_sub(end).filter(|left| *left > 0) else { return 0 };
        let previous = self.groups.last().map_or(last, |group| group.header.sequence);
        group::torn(&self.behind, left, Sequence::at(id, end), previous)
    }

    /// The bytes of one of its groups, checked again: what was there may not be there any more.
    pub(crate) fn group(segment: &Segment, seen: &Seen) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; seen.len as usize];
        let read = segment.file.read_at(&mut bytes, seen.header.sequence.position())?;
        bytes.truncate(read);
        match group::check(&bytes, seen.header.sequence, segment.id.seed, true) {
            Found::Group { .. } => Ok(bytes),
            _ => Err(io::Error::other(format!("the group {} reads differently the second time", seen.header.sequence))),
        }
    }
}

/// Where the next group would begin.
fn end(groups: &[Seen]) -> u64 {
    groups.last().map_or(Segment::START, |last| last.header.sequence.position() + last.len)
}

fn read_all(segment: &Segment, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(segment.len as usize, 0);
    let read = segment.file.read_at(bytes, 0)?;
    bytes.truncate(read);
    Ok(())
}
