//! Calls and responders, in few words; some run by themselves until their connection ends.

use super::{Peer, call, call_with, item, last};
use std::collections::HashMap;
use tokio::task::JoinHandle;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, flags};

/// Answers every call with its own metadata and data; says how many there were.
pub(crate) fn echo(mut peer: Peer) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut calls = 0;
        while let Some(frame) = peer.next().await {
            let view = frame.view();
            if view.kind() == FrameType::RequestResponse {
                calls += 1;
                let answer = PayloadParts { metadata: view.metadata(), data: view.data() };
                let answer = Frame::payload(view.stream_id(), flags::NEXT | flags::COMPLETE, answer);
                if !peer.try_send_bytes(answer.wire()).await {
                    break;
                }
            }
        }
        calls
    })
}

/// A call of this requester reaches this responder and its answer comes back, on streams nobody else uses.
pub(crate) async fn expect_alive(client: &mut Peer, server: &mut Peer) {
    client.send(call(99, "test.Echo.call", b"alive")).await;
    let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
    server.send(last(id, b"alive")).await;
    client.expect_item(99, flags::NEXT | flags::COMPLETE, b"alive").await;
}

/// The ERROR that a call with this metadata gets.
pub(crate) async fn refusal(client: &mut Peer, metadata: Option<&[u8]>) -> (u32, String) {
    client.send(call_with(1, metadata, b"")).await;
    client.expect_error(1).await
}

/// The one of these peers that gets the next call on a fresh stream; it answers.
pub(crate) async fn serves(client: &mut Peer, peers: &mut [Peer]) -> usize {
    client.send(call(1, "test.Echo.call", b"who")).await;
    let (frame, at) = {
        let waits = peers.iter_mut().map(|peer| Box::pin(peer.expect(FrameType::RequestResponse)));
        let (frame, at, _) = futures::future::select_all(waits).await;
        (frame, at)
    };
    peers[at].send(last(frame.view().stream_id(), b"me")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"me").await;
    at
}

/// What an obedient producer was asked for.
#[derive(Debug, Default)]
struct Credit {
    granted: u64,
    sent: u64,
}

/// Sends items of this size to every stream as long as there is credit, and completes a stream after as many items as
/// its request's data says (big-endian u64); says how much credit each stream got.
pub(crate) fn produce(mut peer: Peer, size: usize) -> JoinHandle<Vec<u64>> {
    tokio::spawn(async move {
        let mut streams: HashMap<u32, (Credit, u64)> = HashMap::new();
        let mut ended = Vec::new();
        while let Some(frame) = peer.next().await {
            let view = frame.view();
            let stream = view.stream_id();
            match view.kind() {
                FrameType::RequestStream => {
                    let total = view.data().try_into().map_or(u64::MAX, u64::from_be_bytes);
                    streams.insert(stream, (Credit { granted: view.request_n().into(), sent: 0 }, total));
                }
                FrameType::RequestN => {
                    if let Some((credit, _)) = streams.get_mut(&stream) {
                        credit.granted += u64::from(view.request_n());
                    }
                }
                FrameType::Cancel => {
                    ended.extend(streams.remove(&stream).map(|(credit, _)| credit.granted));
                }
                _ => {}
            }
            let Some((credit, total)) = streams.get_mut(&stream) else { continue };
            let mut bytes = Vec::new();
            while credit.sent < credit.granted.min(*total) {
                let mut data = vec![0; size];
                data[..8].copy_from_slice(&credit.sent.to_be_bytes());
                credit.sent += 1;
                let frame = if credit.sent == *total { last(stream, &data) } else { item(stream, &data) };
                bytes.extend_from_slice(frame.wire());
            }
            if credit.sent == *total {
                ended.extend(streams.remove(&stream).map(|(credit, _)| credit.granted));
            }
            if !bytes.is_empty() && !peer.try_send_bytes(&bytes).await {
                break;
            }
        }
        ended.extend(streams.into_values().map(|(credit, _)| credit.granted));
        ended
    })
}

/// What becomes of a call of this service: served here, or the refusal's code and text.
pub(crate) async fn outcome(client: &mut Peer, server: &mut Peer, service: &str) -> Result<(), (u32, String)> {
    client.send(call(1, &format!("{service}.call"), b"")).await;
    tokio::select! {
        request = server.expect(FrameType::RequestResponse) => {
            server.send(last(request.view().stream_id(), b"")).await;
            client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
            Ok(())
        }
        refusal = client.expect_error(1) => Err(refusal),
    }
}
