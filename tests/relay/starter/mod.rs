//! What the Java starters ask of their broker, and what the broker asks of them.

mod definitions;
mod discovery;
mod health;
mod notify;

use crate::harness::*;
use serde_json::Value;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime, routing};
use towline_rsocket::{FrameType, StreamId, flags};

const HESSIAN: &str = "application/x-hessian";

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// Request metadata of a method, its data of this type.
fn asking(method: &str, mime: Mime<'_>) -> Vec<u8> {
    let tags = routing::write_tags([method]).expect("a short tag");
    CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime).finish().to_vec()
}

/// Metadata and data of the answer.
async fn answer(client: &mut Peer, metadata: &[u8], data: &[u8]) -> (Vec<u8>, Vec<u8>) {
    client.send(call_with(1, Some(metadata), data)).await;
    let frame = client.expect_payload(1).await;
    assert_eq!(frame.view().flags() & !flags::METADATA, flags::NEXT | flags::COMPLETE);
    let (metadata, data) = parts(&frame);
    (metadata.unwrap_or_default(), data)
}

/// The answer to a call in JSON, of an app whose data is JSON.
async fn json(client: &mut Peer, method: &str, arguments: &Value) -> Value {
    let (metadata, data) = answer(client, &asking(method, mime::JSON), arguments.to_string().as_bytes()).await;
    assert_eq!(metadata, hex("fa00000185"));
    serde_json::from_slice(&data).expect("JSON")
}

/// A call in JSON, to be answered by the test's own eyes.
async fn ask(client: &mut Peer, stream: StreamId, method: &str, arguments: &Value) {
    client.send(call_with(stream, Some(&asking(method, mime::JSON)), arguments.to_string().as_bytes())).await;
}

/// The ERROR that a call in JSON gets.
async fn refused(client: &mut Peer, method: &str, arguments: &Value) -> (u32, String) {
    ask(client, 1, method, arguments).await;
    client.expect_error(1).await
}

/// COMPLETE and no value: what Java makes of a `Mono<Void>`.
async fn expect_done(client: &mut Peer, stream: StreamId) {
    let frame = client.expect_payload(stream).await;
    assert_eq!((frame.view().flags(), frame.view().data()), (flags::COMPLETE, &b""[..]), "{frame:?}");
}

/// Texts as a starter sends them: an array in Hessian.
fn hessian(texts: &[&str]) -> Vec<u8> {
    let mut data = [&[0x70 + texts.len() as u8, 7][..], b"[object"].concat();
    for text in texts {
        assert!(text.is_ascii() && text.len() < 0x400, "the short forms");
        match text.len() {
            len @ 0..0x20 => data.push(len as u8),
            len => data.extend([0x30 | (len >> 8) as u8, len as u8]),
        }
        data.extend_from_slice(text.as_bytes());
    }
    data
}
