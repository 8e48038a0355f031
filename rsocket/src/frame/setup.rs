use super::{HEADER, be24, be32, flags};
use crate::error::FrameError;
use std::time::Duration;

/// The fields of a SETUP frame (Protocol.md, "SETUP Frame").
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Major and minor version.
    pub version: (u16, u16),
    /// Time between the client's KEEPALIVE frames.
    pub keepalive: Duration,
    /// Silence after which the client gives the connection up.
    pub lifetime: Duration,
    /// The resume token, if the R flag is set.
    pub resume_token: Option<&'a [u8]>,
    /// The client honours LEASE frames.
    pub is_leased: bool,
    /// MIME type of all metadata, as sent.
    pub metadata_mime: &'a [u8],
    /// MIME type of all data, as sent.
    pub data_mime: &'a [u8],
    /// The set-up payload's metadata.
    pub metadata: Option<&'a [u8]>,
    /// The set-up payload's data.
    pub data: &'a [u8],
}

pub(super) fn check(frame: &[u8]) -> Result<(), FrameError> {
    try_read(frame).map(|_| ()).ok_or(FrameError::Setup)
}

pub(super) fn read(frame: &[u8]) -> Setup<'_> {
    try_read(frame).expect("a FrameRef of SETUP has passed check")
}

fn try_read(frame: &[u8]) -> Option<Setup<'_>> {
    let bits = u16::from_be_bytes([*frame.get(4)?, *frame.get(5)?]) & 0x3FF;
    let mut rest = frame.get(HEADER..)?;
    let version = (rest.get(..4)?, u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]]));
    let keepalive = be32(rest.get(4..8)?) & 0x7FFF_FFFF;
    let lifetime = be32(rest.get(8..12)?) & 0x7FFF_FFFF;
    rest = rest.get(12..)?;
    let mut resume_token = None;
    if bits & flags::RESUME != 0 {
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        resume_token = Some(rest.get(2..2 + length)?);
        rest = rest.get(2 + length..)?;
    }
    let mut mime = || {
        let length = usize::from(*rest.first()?);
        let text = rest.get(1..1 + length)?;
        rest = rest.get(1 + length..)?;
        Some(text)
    };
    let (metadata_mime, data_mime) = (mime()?, mime()?);
    let mut metadata = None;
    if bits & flags::METADATA != 0 {
        let length = be24(rest.get(..3)?);
        metadata = Some(rest.get(3..3 + length)?);
        rest = rest.get(3 + length..)?;
    }
    Some(Setup {
        version: (version.1, version.2),
        keepalive: Duration::from_millis(keepalive.into()),
        lifetime: Duration::from_millis(lifetime.into()),
        resume_token,
        is_leased: bits & flags::LEASE != 0,
        metadata_mime,
        data_mime,
        metadata,
        data: rest,
    })
}
