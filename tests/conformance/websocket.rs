//! What WebSocket says beyond frames: continuation, PING, text, too long messages.

use crate::harness::*;
use futures::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as Piece;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use towline_rsocket::frame::{LENGTH, MAX_FRAME};
use towline_rsocket::{FrameType, flags};

over!(web_socket, WebSocket,
    a_message_may_arrive_in_continuation_frames
    a_ping_is_answered_by_a_pong_with_its_data
    a_text_message_harms_its_own_connection_alone
    a_message_longer_than_a_frame_may_be_closes_its_own_connection
    frames_that_share_a_message_are_not_two_frames
);

/// Sends what is no RSocket frame.
async fn send(peer: &mut Peer, message: Message) {
    timeout(SOON, peer.web_socket().send(message)).await.expect("the broker reads it").expect("the connection is open");
}

async fn expect_pong(peer: &mut Peer, data: &[u8]) {
    let next = timeout(SOON, peer.web_socket().next()).await.expect("a PONG did not come");
    let message = next.expect("closed instead of a PONG").expect("a message");
    assert_eq!(message, Message::Pong(data.to_vec().into()));
}

fn piece(data: &[u8], kind: Data, is_last: bool) -> Message {
    Message::Frame(Piece::message(data.to_vec(), OpCode::Data(kind), is_last))
}

async fn a_message_may_arrive_in_continuation_frames(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let request = call(1, "test.Echo.call", b"in pieces");
    let frame = request.view().bytes();
    let (a, rest) = frame.split_at(3);
    let (b, c) = rest.split_at(20);
    send(&mut client, piece(a, Data::Binary, false)).await;
    send(&mut client, piece(b, Data::Continue, false)).await;
    // A PING is allowed between them, and an empty piece.
    send(&mut client, Message::Ping(b"amid".to_vec().into())).await;
    expect_pong(&mut client, b"amid").await;
    send(&mut client, piece(b"", Data::Continue, false)).await;
    send(&mut client, piece(c, Data::Continue, true)).await;
    let arrived = server.expect(FrameType::RequestResponse).await;
    assert_eq!(parts(&arrived), parts(&request));
    server.send(last(2, b"whole")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"whole").await;
}

async fn a_ping_is_answered_by_a_pong_with_its_data(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut stranger = broker.connect().await;
    let mut client = broker.client().await;
    for data in [&b""[..], b"x", &[7; 125]] {
        for peer in [&mut stranger, &mut client] {
            send(peer, Message::Ping(data.to_vec().into())).await;
            expect_pong(peer, data).await;
        }
    }
    send(&mut client, Message::Pong(b"nobody asked".to_vec().into())).await;
    client.expect_nothing().await;
}

async fn a_text_message_harms_its_own_connection_alone(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for mut doomed in [broker.connect().await, broker.client().await] {
        send(&mut doomed, Message::text("text")).await;
        // Whether it is told before is the broker's choice.
        doomed.rest().await;
    }
    expect_alive(&mut client, &mut server).await;
}

async fn a_message_longer_than_a_frame_may_be_closes_its_own_connection(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let long = call(1, "test.Echo.call", &vec![7; MAX_FRAME - 1000]).wire()[LENGTH..].to_vec();
    let pad = vec![7; 2000];
    let mut doomed = broker.client().await;
    // The broker need not read it to its end.
    let _ = timeout(SOON, async {
        doomed.web_socket().send(piece(&long, Data::Binary, false)).await?;
        doomed.web_socket().send(piece(&pad, Data::Continue, true)).await
    })
    .await
    .expect("it is read or the connection is closed");
    doomed.rest().await;
    server.expect_nothing().await;
    expect_alive(&mut client, &mut server).await;
}

async fn frames_that_share_a_message_are_not_two_frames(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let (one, two) = (call(1, "test.Echo.call", b"one"), call(3, "test.Echo.call", b"two"));
    let both = [one.view().bytes(), two.wire()].concat();
    send(&mut client, Message::binary(both)).await;
    let arrived = server.expect(FrameType::RequestResponse).await;
    assert_eq!(arrived.view().data(), [b"one", two.wire()].concat());
    client.fence().await;
    server.expect_nothing().await;
}
