//! Frames of apps with services of their own, built by hand like those in wire.rs.

use super::rsocket::REQUEST_FNF;
use super::wire::{self, FOLLOWS, METADATA, put_entry, put_header, put_u24};

pub(super) const REQUEST_STREAM: u8 = 0x06;
pub(super) const REQUEST_N: u8 = 0x08;
pub(super) const CANCEL: u8 = 0x09;

/// The method every request here names.
const METHOD: &str = "call";

/// REQUEST_RESPONSE to a service, whole or, with `FOLLOWS`, its first fragment.
pub(super) fn put_call(out: &mut Vec<u8>, stream_id: u32, flags: u16, service: &str, data: &[u8]) {
    put_routed(out, stream_id, wire::REQUEST_RESPONSE, flags & FOLLOWS, &[], service, data);
}

/// REQUEST_STREAM to a service, asking for `n` items.
pub(super) fn put_stream(out: &mut Vec<u8>, stream_id: u32, n: u32, service: &str) {
    put_routed(out, stream_id, REQUEST_STREAM, 0, &n.to_be_bytes(), service, b"");
}

/// REQUEST_FNF to a service.
pub(super) fn put_fnf(out: &mut Vec<u8>, stream_id: u32, service: &str, data: &[u8]) {
    put_routed(out, stream_id, REQUEST_FNF, 0, &[], service, data);
}

/// PAYLOAD without metadata.
pub(super) fn put_payload(out: &mut Vec<u8>, stream_id: u32, flags: u16, data: &[u8]) {
    put_header(out, wire::HEADER_LEN + data.len(), stream_id, wire::PAYLOAD, flags);
    out.extend_from_slice(data);
}

/// REQUEST_N: `n` items more.
pub(super) fn put_request_n(out: &mut Vec<u8>, stream_id: u32, n: u32) {
    put_header(out, wire::HEADER_LEN + 4, stream_id, REQUEST_N, 0);
    out.extend_from_slice(&n.to_be_bytes());
}

/// The number in a REQUEST_N, and at the start of a REQUEST_STREAM; 0 if there is none.
pub(super) fn requested(body: &[u8]) -> u32 {
    body.first_chunk().map_or(0, |n| u32::from_be_bytes(*n))
}

/// A request: what stands before its metadata, the route, the data type octet-stream, the data.
fn put_routed(out: &mut Vec<u8>, stream_id: u32, kind: u8, flags: u16, first: &[u8], service: &str, data: &[u8]) {
    let tag = format!("{service}.{METHOD}");
    let mut routing = vec![tag.len() as u8];
    routing.extend_from_slice(tag.as_bytes());
    let mut metadata = Vec::with_capacity(routing.len() + 9);
    put_entry(&mut metadata, 0x7E, &routing);
    put_entry(&mut metadata, 0x7A, &[0x80 | 0x06]);
    let len = wire::HEADER_LEN + first.len() + wire::LENGTH_LEN + metadata.len() + data.len();
    put_header(out, len, stream_id, kind, METADATA | flags);
    out.extend_from_slice(first);
    put_u24(out, metadata.len());
    out.extend_from_slice(&metadata);
    out.extend_from_slice(data);
}
