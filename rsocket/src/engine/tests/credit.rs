use super::support::*;
use crate::engine::*;
use crate::frame::{Frame, FrameType, MAX_REQUEST_N, flags};
use futures::{StreamExt, stream};

fn items(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.view().kind() == FrameType::Payload && frame.view().has(flags::NEXT)).count()
}

#[tokio::test]
async fn never_more_than_granted() {
    let (mut peer, _server, _) = scripted_client().await;
    peer.send(request(FrameType::RequestStream, 1, 3, "100")).await;
    assert_eq!(items(&peer.settled().await), 3);
    for (n, total) in [(2, 2), (1, 1), (5, 5), (0, 0)] {
        peer.send(Frame::request_n(1, n)).await;
        assert_eq!(items(&peer.settled().await), total);
    }
    for _ in 0..3 {
        peer.send(Frame::request_n(1, MAX_REQUEST_N)).await;
    }
    let rest = peer.settled().await;
    assert_eq!(items(&rest), 100 - 11);
    assert!(rest.last().unwrap().view().has(flags::COMPLETE));
}

#[tokio::test]
async fn a_finished_stream_completes_without_more_credit() {
    let (mut peer, server, _) = scripted_client().await;
    peer.send(request(FrameType::RequestStream, 1, 3, "3")).await;
    let frames = peer.settled().await;
    assert_eq!((items(&frames), frames.len()), (3, 4));
    assert_eq!(server.open_streams(), 0);
}

#[tokio::test]
async fn a_channel_whose_items_have_ended_completes_without_more_credit() {
    let (mut peer, server, _) = scripted_client().await;
    peer.send(request(FrameType::RequestChannel, 1, 3, "echo")).await;
    assert_eq!(items(&peer.settled().await), 1, "the first");
    for n in 0..2 {
        peer.send(item(1, NEXT, &n.to_string())).await;
    }
    assert_eq!(items(&peer.settled().await), 2, "the credit is used");
    peer.send(item(1, flags::COMPLETE, "")).await;
    let frames = peer.settled().await;
    assert!(matches!(&frames[..], [end] if end.view().flags() == flags::COMPLETE), "{frames:?}");
    assert_eq!(server.open_streams(), 0);
}

#[tokio::test]
async fn credit_follows_the_consumer() {
    let (mut peer, client) = scripted_server().await;
    let mut answers = client.request_stream(text("x"), Window { initial: 4, low_water: 2 });
    assert!(futures::poll!(answers.next()).is_pending());
    assert_eq!(peer.expect(FrameType::RequestStream, 1).await.view().request_n(), 4);
    for n in 0..4 {
        peer.send(item(1, NEXT, &n.to_string())).await;
    }
    assert!(peer.settled().await.is_empty(), "nothing was taken");
    answers.next().await.unwrap().unwrap();
    assert!(peer.settled().await.is_empty(), "3 left");
    answers.next().await.unwrap().unwrap();
    assert_eq!(peer.expect(FrameType::RequestN, 1).await.view().request_n(), 2);
}

#[tokio::test]
async fn without_a_window_an_item_is_granted_once_it_is_waited_for() {
    let (mut peer, client) = scripted_server().await;
    let mut answers = client.request_stream(text("x"), Window::new(0));
    assert!(futures::poll!(answers.next()).is_pending());
    assert_eq!(peer.expect(FrameType::RequestStream, 1).await.view().request_n(), 1);
    for n in 0..3 {
        peer.send(item(1, NEXT, &n.to_string())).await;
        assert!(peer.settled().await.is_empty(), "nothing was taken");
        answers.next().await.unwrap().unwrap();
        assert!(peer.settled().await.is_empty(), "nobody waits for the next");
        assert!(futures::poll!(answers.next()).is_pending());
        assert_eq!(peer.expect(FrameType::RequestN, 1).await.view().request_n(), 1);
        assert!(futures::poll!(answers.next()).is_pending());
        assert!(peer.settled().await.is_empty(), "one is on its way");
    }
    // A channel's items are read in the same way.
    let (mut peer, _server, _) = scripted_client_with(Config { prefetch: 0, ..Config::default() }).await;
    peer.send(request(FrameType::RequestChannel, 1, 9, "collect")).await;
    for n in 0..3 {
        assert_eq!(peer.expect(FrameType::RequestN, 1).await.view().request_n(), 1);
        assert!(peer.settled().await.is_empty());
        peer.send(item(1, NEXT, &n.to_string())).await;
    }
}

