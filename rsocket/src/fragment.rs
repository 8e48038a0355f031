//! Splitting payloads into fragments and joining them again, with a cap on what is held.

use crate::frame::{Frame, FrameRef, FrameType, PayloadParts, StreamId, flags};
use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;

/// What a request or an item is made of, once joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The first fragment's type.
    pub kind: FrameType,
    /// NEXT of any fragment, COMPLETE of the last one or of an unfragmented frame.
    pub flags: u16,
    /// The initial n of a request.
    pub request_n: u32,
    /// Metadata of all fragments.
    pub metadata: Option<Bytes>,
    /// Data of all fragments.
    pub data: Bytes,
}

/// Why fragments cannot be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// One payload grew over its cap.
    #[error("a fragmented payload is over the limit of {0} bytes")]
    TooLarge(usize),
    /// All unfinished payloads of the connection grew over theirs.
    #[error("unfinished payloads of this connection are over the limit of {0} bytes")]
    TooMuch(usize),
}

/// Joins fragments, by stream. Each unfinished payload counts 64 bytes beside its own, so that empty fragments of many
/// streams are bounded as well.
#[derive(Debug)]
pub struct Joiner {
    partial: HashMap<StreamId, Partial>,
    held: usize,
    max_payload: usize,
    max_held: usize,
}

#[derive(Debug)]
struct Partial {
    kind: FrameType,
    flags: u16,
    request_n: u32,
    metadata: Option<BytesMut>,
    data: BytesMut,
}

const OVERHEAD: usize = 64;

impl Joiner {
    /// A joiner that holds at most `max_payload` bytes per payload and `max_held` in all.
    pub fn new(max_payload: usize, max_held: usize) -> Self {
        Self { partial: HashMap::new(), held: 0, max_payload, max_held }
    }

    /// Takes a request or PAYLOAD frame; returns the whole once its last fragment came. F together with C: F is ignored
    /// (Protocol.md, "Handling the Unexpected", 7).
    ///
    /// # Errors
    /// [`JoinError`]; what was held of this stream is dropped.
    pub fn push(&mut self, frame: Frame) -> Result<Option<Joined>, JoinError> {
        let view = frame.view();
        let (stream, kind, bits) = (view.stream_id(), view.kind(), view.flags());
        let follows = bits & flags::FOLLOWS != 0 && bits & flags::COMPLETE == 0;
        let keep = bits & (flags::NEXT | flags::COMPLETE);
        if !follows && !self.partial.contains_key(&stream) {
            let request_n = view.request_n();
            let (metadata, data) = frame.into_parts();
            return Ok(Some(Joined { kind, flags: keep, request_n, metadata, data }));
        }
        let request_n = view.request_n();
        let (held, limit) = (&mut self.held, self.max_held);
        let partial = self.partial.entry(stream).or_insert_with(|| {
            *held += OVERHEAD;
            Partial { kind, flags: 0, request_n, metadata: None, data: BytesMut::new() }
        });
        partial.flags |= keep;
        if let Some(metadata) = view.metadata() {
            partial.metadata.get_or_insert_with(BytesMut::new).extend_from_slice(metadata);
            *held += metadata.len();
        }
        partial.data.extend_from_slice(view.data());
        *held += view.data().len();
        let size = partial.metadata.as_ref().map_or(0, BytesMut::len) + partial.data.len();
        let failure = if size > self.max_payload {
            Some(JoinError::TooLarge(self.max_payload))
        } else if *held > limit {
            Some(JoinError::TooMuch(limit))
        } else {
            None
        };
        if let Some(error) = failure {
            self.forget(stream);
            return Err(error);
        }
        if follows {
            return Ok(None);
        }
        let partial = self.forget(stream).expect("the entry was made above");
        Ok(Some(Joined {
            kind: partial.kind,
            flags: partial.flags,
            request_n: partial.request_n,
            metadata: partial.metadata.map(BytesMut::freeze),
            data: partial.data.freeze(),
        }))
    }

    /// Whether fragments of this stream are held.
    pub fn is_partial(&self, stream: StreamId) -> bool {
        self.partial.contains_key(&stream)
    }

    /// Drops what is held of a stream that ended.
    pub fn cancel(&mut self, stream: StreamId) {
        self.forget(stream);
    }

    /// Bytes held, 64 for each unfinished payload included.
    pub fn held(&self) -> usize {
        self.held
    }

    fn forget(&mut self, stream: StreamId) -> Option<Partial> {
        let partial = self.partial.remove(&stream)?;
        self.held -= OVERHEAD + partial.metadata.as_ref().map_or(0, BytesMut::len) + partial.data.len();
        Some(partial)
    }
}

/// What [`split`] makes frames of.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// A request type or PAYLOAD.
    pub kind: FrameType,
    /// The stream.
    pub stream: StreamId,
    /// NEXT and COMPLETE; COMPLETE goes on the last fragment.
    pub flags: u16,
    /// The initial n.
    pub request_n: u32,
    /// Metadata and data.
    pub parts: PayloadParts<'a>,
}

/// Makes the frames of a payload, each of at most `max_frame` bytes (64 or more): one if it fits, else fragments with
/// all metadata before any data.
pub fn split(whole: Whole<'_>, max_frame: usize, mut emit: impl FnMut(Frame)) {
    let max_frame = max_frame.max(64);
    let room = max_frame - 16;
    let (mut metadata, mut data) = (whole.parts.metadata, whole.parts.data);
    let mut is_first = true;
    loop {
        let piece = metadata.map(|all| {
            let (piece, rest) = all.split_at(all.len().min(room));
            metadata = (!rest.is_empty()).then_some(rest);
            piece
        });
        let left = if metadata.is_some() { 0 } else { room.saturating_sub(piece.map_or(0, <[u8]>::len)) };
        let (part, rest) = data.split_at(data.len().min(left));
        data = rest;
        let follows = metadata.is_some() || !data.is_empty();
        let mut bits = whole.flags & !flags::COMPLETE;
        bits |= if follows { flags::FOLLOWS } else { whole.flags & flags::COMPLETE };
        let parts = PayloadParts { metadata: piece, data: part };
        emit(if is_first && whole.kind != FrameType::Payload {
            Frame::request(whole.kind, whole.stream, bits, whole.request_n, parts)
        } else {
            Frame::payload(whole.stream, bits | flags::NEXT, parts)
        });
        is_first = false;
        if !follows {
            return;
        }
    }
}

/// True if this frame begins or continues a payload whose later fragments are still to come.
pub fn follows(frame: FrameRef<'_>) -> bool {
    frame.has(flags::FOLLOWS) && !frame.has(flags::COMPLETE)
}

#[cfg(test)]
mod tests;
