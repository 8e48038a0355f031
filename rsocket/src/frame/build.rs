use super::{Frame, FrameType, HEADER, LENGTH, MAX_FRAME, MAX_REQUEST_N, StreamId, flags};
use crate::error::ErrorCode;
use bytes::{BufMut, BytesMut};
use std::time::Duration;

/// What a SETUP frame is built from; version is always 1.0.
#[derive(Clone, Copy, Debug)]
pub struct SetupParts<'a> {
    /// Time between the client's KEEPALIVE frames.
    pub keepalive: Duration,
    /// Silence after which the connection counts as dead.
    pub lifetime: Duration,
    /// MIME type of all metadata, at most 255 ASCII bytes.
    pub metadata_mime: &'a str,
    /// MIME type of all data, at most 255 ASCII bytes.
    pub data_mime: &'a str,
    /// The set-up payload's metadata.
    pub metadata: Option<&'a [u8]>,
    /// The set-up payload's data.
    pub data: &'a [u8],
}

/// Metadata and data of a request or PAYLOAD.
#[derive(Clone, Copy, Debug, Default)]
pub struct PayloadParts<'a> {
    /// `Some(&[])` differs from `None` on the wire.
    pub metadata: Option<&'a [u8]>,
    /// The data.
    pub data: &'a [u8],
}

impl PayloadParts<'_> {
    /// Bytes these parts take in a frame.
    pub fn len(&self) -> usize {
        self.metadata.map_or(0, |m| 3 + m.len()) + self.data.len()
    }

    /// Neither metadata nor data.
    pub fn is_empty(&self) -> bool {
        self.metadata.is_none() && self.data.is_empty()
    }
}

fn start(stream: StreamId, kind: FrameType, bits: u16, body: usize) -> BytesMut {
    let len = HEADER + body;
    assert!(len <= MAX_FRAME, "a frame of {len} bytes does not fit 24 bits: fragment it");
    let mut wire = BytesMut::with_capacity(LENGTH + len);
    wire.put_uint(len as u64, LENGTH);
    wire.put_u32(stream);
    wire.put_u16(u16::from(kind as u8) << 10 | bits);
    wire
}

fn put_parts(wire: &mut BytesMut, parts: PayloadParts<'_>) {
    if let Some(metadata) = parts.metadata {
        wire.put_uint(metadata.len() as u64, 3);
        wire.put_slice(metadata);
    }
    wire.put_slice(parts.data);
}

/// A time in 31 bits: a longer one is cut to what they can say.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(MAX_REQUEST_N).min(MAX_REQUEST_N)
}

impl Frame {
    /// A request. `n` is the initial n, written for REQUEST_STREAM and REQUEST_CHANNEL only; `bits` may hold FOLLOWS
    /// and COMPLETE.
    ///
    /// # Panics
    /// If `kind` is no request or the frame would exceed [`MAX_FRAME`].
    pub fn request(kind: FrameType, stream: StreamId, bits: u16, n: u32, parts: PayloadParts<'_>) -> Self {
        assert!(kind.is_request(), "{kind:?} opens no stream");
        let has_n = kind.fixed() == 4;
        let m = if parts.metadata.is_some() { flags::METADATA } else { 0 };
        let mut wire = start(stream, kind, bits | m, kind.fixed() + parts.len());
        if has_n {
            wire.put_u32(n & MAX_REQUEST_N);
        }
        put_parts(&mut wire, parts);
        Self::built(wire)
    }

    /// A PAYLOAD; `bits` are NEXT, COMPLETE, FOLLOWS.
    ///
    /// # Panics
    /// If the frame would exceed [`MAX_FRAME`].
    pub fn payload(stream: StreamId, bits: u16, parts: PayloadParts<'_>) -> Self {
        let m = if parts.metadata.is_some() { flags::METADATA } else { 0 };
        let mut wire = start(stream, FrameType::Payload, bits | m, parts.len());
        put_parts(&mut wire, parts);
        Self::built(wire)
    }

    /// REQUEST_N of 1 to [`MAX_REQUEST_N`].
    pub fn request_n(stream: StreamId, n: u32) -> Self {
        let mut wire = start(stream, FrameType::RequestN, 0, 4);
        wire.put_u32(n & MAX_REQUEST_N);
        Self::built(wire)
    }

    /// CANCEL.
    pub fn cancel(stream: StreamId) -> Self {
        Self::built(start(stream, FrameType::Cancel, 0, 0))
    }

    /// ERROR; the text is cut at 64 KiB (an ERROR cannot be fragmented).
    pub fn error(stream: StreamId, code: ErrorCode, message: &str) -> Self {
        let mut end = message.len().min(64 * 1024);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let mut wire = start(stream, FrameType::Error, 0, 4 + end);
        wire.put_u32(code.0);
        wire.put_slice(&message.as_bytes()[..end]);
        Self::built(wire)
    }

    /// KEEPALIVE with position 0 (nothing resumes here).
    pub fn keepalive(respond: bool, data: &[u8]) -> Self {
        let mut wire = start(0, FrameType::Keepalive, if respond { flags::RESPOND } else { 0 }, 8 + data.len());
        wire.put_u64(0);
        wire.put_slice(data);
        Self::built(wire)
    }

    /// METADATA_PUSH.
    pub fn metadata_push(metadata: &[u8]) -> Self {
        let mut wire = start(0, FrameType::MetadataPush, flags::METADATA, metadata.len());
        wire.put_slice(metadata);
        Self::built(wire)
    }

    /// LEASE without metadata: for `ttl`, this many requests.
    pub fn lease(ttl: Duration, requests: u32) -> Self {
        let mut wire = start(0, FrameType::Lease, 0, 8);
        wire.put_u32(millis(ttl));
        wire.put_u32(requests & MAX_REQUEST_N);
        Self::built(wire)
    }

    /// SETUP, version 1.0, without resume token and lease.
    ///
    /// # Panics
    /// If a MIME type is longer than 255 bytes or the frame would exceed [`MAX_FRAME`].
    pub fn setup(parts: SetupParts<'_>) -> Self {
        let payload = PayloadParts { metadata: parts.metadata, data: parts.data };
        let (metadata_mime, data_mime) = (parts.metadata_mime.as_bytes(), parts.data_mime.as_bytes());
        let body = 12 + 2 + metadata_mime.len() + data_mime.len() + payload.len();
        let m = if parts.metadata.is_some() { flags::METADATA } else { 0 };
        let mut wire = start(0, FrameType::Setup, m, body);
        wire.put_u16(1);
        wire.put_u16(0);
        for time in [parts.keepalive, parts.lifetime] {
            wire.put_u32(millis(time));
        }
        for mime in [metadata_mime, data_mime] {
            wire.put_u8(u8::try_from(mime.len()).expect("a MIME type has at most 255 bytes"));
            wire.put_slice(mime);
        }
        put_parts(&mut wire, payload);
        Self::built(wire)
    }
}
