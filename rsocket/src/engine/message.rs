use super::Payload;
use crate::fragment::{Whole, split};
use crate::frame::{FrameType, HEADER, LENGTH, MAX_REQUEST_N, PayloadParts, StreamId, flags, set_stream_id};
use bytes::{BufMut, BytesMut};

/// Frames up to this size are copied into the queue's contiguous tail.
pub(super) const SMALL: usize = 2 * 1024;

/// What stands before metadata and data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: FrameType,
    pub(super) stream: StreamId,
    pub(super) flags: u16,
    pub(super) n: u32,
}

/// A request or item ready for the outgoing queue. What is large is encoded before the connection's lock is taken.
#[derive(Debug)]
pub(super) enum Message<'a> {
    Small(Head, PayloadParts<'a>),
    Large(Vec<BytesMut>),
}

impl<'a> Message<'a> {
    pub(super) fn new(head: Head, payload: &'a Payload, max_frame: usize) -> Self {
        let parts = payload.parts();
        let len = HEADER + 4 + parts.len();
        if len <= SMALL.min(max_frame) {
            return Self::Small(head, parts);
        }
        let mut frames = Vec::with_capacity(1);
        if len <= max_frame {
            let mut wire = BytesMut::with_capacity(LENGTH + len);
            put_frame(&mut wire, head, parts);
            frames.push(wire);
        } else {
            let whole = Whole { kind: head.kind, stream: head.stream, flags: head.flags, request_n: head.n, parts };
            split(whole, max_frame, |frame| frames.push(frame.into_wire()));
        }
        Self::Large(frames)
    }

    /// Whether encoding this payload copies much.
    pub(super) fn is_large(payload: &Payload) -> bool {
        HEADER + 4 + payload.parts().len() > SMALL
    }

    /// Writes the stream's id into every frame.
    pub(super) fn address(&mut self, stream: StreamId) {
        match self {
            Self::Small(head, _) => head.stream = stream,
            Self::Large(frames) => frames.iter_mut().for_each(|wire| set_stream_id(&mut wire[LENGTH..], stream)),
        }
    }
}

/// Appends one frame with its length.
pub(super) fn put_frame(into: &mut BytesMut, head: Head, parts: PayloadParts<'_>) {
    let has_n = matches!(head.kind, FrameType::RequestStream | FrameType::RequestChannel | FrameType::RequestN);
    let len = HEADER + if has_n { 4 } else { 0 } + parts.len();
    let metadata_flag = if parts.metadata.is_some() { flags::METADATA } else { 0 };
    into.reserve(LENGTH + len);
    into.put_uint(len as u64, LENGTH);
    into.put_u32(head.stream);
    into.put_u16(u16::from(head.kind as u8) << 10 | head.flags | metadata_flag);
    if has_n {
        into.put_u32(head.n & MAX_REQUEST_N);
    }
    if let Some(metadata) = parts.metadata {
        into.put_uint(metadata.len() as u64, 3);
        into.put_slice(metadata);
    }
    into.put_slice(parts.data);
}
