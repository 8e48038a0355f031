//! AMQP 0-9-1 by hand: frames, and the methods a publisher and a consumer need.

use crate::cli::bench::Failure;

pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;
const END: u8 = 0xCE;
/// Type, channel and size before a frame's payload, and one byte behind it.
const AROUND: usize = 8;

/// Class and method.
pub(super) type Id = (u16, u16);
pub(super) const START: Id = (10, 10);
pub(super) const START_OK: Id = (10, 11);
pub(super) const TUNE: Id = (10, 30);
pub(super) const TUNE_OK: Id = (10, 31);
pub(super) const OPEN: Id = (10, 40);
pub(super) const OPEN_OK: Id = (10, 41);
pub(super) const CLOSE: Id = (10, 50);
pub(super) const CHANNEL_OPEN: Id = (20, 10);
pub(super) const CHANNEL_OPEN_OK: Id = (20, 11);
pub(super) const CHANNEL_CLOSE: Id = (20, 40);
pub(super) const DECLARE: Id = (50, 10);
pub(super) const DECLARE_OK: Id = (50, 11);
pub(super) const DELETE: Id = (50, 40);
pub(super) const DELETE_OK: Id = (50, 41);
pub(super) const QOS: Id = (60, 10);
pub(super) const QOS_OK: Id = (60, 11);
pub(super) const CONSUME: Id = (60, 20);
pub(super) const PUBLISH: Id = (60, 40);
pub(super) const DELIVER: Id = (60, 60);
pub(super) const ACK: Id = (60, 80);
pub(super) const NACK: Id = (60, 120);
pub(super) const CONFIRM: Id = (85, 10);
pub(super) const CONFIRM_OK: Id = (85, 11);

/// One frame in the buffer it was read into.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A method, and its arguments.
    Method(Id, &'a [u8]),
    /// The end of a message's body: a body that is whole in one frame.
    Body(&'a [u8]),
    Other,
}

/// Reads the first whole frame, and tells its length; none until more is there.
pub(super) fn read_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Failure> {
    let Some((&[kind, _, _, a, b, c, d], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    if bytes.starts_with(b"AMQP") {
        return Err(Failure::new("the peer speaks another AMQP"));
    }
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    let (Some(payload), Some(end)) = (rest.get(..len), rest.get(len)) else { return Ok(None) };
    if *end != END {
        return Err(Failure::new("a frame of AMQP without its end"));
    }
    let frame = match (kind, payload) {
        (METHOD, &[a, b, c, d, ref arguments @ ..]) => {
            Frame::Method((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])), arguments)
        }
        (BODY, body) => Frame::Body(body),
        _ => Frame::Other,
    };
    Ok(Some((frame, len + AROUND)))
}

/// A frame on channel 1, or, of a connection's own methods, on channel 0.
pub(super) fn put_frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.push(END);
}

/// A method with its arguments.
pub(super) fn put_method(out: &mut Vec<u8>, id: Id, arguments: &[&[u8]]) {
    let mut payload = [id.0.to_be_bytes(), id.1.to_be_bytes()].concat();
    arguments.iter().for_each(|part| payload.extend_from_slice(part));
    put_frame(out, METHOD, u16::from(id.0 != 10), &payload);
}

/// A short text.
pub(super) fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

/// A long text.
pub(super) fn long(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text].concat()
}

/// The first 64-bit number: a delivery tag.
pub(super) fn tag(arguments: &[u8]) -> u64 {
    arguments.first_chunk().map_or(0, |tag| u64::from_be_bytes(*tag))
}

/// What a connection or a channel was closed for.
pub(super) fn reason(arguments: &[u8]) -> String {
    let len = arguments.get(2).map_or(0, |len| usize::from(*len));
    String::from_utf8_lossy(arguments.get(3..3 + len).unwrap_or_default()).into_owned()
}

/// Answers one step of what opens a connection and its channel; true when the channel is open.
pub(super) fn open_further(out: &mut Vec<u8>, id: Id, arguments: &[u8]) -> Result<bool, Failure> {
    match id {
        START => put_method(out, START_OK, &[&[0; 4], &text("PLAIN"), &long(b"\0guest\0guest"), &text("en_US")]),
        TUNE => {
            let limits = arguments.get(..6).ok_or_else(|| Failure::new("a short connection.tune"))?;
            // No heartbeats: a run is short.
            put_method(out, TUNE_OK, &[limits, &[0, 0]]);
            put_method(out, OPEN, &[&text("/"), &text(""), &[0]]);
        }
        OPEN_OK => put_method(out, CHANNEL_OPEN, &[&text("")]),
        CHANNEL_OPEN_OK => return Ok(true),
        CLOSE | CHANNEL_CLOSE => return Err(Failure::new(format!("RabbitMQ: {}", reason(arguments)))),
        _ => {}
    }
    Ok(false)
}
