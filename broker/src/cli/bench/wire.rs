//! RSocket frames by hand, and a socket that moves many of them with one read and one write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Failure;

pub(super) const SETUP: u8 = 0x01;
pub(super) const KEEPALIVE: u8 = 0x03;
pub(super) const REQUEST_RESPONSE: u8 = 0x04;
pub(super) const PAYLOAD: u8 = 0x0A;
pub(super) const ERROR: u8 = 0x0B;

pub(super) const METADATA: u16 = 0x100;
pub(super) const FOLLOWS: u16 = 0x80;
pub(super) const RESPOND: u16 = 0x80;
pub(super) const COMPLETE: u16 = 0x40;
pub(super) const NEXT: u16 = 0x20;

/// The 24-bit length before each frame, the 32-bit stream id, the type and the flags.
pub(super) const LENGTH_LEN: usize = 3;
pub(super) const HEADER_LEN: usize = 6;
/// Where the stream id stands in a frame with its length.
pub(super) const STREAM_ID_AT: usize = LENGTH_LEN;

pub(super) const COMPOSITE: &[u8] = b"message/x.rsocket.composite-metadata.v0";
pub(super) const OCTET_STREAM: &[u8] = b"application/octet-stream";
pub(super) const KEEPALIVE_MS: u32 = 20_000;
pub(super) const LIFETIME_MS: u32 = 90_000;
/// How often a side sends its own KEEPALIVE.
pub(super) const KEEPALIVE_EVERY: std::time::Duration = std::time::Duration::from_millis(KEEPALIVE_MS as u64);

pub(super) const SERVICE: &str = "bench.Echo";
pub(super) const METHOD: &str = "echo";

/// One frame in the buffer it was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) stream_id: u32,
    pub(super) kind: u8,
    pub(super) flags: u16,
    /// All that follows the flags.
    pub(super) body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame without its length prefix; none if it is too short for a header.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let [a, b, c, d, high, low] = *header;
        let word = u16::from_be_bytes([high, low]);
        Some(Self { stream_id: u32::from_be_bytes([a, b, c, d]), kind: (word >> 10) as u8, flags: word & 0x3FF, body })
    }

    pub(super) fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// The data of a REQUEST_RESPONSE or PAYLOAD; none if the metadata length overruns the frame.
    pub(super) fn data(&self) -> Option<&'a [u8]> {
        if !self.has(METADATA) {
            return Some(self.body);
        }
        let (length, rest) = self.body.split_first_chunk::<LENGTH_LEN>()?;
        rest.get(u24(*length)..)
    }

    /// An ERROR frame as `0x00000204 text`.
    pub(super) fn error_text(&self) -> String {
        match self.body.split_first_chunk::<4>() {
            Some((code, text)) => format!("{:#010x} {}", u32::from_be_bytes(*code), String::from_utf8_lossy(text)),
            None => "ERROR frame without a code".to_owned(),
        }
    }
}

/// SETUP 1.0 with composite metadata: the app `name`, a uuid of its own, and the services it publishes.
pub(super) fn put_setup<'a>(out: &mut Vec<u8>, name: &str, uuid: u128, services: impl IntoIterator<Item = &'a str>) {
    let mut metadata = Vec::new();
    let app = serde_json::json!({"name": name, "uuid": format!("{uuid:032x}"), "metadata": {}});
    put_entry(&mut metadata, 0x51, app.to_string().as_bytes());
    // `gsv` is what alibaba-rsocket-broker goes by; to others it says nothing.
    let publish = |service: &str| serde_json::json!({"service": service, "version": "", "group": "", "gsv": service});
    let published: Vec<_> = services.into_iter().map(publish).collect();
    if !published.is_empty() {
        let registry = serde_json::json!({ "published": published });
        put_entry(&mut metadata, 0x54, registry.to_string().as_bytes());
    }
    let mut fixed = Vec::new();
    fixed.extend_from_slice(&[0, 1, 0, 0]);
    fixed.extend_from_slice(&KEEPALIVE_MS.to_be_bytes());
    fixed.extend_from_slice(&LIFETIME_MS.to_be_bytes());
    for mime in [COMPOSITE, OCTET_STREAM] {
        fixed.push(mime.len() as u8);
        fixed.extend_from_slice(mime);
    }
    put_header(out, HEADER_LEN + fixed.len() + LENGTH_LEN + metadata.len(), 0, SETUP, METADATA);
    out.extend_from_slice(&fixed);
    put_u24(out, metadata.len());
    out.extend_from_slice(&metadata);
}

