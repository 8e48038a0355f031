//! One RSocket frame: checked once, then read without copies and patched in place.
//!
//! A [`Frame`] owns its bytes in the form a byte stream carries, the 24-bit length included, so that what was read from
//! one socket is written to another as it stands. A [`FrameRef`] borrows the bytes without that length.
//!
//! ```text
//!  0      3              7     9
//!  | len  | 0 stream id  |t|fl | [n] [metadata length, metadata] data
//!         ^ FrameRef starts here; offsets in this module count from it
//! ```
//! Invariant: a `Frame` or `FrameRef` has passed [`check`], so the getters cannot fail.

mod build;
mod setup;
#[cfg(test)]
mod tests;

pub use build::{PayloadParts, SetupParts};
pub use setup::Setup;

use crate::error::FrameError;
use bytes::{Buf, Bytes, BytesMut};

/// A stream's number: 0 is the connection, odd ones are opened by the client, even ones by the server.
pub type StreamId = u32;

/// The largest stream id (Protocol.md, "Stream Identifiers").
pub const MAX_STREAM_ID: StreamId = 0x7FFF_FFFF;
/// The largest REQUEST_N and initial n.
pub const MAX_REQUEST_N: u32 = 0x7FFF_FFFF;
/// Bytes of the length that precedes a frame on a byte stream.
pub const LENGTH: usize = 3;
/// Bytes of a frame's header: stream id, type and flags.
pub const HEADER: usize = 6;
/// The most bytes a frame may have: what 24 bits can count.
pub const MAX_FRAME: usize = 0xFF_FFFF;

/// Flag bits, as they stand in the low ten bits of the header's last two bytes.
pub mod flags {
    /// Ignore this frame if it is not understood.
    pub const IGNORE: u16 = 0x200;
    /// Metadata is present.
    pub const METADATA: u16 = 0x100;
    /// More fragments follow.
    pub const FOLLOWS: u16 = 0x080;
    /// The sender's half of the stream is complete.
    pub const COMPLETE: u16 = 0x040;
    /// The frame carries an item.
    pub const NEXT: u16 = 0x020;
    /// KEEPALIVE: the receiver answers.
    pub const RESPOND: u16 = 0x080;
    /// SETUP: a resume token follows.
    pub const RESUME: u16 = 0x080;
    /// SETUP: the client honours LEASE.
    pub const LEASE: u16 = 0x040;
}

/// The type of a frame (Protocol.md, "Frame Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the protocol's")]
pub enum FrameType {
    Setup = 0x01,
    Lease = 0x02,
    Keepalive = 0x03,
    RequestResponse = 0x04,
    RequestFnf = 0x05,
    RequestStream = 0x06,
    RequestChannel = 0x07,
    RequestN = 0x08,
    Cancel = 0x09,
    Payload = 0x0A,
    Error = 0x0B,
    MetadataPush = 0x0C,
    Resume = 0x0D,
    ResumeOk = 0x0E,
    Ext = 0x3F,
}

impl FrameType {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x01 => Self::Setup,
            0x02 => Self::Lease,
            0x03 => Self::Keepalive,
            0x04 => Self::RequestResponse,
            0x05 => Self::RequestFnf,
            0x06 => Self::RequestStream,
            0x07 => Self::RequestChannel,
            0x08 => Self::RequestN,
            0x09 => Self::Cancel,
            0x0A => Self::Payload,
            0x0B => Self::Error,
            0x0C => Self::MetadataPush,
            0x0D => Self::Resume,
            0x0E => Self::ResumeOk,
            0x3F => Self::Ext,
            _ => return None,
        })
    }

    /// True for the four types that open a stream.
    pub const fn is_request(self) -> bool {
        matches!(self, Self::RequestResponse | Self::RequestFnf | Self::RequestStream | Self::RequestChannel)
    }

    /// Bytes between the header and the metadata length.
    const fn fixed(self) -> usize {
        match self {
            Self::Setup => 14,
            Self::Lease | Self::Keepalive => 8,
            Self::RequestStream | Self::RequestChannel | Self::RequestN | Self::Error | Self::Ext => 4,
            Self::Resume => 22,
            Self::ResumeOk => 8,
            _ => 0,
        }
    }

    /// Types whose metadata is preceded by a 24-bit length.
    const fn has_metadata_length(self) -> bool {
        matches!(
            self,
            Self::RequestResponse | Self::RequestFnf | Self::RequestStream | Self::RequestChannel | Self::Payload
        )
    }
}