#[tokio::test]
async fn a_peer_that_overruns_its_credit_loses_that_stream() {
    let (mut peer, client) = scripted_server().await;
    let mut answers = client.request_stream(text("x"), Window::new(2));
    assert!(futures::poll!(answers.next()).is_pending());
    peer.expect(FrameType::RequestStream, 1).await;
    for n in 0..10 {
        peer.send(item(1, NEXT, &n.to_string())).await;
    }
    peer.expect(FrameType::Cancel, 1).await;
    assert!(peer.settled().await.is_empty());
    let all = answers.collect::<Vec<_>>().await;
    assert!(matches!(&all[..], [Ok(_), Ok(_), Err(CallFailure::Stream(_))]), "{all:?}");
    assert!(!client.is_closed());
}

#[tokio::test]
async fn a_requester_that_overruns_its_credit_loses_its_items() {
    let (mut peer, _server, _) = scripted_client_with(Config { prefetch: 2, low_water: 0, ..Config::default() }).await;
    peer.send(request(FrameType::RequestChannel, 1, 9, "collect")).await;
    assert_eq!(peer.expect(FrameType::RequestN, 1).await.view().request_n(), 2);
    let burst: Vec<u8> = (0..5).flat_map(|n| item(1, NEXT, &n.to_string()).wire().to_vec()).collect();
    peer.send_bytes(&burst).await;
    let frames = peer.settled().await;
    assert!(frames.iter().any(|frame| frame.view().kind() == FrameType::Cancel), "{frames:?}");
    let answer = frames.iter().find(|frame| frame.view().kind() == FrameType::Payload).unwrap();
    assert_eq!(answer.view().data(), b"3 items", "two, then the error");
}

#[tokio::test]
async fn a_channel_sends_items_only_as_granted() {
    let (mut peer, client) = scripted_server().await;
    let up = stream::iter((0..10).map(|n| text(n.to_string())));
    let mut answers = client.request_channel(text("x"), up, Window::new(2));
    assert!(futures::poll!(answers.next()).is_pending());
    assert_eq!(peer.expect(FrameType::RequestChannel, 1).await.view().request_n(), 2);
    assert_eq!(peer.settled().await.len(), 0);
    for n in [2, 3, 0] {
        peer.send(Frame::request_n(1, n)).await;
        assert_eq!(items(&peer.settled().await), n as usize);
    }
    peer.send(item(1, LAST, "down is done")).await;
    assert_eq!(answers.next().await.unwrap().unwrap(), text("down is done"));
    assert!(answers.next().await.is_none());
    drop(answers);
    peer.send(Frame::request_n(1, 100)).await;
    let rest = peer.settled().await;
    assert_eq!(items(&rest), 5, "the upper half outlives the lower");
    assert!(rest.last().unwrap().view().has(flags::COMPLETE));
    assert_eq!(client.open_streams(), 0);
}

#[tokio::test]
async fn cancel_of_a_channel_goes_each_way() {
    let (mut peer, client) = scripted_server().await;
    let mut answers = client.request_channel(text("x"), stream::repeat(text("up")), Window::new(2));
    assert!(futures::poll!(answers.next()).is_pending());
    peer.expect(FrameType::RequestChannel, 1).await;
    peer.send(Frame::cancel(1)).await;
    peer.send(Frame::request_n(1, 5)).await;
    assert!(peer.settled().await.is_empty(), "CANCEL stops the items");
    peer.send(item(1, NEXT, "down")).await;
    assert_eq!(answers.next().await.unwrap().unwrap(), text("down"));
    drop(answers);
    let frames = peer.settled().await;
    assert!(frames.iter().any(|frame| frame.view().kind() == FrameType::Cancel), "{frames:?}");
    assert_eq!(client.open_streams(), 0);
}
