//! How much a topic holds: bytes by offset, in coarse steps, and what may still come before its depth is looked at again.

use crate::store::{Offset, Op, TopicId};
use bytes::Bytes;
use std::collections::VecDeque;

/// Entries of a topic that hold its marks: the key is the offset, the value the bytes of all messages below it.
pub(crate) const MARK: &[u8] = b"mark/";

/// Entries that hold the offsets a recovery left out, which are no messages: the key is the first, the value the end.
pub(crate) const GAP: &[u8] = b"gap/";

/// Bytes between two marks, at most and at least.
const STEP: (u64, u64) = (64 << 10, 16 << 20);

/// What every message needs comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Intake {
    /// The offset the next message gets, unless the broker leaves some out.
    pub(super) head: Offset,
    /// Bytes that may come before the depth is looked at again.
    allowed_bytes: u64,
    /// Messages that may, or more.
    allowed: u32,
    /// Bytes of all messages behind the last mark: less than a step.
    unmarked: u32,
    marks: VecDeque<(Offset, u64)>,
    /// First and end of what is not there.
    gaps: Vec<(Offset, Offset)>,
}

impl Intake {
    /// As the store knows it: entries under [`MARK`] and [`GAP`], and the head.
    pub(super) fn restore(marks: &[(Bytes, Bytes)], gaps: &[(Bytes, Bytes)], head: Offset) -> Self {
        let marks: VecDeque<_> = numbers(marks, MARK).collect();
        Self { head, allowed_bytes: 0, allowed: 0, unmarked: 0, marks, gaps: numbers(gaps, GAP).collect() }
    }

    /// Bytes of all messages ever published.
    fn total(&self) -> u64 {
        self.marks.back().map_or(0, |(_, total)| *total) + u64::from(self.unmarked)
    }

    /// So much may come without a look at the depth.
    pub(super) fn allows(&self, messages: u64, bytes: u64) -> bool {
        messages <= self.allowed.into() && bytes <= self.allowed_bytes
    }

    /// The depth, or what bounds it, has changed.
    pub(super) fn look_again(&mut self) {
        self.allow(0, 0);
    }

    /// So much may come before the depth is looked at again.
    pub(super) fn allow(&mut self, messages: u64, bytes: u64) {
        (self.allowed, self.allowed_bytes) = (messages.try_into().unwrap_or(u32::MAX), bytes);
    }

    /// A recovery left out what is from `first` on: the operation that records it, if that is not known.
    pub(super) fn leave_out(&mut self, topic: TopicId, first: Offset) -> Option<Op> {
        if first >= self.head || self.gaps.last().is_some_and(|(_, end)| *end >= self.head) {
            return None;
        }
        self.gaps.push((first, self.head));
        let key = [GAP, &first.to_be_bytes()].concat().into();
        Some(Op::Put { topic, key, value: Bytes::copy_from_slice(&self.head.to_be_bytes()) })
    }

    /// Messages from an offset on.
    pub(super) fn messages_from(&self, offset: Offset) -> u64 {
        let gaps = self.gaps.iter().map(|(first, end)| end.saturating_sub(offset.max(*first)));
        self.head.saturating_sub(offset).saturating_sub(gaps.sum())
    }

    /// Messages were appended, the first at `offset`. The operation that records a mark, now and then: it goes with the next
    /// batch.
    pub(super) fn add(&mut self, topic: TopicId, offset: Offset, messages: u64, bytes: u64, most: u64) -> Option<Op> {
        self.head = self.head.max(offset + messages);
        self.allow(u64::from(self.allowed).saturating_sub(messages), self.allowed_bytes.saturating_sub(bytes));
        let step = if most == 0 { STEP.1 } else { (most / 16).clamp(STEP.0, STEP.1) };
        let unmarked = u64::from(self.unmarked) + bytes;
        if unmarked < step {
            self.unmarked = unmarked as u32;
            return None;
        }
        let total = self.total() + bytes;
        self.unmarked = 0;
        self.marks.push_back((self.head, total));
        let key = [MARK, &self.head.to_be_bytes()].concat().into();
        Some(Op::Put { topic, key, value: Bytes::copy_from_slice(&total.to_be_bytes()) })
    }

    /// The lowest offset from which on there are at most so many messages.
    pub(super) fn offset_of_last_messages(&self, mut messages: u64) -> Offset {
        let mut end = self.head;
        for (first, behind) in self.gaps.iter().rev() {
            let here = end.saturating_sub(*behind);
            if here >= messages {
                break;
            }
            (messages, end) = (messages - here, *first);
        }
        end.saturating_sub(messages)
    }