fn be24(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Checks the bytes of one frame (without the length before it) and tells its type.
///
/// # Errors
/// [`FrameError`] for a frame too short for its type, of an unknown type, or whose metadata length does not fit. The
/// caller decides by [`is_ignorable`] whether that ends the connection ("Handling Ignore Flag").
pub fn check(frame: &[u8]) -> Result<FrameType, FrameError> {
    if frame.len() < HEADER {
        return Err(FrameError::Short { len: frame.len(), needed: HEADER });
    }
    let bits = frame[4] >> 2;
    let kind = FrameType::from_bits(bits).ok_or(FrameError::UnknownType(bits))?;
    let start = HEADER + kind.fixed();
    if frame.len() < start {
        return Err(FrameError::Short { len: frame.len(), needed: start });
    }
    if kind.has_metadata_length() && frame[4] & 0x01 != 0 {
        let left = frame.len() - start;
        let length = if left < 3 { usize::MAX } else { be24(&frame[start..]) };
        if length > left.saturating_sub(3) {
            return Err(FrameError::MetadataLength { length: length & MAX_FRAME, left });
        }
    }
    if kind == FrameType::Setup {
        setup::check(frame)?;
    }
    Ok(kind)
}

/// Whether a frame that failed [`check`] asks to be ignored instead of ending the connection.
pub fn is_ignorable(frame: &[u8]) -> bool {
    frame.len() >= HEADER && frame[4] & 0x02 != 0
}

/// A borrowed, checked frame.
#[derive(Clone, Copy)]
pub struct FrameRef<'a>(&'a [u8]);

impl<'a> FrameRef<'a> {
    /// Checks the bytes of one frame, the length before it excluded.
    ///
    /// # Errors
    /// As [`check`].
    pub fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        check(frame).map(|_| Self(frame))
    }

    /// Takes the bytes of one frame that have passed [`check`] already. The getters panic on bytes that have not.
    #[inline]
    pub fn checked(frame: &'a [u8]) -> Self {
        debug_assert!(check(frame).is_ok(), "the frame has passed check");
        Self(frame)
    }

    /// The stream this frame belongs to; the reserved top bit is not part of it.
    pub fn stream_id(self) -> StreamId {
        be32(self.0) & MAX_STREAM_ID
    }

    /// The frame's type.
    pub fn kind(self) -> FrameType {
        FrameType::from_bits(self.0[4] >> 2).expect("a FrameRef has passed check")
    }

    /// All ten flag bits.
    pub fn flags(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]]) & 0x3FF
    }

    /// Whether this flag is set.
    pub fn has(self, flag: u16) -> bool {
        self.flags() & flag != 0
    }

    /// REQUEST_STREAM, REQUEST_CHANNEL: the initial n; REQUEST_N: n; other types: 0. The reserved bit is masked.
    pub fn request_n(self) -> u32 {
        match self.kind() {
            FrameType::RequestStream | FrameType::RequestChannel | FrameType::RequestN => {
                be32(&self.0[HEADER..]) & MAX_REQUEST_N
            }
            _ => 0,
        }
    }

    /// The code of an ERROR frame; 0 for other types.
    pub fn error_code(self) -> u32 {
        if self.kind() == FrameType::Error { be32(&self.0[HEADER..]) } else { 0 }
    }

    /// Metadata of a request or PAYLOAD, or all of METADATA_PUSH; `None` without the M flag.
    pub fn metadata(self) -> Option<&'a [u8]> {
        let kind = self.kind();
        let start = HEADER + kind.fixed();
        match kind {
            FrameType::MetadataPush => Some(&self.0[start..]),
            _ if !self.has(flags::METADATA) => None,
            FrameType::Lease => Some(&self.0[start..]),
            FrameType::Setup => self.setup().metadata,
            _ if kind.has_metadata_length() => {
                let length = be24(&self.0[start..]);
                Some(&self.0[start + 3..start + 3 + length])
            }
            _ => None,
        }
    }

    /// What follows the fixed fields and the metadata.
    pub fn data(self) -> &'a [u8] {
        let kind = self.kind();
        let start = HEADER + kind.fixed();
        match kind {
            FrameType::MetadataPush | FrameType::Lease => &[],
            FrameType::Setup => self.setup().data,
            _ if kind.has_metadata_length() && self.has(flags::METADATA) => {
                &self.0[start + 3 + be24(&self.0[start..])..]
            }
            _ => &self.0[start..],
        }
    }

    /// The fields of a SETUP frame.
    ///
    /// # Panics
    /// If the frame is of another type.
    pub fn setup(self) -> Setup<'a> {
        assert_eq!(self.kind(), FrameType::Setup, "setup() is for SETUP frames");
        setup::read(self.0)
    }

    /// LEASE: time to live in milliseconds and number of requests, reserved bits masked; zeros for other types.
    pub fn lease(self) -> (u32, u32) {
        if self.kind() != FrameType::Lease {
            return (0, 0);
        }
        (be32(&self.0[HEADER..]) & MAX_REQUEST_N, be32(&self.0[HEADER + 4..]) & MAX_REQUEST_N)
    }

    /// The bytes of the frame, the length before it excluded.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Writes a stream id into the bytes of a frame (the length before it excluded); the reserved bit becomes 0.
