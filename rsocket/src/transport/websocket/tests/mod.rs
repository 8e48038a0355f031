mod codec;
mod faults;

use super::*;
use crate::frame::LENGTH;
use crate::transport::Batch;
use bytes::BytesMut;

const MASK: [u8; 4] = [7, 0, 255, 129];

/// A WebSocket frame, byte by byte as RFC 6455 5.2 draws it.
fn wire(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 128 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(masked | len as u8),
        len @ ..65536 => bytes.extend([masked | 126, (len >> 8) as u8, len as u8]),
        len => {
            bytes.push(masked | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask.map_or(0, |mask| mask[at % 4])));
    bytes
}

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    wire(first, Some(MASK), payload)
}

/// A frame behind its 24-bit length.
fn prefixed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes()[1..], frame].concat()
}

/// What was written to a batch.
fn bytes_of(batch: &mut Batch) -> Vec<u8> {
    std::iter::from_fn(|| batch.pop()).flatten().collect()
}