/// PAYLOAD with next and complete: the whole answer, without metadata.
#[inline]
pub(super) fn put_answer(out: &mut Vec<u8>, stream_id: u32, data: &[u8]) {
    put_header(out, HEADER_LEN + data.len(), stream_id, PAYLOAD, NEXT | COMPLETE);
    out.extend_from_slice(data);
}

/// KEEPALIVE at position 0 (nothing here resumes).
pub(super) fn put_keepalive(out: &mut Vec<u8>, respond: bool, data: &[u8]) {
    put_header(out, HEADER_LEN + 8 + data.len(), 0, KEEPALIVE, if respond { RESPOND } else { 0 });
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(data);
}

/// Answers a KEEPALIVE that asks for it, with its data.
pub(super) fn answer_keepalive(out: &mut Vec<u8>, frame: &Frame<'_>) {
    if frame.has(RESPOND) {
        put_keepalive(out, false, frame.body.get(8..).unwrap_or_default());
    }
}

#[inline]
pub(super) fn put_header(out: &mut Vec<u8>, len: usize, stream_id: u32, kind: u8, flags: u16) {
    let [_, a, b, c] = (len as u32).to_be_bytes();
    let [d, e, f, g] = stream_id.to_be_bytes();
    let [h, i] = (u16::from(kind) << 10 | flags).to_be_bytes();
    out.extend_from_slice(&[a, b, c, d, e, f, g, h, i]);
}

/// A composite metadata entry with a well-known id.
pub(super) fn put_entry(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(0x80 | id);
    put_u24(out, content.len());
    out.extend_from_slice(content);
}

pub(super) fn put_u24(out: &mut Vec<u8>, value: usize) {
    let [_, a, b, c] = (value as u32).to_be_bytes();
    out.extend_from_slice(&[a, b, c]);
}

fn u24([a, b, c]: [u8; LENGTH_LEN]) -> usize {
    u32::from_be_bytes([0, a, b, c]) as usize
}

/// Received bytes, cut into frames where they lie.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], start: 0, end: 0 }
    }

    /// The next whole frame; none until more is read; a failure if the peer sent less than a header.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Failure> {
        let Some((length, rest)) = self.bytes[self.start..self.end].split_first_chunk::<LENGTH_LEN>() else {
            return Ok(None);
        };
        let length = u24(*length);
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        self.start += LENGTH_LEN + length;
        Frame::parse(frame).map(Some).ok_or_else(|| Failure::new(format!("the peer sent a frame of {length} bytes")))
    }

    /// Where the next read goes: the rest of a cut frame moves to the front, and a frame larger than the buffer grows it.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// What is read and not yet consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// So many of these bytes are dealt with.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
    }

    pub(super) fn filled(&mut self, len: usize) {
        self.end += len;
    }
}

/// A connection: frames are read into `inbox` and written from `outbox`, as many at a time as there are.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    pub(super) inbox: Inbox,
    pub(super) outbox: Vec<u8>,
    /// How much of `outbox` the socket has taken.
    written: usize,
}

impl Link {
    pub(super) fn new(stream: TcpStream, capacity: usize) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, inbox: Inbox::new(capacity), outbox: Vec::with_capacity(capacity), written: 0 })
    }

    /// One read of what is there; an end of the stream is a failure.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut room = ReadBuf::new(self.inbox.room());
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room));
        let len = room.filled().len();
        Poll::Ready(match read {
            Ok(()) if len == 0 => Err(Failure::new("the peer closed the connection")),
            Ok(()) => {
                self.inbox.filled(len);
                Ok(())
            }
            Err(e) => Err(Failure::new(format!("read: {e}"))),
        })
    }

    /// Writes all of `outbox`, with one write if the socket takes it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while self.written < self.outbox.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outbox[self.written..])) {
                Ok(len) => self.written += len,
                Err(e) => return Poll::Ready(Err(Failure::new(format!("write: {e}")))),
            }
        }
        self.outbox.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}
