//! What is around RSocket on a WebSocket.

use super::frames::framed;
use super::input::Input;
use bytes::BytesMut;
use futures::FutureExt;
use towline_rsocket::frame::LENGTH;
use towline_rsocket::transport::websocket::{Decoder, Encoder, Role, Signal};
use towline_rsocket::transport::{Batch, MemoryTransport, Transport, WebSocketTransport, memory_pair};

/// Bytes a message may have.
const MAX: usize = 2048;

/// Wire bytes: in whatever pieces they come, they say the same; what waits is bounded; what is encoded is decoded again.
pub fn websocket(bytes: &[u8]) {
    let mut input = Input(bytes);
    let role = if input.byte() & 1 == 0 { Role::Server } else { Role::Client };
    let step = usize::from(input.byte()) + 1;
    let whole = decoded(role, &mut std::iter::once(input.0));
    assert_eq!(decoded(role, &mut input.0.chunks(step)), whole);
    encoded(role, input, step);
}

/// Frames, what was said to the transport itself, and the code of the fault that ended it.
type Decoded = (Vec<u8>, Vec<String>, Option<u16>);

fn decoded(role: Role, pieces: &mut dyn Iterator<Item = &[u8]>) -> Decoded {
    let mut decoder = Decoder::new(role, MAX);
    let (mut frames, mut signals) = (BytesMut::new(), Vec::new());
    for mut wire in pieces {
        while !wire.is_empty() {
            match decoder.decode(&mut wire, &mut frames) {
                Ok(None) => {}
                Ok(Some(Signal::Close(code))) => {
                    signals.push(format!("close {code:?}"));
                    return (frames.to_vec(), signals, None);
                }
                Ok(Some(ping)) => signals.push(format!("{ping:?}")),
                Err(fault) => return (frames.to_vec(), signals, Some(fault.code)),
            }
            assert!(decoder.held() <= MAX + LENGTH + 14 + 125, "{} bytes wait", decoder.held());
        }
    }
    (frames.to_vec(), signals, None)
}

fn encoded(role: Role, mut input: Input<'_>, step: usize) {
    let mut frames = Vec::new();
    while !input.0.is_empty() {
        let len = usize::from(input.byte()) * 8;
        frames.extend_from_slice(&framed(input.bytes(len)));
    }
    let (mut encoder, mut batch, mut out) = (Encoder::new(role), Batch::default(), Batch::default());
    for piece in frames.chunks(step) {
        batch.push(BytesMut::from(piece));
        encoder.encode(&mut batch, usize::MAX, &mut out);
    }
    assert!(batch.is_empty() && encoder.close(None).is_some());
    let mut wire = Vec::new();
    while let Some(chunk) = out.pop() {
        wire.extend_from_slice(&chunk);
    }
    let peer = if role == Role::Client { Role::Server } else { Role::Client };
    assert_eq!(decoded(peer, &mut wire.chunks(step)), (frames, Vec::new(), None));
}

/// The head of a request, and of a response: answered or refused, the same in one piece and in two.
pub fn upgrade(bytes: &[u8]) {
    let mut input = Input(bytes);
    let cut = usize::from(input.byte()) * 4;
    let (first, rest) = input.0.split_at(cut.min(input.0.len()));
    assert_eq!(answered(first, rest), answered(input.0, b""));
    let (client, server) = memory_pair("peer");
    write(&server, input.0);
    let _ = WebSocketTransport::connect(Box::new(client), "host", "/", MAX).now_or_never();
}

fn answered(first: &[u8], rest: &[u8]) -> Vec<u8> {
    let (server, client) = memory_pair("peer");
    write(&client, rest);
    let accepted = WebSocketTransport::accept(Box::new(server), BytesMut::from(first), MAX, |_| Ok(()));
    let accepted = accepted.now_or_never();
    let mut response = BytesMut::new();
    while matches!(client.try_read(&mut response), Ok(1..)) {}
    let is_granted = response.starts_with(b"HTTP/1.1 101 ");
    assert!(is_granted || response.is_empty() || response.starts_with(b"HTTP/1.1 4"), "{response:?}");
    assert_eq!(is_granted, matches!(accepted, Some(Ok(_))));
    response.to_vec()
}

fn write(to: &MemoryTransport, bytes: &[u8]) {
    let mut batch = Batch::default();
    batch.push(BytesMut::from(bytes));
    to.try_write(&mut batch).expect("there is room");
}
