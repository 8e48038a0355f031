//! Requests whose metadata spans fragments: held until it is complete, because it says where they go.

use bytes::BytesMut;
use hashbrown::HashMap;
use rsocket::frame::{FrameRef, LENGTH, StreamId, flags};
use std::time::{Duration, Instant};

/// One request whose metadata is not complete.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its frames so far, each with its length.
    pub frames: Vec<BytesMut>,
    pub metadata: Vec<u8>,
    pub since: Instant,
}

/// Why a request is not held any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// Its own metadata is too long.
    Request,
    /// All held requests of the link are.
    Link,
}

/// The held requests of one link.
#[derive(Debug)]
pub(crate) struct Gathering {
    held: HashMap<StreamId, Held>,
    bytes: usize,
    max_request: usize,
    max_link: usize,
    timeout: Duration,
}

/// What a held frame costs beside its bytes.
const COST: usize = 64;

/// Whether metadata may go on in the next fragment: this one has metadata, no data, and is not the last.
pub(crate) fn is_incomplete(frame: FrameRef<'_>) -> bool {
    let follows = frame.has(flags::FOLLOWS) && !frame.has(flags::COMPLETE);
    follows && frame.data().is_empty() && frame.metadata().is_some_and(|metadata| !metadata.is_empty())
}

impl Gathering {
    pub(crate) fn new((max_request, max_link, timeout): (usize, usize, Duration)) -> Self {
        Self { held: HashMap::new(), bytes: 0, max_request, max_link, timeout }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn contains(&self, stream: StreamId) -> bool {
        !self.held.is_empty() && self.held.contains_key(&stream)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds a frame; true once the metadata is complete and [`Self::take`] has it all.
    ///
    /// # Errors
    /// [`TooMuch`]: the request is dropped.
    pub(crate) fn push(&mut self, stream: StreamId, wire: BytesMut, now: Instant) -> Result<bool, TooMuch> {
        let view = FrameRef::parse(&wire[LENGTH..]).expect("frames are checked when they are read");
        let is_complete = !is_incomplete(view);
        let held =
            self.held.entry(stream).or_insert_with(|| Held { frames: Vec::new(), metadata: Vec::new(), since: now });
        held.metadata.extend_from_slice(view.metadata().unwrap_or_default());
        let is_long = held.metadata.len() > self.max_request || held.frames.len() * COST > self.max_request;
        self.bytes += wire.len() + COST;
        held.frames.push(wire);
        if is_long || self.bytes > self.max_link {
            self.take(stream);
            return Err(if is_long { TooMuch::Request } else { TooMuch::Link });
        }
        Ok(is_complete)
    }

    pub(crate) fn take(&mut self, stream: StreamId) -> Option<Held> {
        let held = self.held.remove(&stream)?;
        self.bytes -= held.frames.iter().map(|frame| frame.len() + COST).sum::<usize>();
        Some(held)
    }

    /// When the oldest request has been held too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.held.values().map(|held| held.since + self.timeout).min()
    }

    /// Drops requests held too long.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<StreamId> {
        let late: Vec<_> =
            self.held.iter().filter(|(_, held)| held.since + self.timeout <= now).map(|(stream, _)| *stream).collect();
        late.iter().for_each(|stream| drop(self.take(*stream)));
        late
    }
}

impl Held {
    /// The frame in whose metadata this offset (above 0) is, and where there; the end belongs to the last frame that has any.
    pub(crate) fn locate(&self, at: usize) -> Option<(usize, usize)> {
        let mut left = at;
        for (nth, frame) in self.frames.iter().enumerate() {
            let view = FrameRef::parse(&frame[LENGTH..]).expect("frames are checked when they are read");
            let len = view.metadata().map_or(0, <[u8]>::len);
            if left <= len {
                return Some((nth, left));
            }
            left -= len;
        }
        None
    }

    /// Writes the milliseconds left over those at `at` in the metadata, wherever fragments cut them.
    pub(crate) fn set_deadline(&mut self, at: usize, left: u32) {
        let bytes = left.to_be_bytes();
        let mut offset = 0;
        for frame in &mut self.frames {
            let view = FrameRef::parse(&frame[LENGTH..]).expect("frames are checked when they are read");
            let len = view.metadata().map_or(0, <[u8]>::len);
            let start = frame.len() - view.data().len() - len;
            for (nth, byte) in bytes.iter().enumerate() {
                if let Some(inside) = (at + nth).checked_sub(offset).filter(|inside| *inside < len) {
                    frame[start + inside] = *byte;
                }
            }
            offset += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsocket::fragment::{Whole, split};
    use rsocket::frame::PayloadParts;
    use rsocket::{Frame, FrameType};

    const LIMITS: (usize, usize, Duration) = (500, 2_000, Duration::from_secs(10));

    fn fragments(metadata: &[u8], data: &[u8]) -> Vec<Frame> {
        let parts = PayloadParts { metadata: Some(metadata), data };
        let whole = Whole { kind: FrameType::RequestResponse, stream: 1, flags: 0, request_n: 0, parts };
        let mut frames = Vec::new();
        split(whole, 64, |frame| frames.push(frame));
        frames
    }

    #[test]
    fn metadata_is_complete_with_the_first_data() {
        let metadata: Vec<u8> = (0..150).map(|n| n as u8).collect();
        let mut gathering = Gathering::new(LIMITS);
        let now = Instant::now();
        let frames = fragments(&metadata, &[7; 100]);
        let done = frames.into_iter().position(|frame| gathering.push(1, frame.into_wire(), now).unwrap());
        assert_eq!(done, Some(3));
        let mut held = gathering.take(1).unwrap();
        assert_eq!(held.metadata, metadata);
        assert_eq!(gathering.bytes(), 0);
        held.set_deadline(46, 0xAABB_CCDD);
        let joined: Vec<u8> = held
            .frames
            .iter()
            .flat_map(|frame| FrameRef::parse(&frame[LENGTH..]).unwrap().metadata().unwrap_or_default().to_vec())
            .collect();
        assert_eq!(joined[44..52], [44, 45, 0xAA, 0xBB, 0xCC, 0xDD, 50, 51], "cut between two fragments");
    }

    #[test]
    fn what_is_held_is_bounded_in_bytes_and_time() {
        let mut gathering = Gathering::new(LIMITS);
        let now = Instant::now();
        let endless = Frame::request(
            FrameType::RequestResponse,
            1,
            flags::FOLLOWS,
            0,
            PayloadParts { metadata: Some(&[1; 100]), data: b"" },
        );
        let refused = (0..100).find(|_| gathering.push(1, endless.clone().into_wire(), now).is_err());
        assert_eq!(refused, Some(5));
        let refused =
            (0..100).find(|stream| gathering.push(*stream, endless.clone().into_wire(), now) == Err(TooMuch::Link));
        assert_eq!(refused, Some(11));
        assert_eq!(gathering.expired(now + Duration::from_secs(10)).len(), 11);
        assert!(gathering.is_empty() && gathering.bytes() == 0);
    }
}