pub fn set_stream_id(frame: &mut [u8], id: StreamId) {
    frame[..4].copy_from_slice(&(id & MAX_STREAM_ID).to_be_bytes());
}

/// Writes the initial n of a REQUEST_STREAM or REQUEST_CHANNEL (the length before it excluded).
pub fn set_request_n(frame: &mut [u8], n: u32) {
    frame[HEADER..HEADER + 4].copy_from_slice(&(n & MAX_REQUEST_N).to_be_bytes());
}

/// Sets flag bits in the header of a frame (the length before it excluded).
pub fn set_flags(frame: &mut [u8], bits: u16) {
    frame[4] |= (bits >> 8) as u8 & 0x03;
    frame[5] |= bits as u8;
}

/// Takes flag bits out of the header of a frame (the length before it excluded).
pub fn clear_flags(frame: &mut [u8], bits: u16) {
    frame[4] &= !((bits >> 8) as u8 & 0x03);
    frame[5] &= !(bits as u8);
}

/// An owned, checked frame in the form a byte stream carries: 24-bit length, then the frame.
#[derive(Clone)]
pub struct Frame(BytesMut);

impl Frame {
    /// Takes one frame as read from a byte stream, its 24-bit length included.
    ///
    /// # Errors
    /// As [`check`].
    ///
    /// # Panics
    /// If `wire` is shorter than its length field says: [`crate::codec::ReadBuffer`] cuts frames.
    pub fn parse(wire: BytesMut) -> Result<Self, FrameError> {
        assert_eq!(wire.len(), LENGTH + be24(&wire), "cut at the length field");
        check(&wire[LENGTH..]).map(|_| Self(wire))
    }

    /// Takes bytes that are known to hold one valid frame after its length.
    pub(crate) fn built(wire: BytesMut) -> Self {
        debug_assert!(check(&wire[LENGTH..]).is_ok(), "a built frame is valid");
        debug_assert_eq!(wire.len(), LENGTH + be24(&wire), "a built frame has its length");
        Self(wire)
    }

    /// The frame, borrowed.
    pub fn view(&self) -> FrameRef<'_> {
        FrameRef(&self.0[LENGTH..])
    }

    /// The frame's bytes without the length, to be patched in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0[LENGTH..]
    }

    /// The bytes as a byte stream carries them, the length included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Gives up the bytes, the length included.
    pub fn into_wire(self) -> BytesMut {
        self.0
    }

    /// Metadata and data as slices of the frame's own memory.
    pub fn into_parts(self) -> (Option<Bytes>, Bytes) {
        let view = self.view();
        let data_len = view.data().len();
        let metadata_len = view.metadata().map(<[u8]>::len);
        let wire = self.0.freeze();
        let data = wire.slice(wire.len() - data_len..);
        let metadata = metadata_len.map(|len| {
            let end = wire.len() - data_len;
            wire.slice(end - len..end)
        });
        (metadata, data)
    }

    /// Data alone, as a slice of the frame's own memory.
    pub fn into_data(mut self) -> BytesMut {
        let len = self.view().data().len();
        self.0.advance(self.0.len() - len);
        self.0
    }
}

impl std::fmt::Debug for FrameRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}(stream {}, flags {:#05x}, {} bytes)", self.kind(), self.stream_id(), self.flags(), self.0.len())
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}
