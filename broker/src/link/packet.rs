//! A frame on its way between two links, and the few fields the relay reads of it.

use bytes::BytesMut;
use rsocket::frame::{self, FrameRef, HEADER, LENGTH, flags};
use rsocket::{FrameType, StreamId};

/// The bytes of one frame, checked, and its length before them.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    /// In the read buffer: copied when queued.
    Small(&'a mut [u8]),
    /// Cut out of the read buffer: queued as it is, a small one with its neighbours.
    Large(BytesMut),
}

impl Packet<'_> {
    /// The frame, the length excluded.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.wire()[LENGTH..]
    }

    /// The frame with its length.
    pub(crate) fn wire(&mut self) -> &mut [u8] {
        match self {
            Self::Small(wire) => wire,
            Self::Large(wire) => wire,
        }
    }

    /// The frame, to be read.
    pub(crate) fn view(&self) -> FrameRef<'_> {
        let wire = match self {
            Self::Small(wire) => &**wire,
            Self::Large(wire) => wire,
        };
        FrameRef::checked(&wire[LENGTH..])
    }
}

/// Type, flags, n and length of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub kind: FrameType,
    pub bits: u16,
    pub n: u32,
    pub len: usize,
}

impl Step {
    /// Reads a checked frame, the length excluded.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let view = FrameRef::checked(bytes);
        Self::of(view, view.kind())
    }

    /// Reads a frame whose type is known.
    #[inline]
    pub(crate) fn of(view: FrameRef<'_>, kind: FrameType) -> Self {
        let n = match kind {
            FrameType::RequestStream | FrameType::RequestChannel | FrameType::RequestN => view.request_n(),
            _ => 0,
        };
        Self { kind, bits: view.flags(), n, len: view.bytes().len() }
    }

    /// More fragments follow; F together with C is the last fragment.
    #[inline]
    pub(crate) fn follows(self) -> bool {
        self.bits & (flags::FOLLOWS | flags::COMPLETE) == flags::FOLLOWS && self.carries_payload()
    }

    #[inline]
    pub(crate) fn is_complete(self) -> bool {
        self.bits & flags::COMPLETE != 0 && (self.kind == FrameType::Payload || self.kind == FrameType::RequestChannel)
    }

    #[inline]
    pub(crate) fn is_next(self) -> bool {
        self.bits & flags::NEXT != 0 && self.kind == FrameType::Payload
    }

    /// The request's answer carries many items.
    #[inline]
    pub(crate) fn is_windowed(self) -> bool {
        matches!(self.kind, FrameType::RequestStream | FrameType::RequestChannel)
    }

    /// A fire-and-forget in one frame: its stream ends with it.
    #[inline]
    pub(crate) fn is_single(self) -> bool {
        self.kind == FrameType::RequestFnf && !self.follows()
    }

    /// A fragment with neither metadata nor data.
    #[inline]
    pub(crate) fn is_empty_fragment(self) -> bool {
        let head = if self.bits & flags::METADATA == 0 { HEADER } else { HEADER + LENGTH };
        self.len <= head && self.kind == FrameType::Payload && self.follows()
    }

    fn carries_payload(self) -> bool {
        self.kind == FrameType::Payload || self.kind.is_request()
    }

    /// Writes the stream id into the frame's bytes, and a C or N flag that was added; takes out an F flag beside it, which
    /// means nothing ("Handling the Unexpected", 7) and keeps sloppy receivers waiting.
    #[inline]
    pub(crate) fn patch(self, bytes: &mut [u8], stream: StreamId) {
        frame::set_stream_id(bytes, stream);
        if self.kind != FrameType::Payload {
            return;
        }
        frame::set_flags(bytes, self.bits & (flags::NEXT | flags::COMPLETE));
        if self.bits & flags::COMPLETE != 0 {
            frame::clear_flags(bytes, flags::FOLLOWS);
        }
    }
}
