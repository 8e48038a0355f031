use super::support::*;
use crate::engine::*;
use crate::frame::{Frame, FrameType, PayloadParts, flags};
use crate::transport::Transport;
use futures::StreamExt;

async fn twenty_mib_go_both_ways(a: impl Transport, b: impl Transport) {
    let Pair { client, server, .. } = pair_over(a, b, Config::default()).await;
    let big: Vec<u8> = (0..20 << 20).map(|at: u32| (at >> 7) as u8).collect();
    for caller in [client, server] {
        let request = Payload::new("meta", big.clone());
        assert!(caller.request_response(request.clone()).await.unwrap() == Some(request));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_mib_go_both_ways_over_tcp() {
    let (a, b) = tcp().await;
    twenty_mib_go_both_ways(a, b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_mib_go_both_ways_over_tls() {
    let (a, b) = tls().await;
    twenty_mib_go_both_ways(a, b).await;
}

#[tokio::test]
async fn small_fragments_go_both_ways() {
    let (a, b) = crate::transport::memory_pair("test");
    let Pair { client, .. } = pair_over(a, b, Config { max_frame: 64, ..Config::default() }).await;
    for len in [1, 40, 64, 100, 5_000] {
        let request = Payload::new(vec![b'm'; len], vec![b'd'; len + 100]);
        assert_eq!(client.request_response(request.clone()).await.unwrap(), Some(request.clone()));
        let up = futures::stream::iter([request.clone(), request.clone()]);
        let items = client.request_channel(request.clone(), up, Window::new(1)).map(Result::unwrap);
        assert_eq!(items.collect::<Vec<_>>().await, vec![request.clone(), request.clone(), request]);
    }
}

fn piece(stream: u32, bits: u16, len: usize) -> Frame {
    Frame::payload(stream, bits, PayloadParts { metadata: None, data: &vec![b'x'; len] })
}

#[tokio::test]
async fn endless_fragments_are_bounded() {
    let config = Config { max_payload: 10_000, max_unfinished: 30_000, ..Config::default() };
    let (mut peer, server, _) = scripted_client_with(config.clone()).await;
    let start = Frame::request(FrameType::RequestResponse, 1, flags::FOLLOWS, 0, PayloadParts::default());
    peer.send(start).await;
    for _ in 0..30 {
        peer.send(piece(1, flags::NEXT | flags::FOLLOWS, 1_000)).await;
    }
    peer.expect(FrameType::Error, 1).await;
    assert!(peer.settled().await.is_empty());
    peer.send(request(FrameType::RequestResponse, 3, 0, "fine")).await;
    peer.expect(FrameType::Payload, 3).await;
    assert!(!server.is_closed());

    let (mut peer, client) = scripted_server_with(config).await;
    let mut call = Box::pin(client.request_response(text("z")));
    assert!(futures::poll!(&mut call).is_pending());
    peer.expect(FrameType::RequestResponse, 1).await;
    for _ in 0..30 {
        peer.send(piece(1, flags::NEXT | flags::FOLLOWS, 1_000)).await;
    }
    peer.expect(FrameType::Cancel, 1).await;
    assert!(matches!(call.await, Err(CallFailure::Stream(_))));
}

#[tokio::test]
async fn a_fragmented_item_costs_one_credit_and_a_cancelled_one_is_forgotten() {
    let config = Config { max_payload: 10_000, max_unfinished: 3_000, ..Config::default() };
    let (mut peer, client) = scripted_server_with(config).await;
    for stream in 0..5 {
        let stream = 2 * stream + 1;
        let mut items = client.request_stream(text("x"), Window::new(1));
        assert!(futures::poll!(items.next()).is_pending());
        peer.expect(FrameType::RequestStream, stream).await;
        for _ in 0..2 {
            peer.send(piece(stream, flags::NEXT | flags::FOLLOWS, 600)).await;
        }
        peer.send(piece(stream, flags::NEXT, 600)).await;
        assert_eq!(items.next().await.unwrap().unwrap().data.len(), 1_800);
        peer.expect(FrameType::RequestN, stream).await;
        peer.send(piece(stream, flags::NEXT | flags::FOLLOWS, 1_500)).await;
        peer.settled().await;
        drop(items);
        peer.expect(FrameType::Cancel, stream).await;
    }
}

#[tokio::test]
async fn cancel_ends_a_fragmented_request() {
    let (mut peer, _server, notes) = scripted_client().await;
    peer.send(Frame::request(FrameType::RequestResponse, 1, flags::FOLLOWS, 0, PayloadParts::default())).await;
    peer.send(Frame::cancel(1)).await;
    peer.send(piece(1, flags::NEXT, 9)).await;
    assert!(peer.settled().await.is_empty());
    assert!(notes.seen.lock().is_empty());
}