    /// Bytes of the messages from an offset on, about.
    pub(super) fn bytes_from(&self, offset: Offset) -> u64 {
        let at = self.marks.partition_point(|(mark, _)| *mark <= offset);
        let (low, low_bytes) = if at == 0 { (0, 0) } else { self.marks[at - 1] };
        let (high, high_bytes) = self.marks.get(at).copied().unwrap_or((self.head, self.total()));
        let (span, bytes) = (high.saturating_sub(low), high_bytes.saturating_sub(low_bytes));
        let part = offset.saturating_sub(low).min(span);
        let inside = if span == 0 { 0 } else { (u128::from(bytes) * u128::from(part) / u128::from(span)) as u64 };
        self.total().saturating_sub(low_bytes + inside)
    }

    /// The lowest offset from which on there are at most so many bytes, to a mark.
    pub(super) fn offset_of_last(&self, bytes: u64) -> Offset {
        let all = self.total();
        let fits = self.marks.iter().find(|(_, total)| all - total <= bytes);
        let first = if all <= bytes { Some(0) } else { None };
        first.or(fits.map(|(offset, _)| *offset)).unwrap_or(self.head)
    }

    /// What is below `floor` is not kept any more: the operations that forget its marks.
    pub(super) fn trim(&mut self, topic: TopicId, floor: Offset) -> Vec<Op> {
        let mut ops = Vec::new();
        while self.marks.get(1).is_some_and(|(next, _)| *next <= floor) {
            if let Some((offset, _)) = self.marks.pop_front() {
                ops.push(Op::Remove { topic, key: [MARK, &offset.to_be_bytes()].concat().into() });
            }
        }
        while self.gaps.first().is_some_and(|(_, end)| *end <= floor) {
            let (first, _) = self.gaps.remove(0);
            ops.push(Op::Remove { topic, key: [GAP, &first.to_be_bytes()].concat().into() });
        }
        ops
    }
}

/// Pairs of offsets, or of an offset and bytes, as entries hold them.
fn numbers(entries: &[(Bytes, Bytes)], prefix: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
    entries.iter().filter_map(move |(key, value)| Some((number(key.strip_prefix(prefix)?)?, number(value)?)))
}

#[cfg(test)]
mod tests {
    use super::super::Topic;
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn what_a_message_needs_of_a_topic_is_in_two_lines_of_the_cache() {
        // Its lock stands before it, in as much room as a number.
        let end = offset_of!(Topic, intake) + size_of::<u64>() + offset_of!(Intake, marks);
        assert_eq!((align_of::<Topic>(), offset_of!(Topic, groups), end), (64, 64, 128));
        assert!(offset_of!(Topic, name) + 1 + 32 <= 64, "comparing a name stays in the first one");
    }

    #[test]
    fn bytes_are_known_to_a_step_and_survive_a_restart() {
        let topic = TopicId(7);
        let mut intake = Intake::default();
        let mut entries = Vec::new();
        for offset in 0..1000 {
            if let Some(Op::Put { key, value, .. }) = intake.add(topic, offset, 1, 1000, 1 << 20) {
                entries.push((key, value));
            }
        }
        assert!(entries.len() > 10, "marks are made");
        assert_eq!(intake.bytes_from(0), 1_000_000);
        for offset in [0, 10, 500, 999] {
            assert!(intake.bytes_from(offset).abs_diff((1000 - offset) * 1000) <= 65_536, "{offset}");
        }
        let restored = Intake::restore(&entries, &[], 1000);
        assert!(restored.bytes_from(500).abs_diff(500_000) <= 2 * 65_536);
        let kept = intake.offset_of_last(100_000);
        assert!(intake.bytes_from(kept) <= 100_000 && kept < 1000);
        let forgotten = intake.trim(topic, 500);
        assert!(!forgotten.is_empty());
        assert!(intake.bytes_from(600).abs_diff(400_000) <= 65_536, "what is kept is known as before");
    }

    #[test]
    fn what_a_recovery_left_out_counts_for_nothing() {
        let topic = TopicId(7);
        let mut intake = Intake::restore(&[], &[], 100_000);
        let Some(Op::Put { key, value, .. }) = intake.leave_out(topic, 34_464) else { panic!("it is recorded") };
        assert_eq!(intake.leave_out(topic, 34_464), None, "once");
        let mut restored = Intake::restore(&[], &[(key, value)], 100_000);
        assert!(restored.add(topic, 100_000, 5, 10, 0).is_none());
        let counted =
            [0, 34_460, 34_464, 50_000, 99_999, 100_000, 100_004].map(|offset| restored.messages_from(offset));
        assert_eq!(counted, [34_469, 9, 5, 5, 5, 5, 1]);
        let lowest = [0, 1, 5, 6, 40_000].map(|messages| restored.offset_of_last_messages(messages));
        assert_eq!(lowest, [100_005, 100_004, 100_000, 34_463, 0], "what is kept is messages, too");
        assert_eq!(restored.trim(topic, 100_000).len(), 1, "it is forgotten with what was before it");
    }
}
