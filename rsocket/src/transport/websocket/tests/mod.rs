mod codec;
mod faults;
mod handshake;
mod peers;
mod transport;

use super::*;
use crate::frame::LENGTH;
use crate::transport::{Batch, Transport, readable, writable, write_all};
use bytes::BytesMut;
use std::io;

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

/// Reads until `len` bytes are here.
async fn read(transport: &dyn Transport, len: usize) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    while bytes.len() < len {
        bytes.reserve(64 * 1024);
        match transport.try_read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable(transport).await.unwrap(),
            other => assert!(other.unwrap() > 0, "the stream ended after {} of {len} bytes", bytes.len()),
        }
    }
    assert_eq!(bytes.len(), len);
    bytes.to_vec()
}

/// Reads until the stream ends, well or with an error.
async fn read_end(transport: &dyn Transport) -> (Vec<u8>, io::Result<()>) {
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(64 * 1024);
        match transport.try_read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable(transport).await.unwrap(),
            Err(error) => return (bytes.to_vec(), Err(error)),
            Ok(0) => return (bytes.to_vec(), Ok(())),
            Ok(_) => {}
        }
    }
}

async fn write(transport: &dyn Transport, bytes: &[u8]) {
    let mut batch = Batch::default();
    batch.push(BytesMut::from(bytes));
    write_all(transport, &mut batch).await.unwrap();
}
