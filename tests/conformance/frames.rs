//! What a frame may look like.

use crate::harness::*;
use towline_rsocket::frame::MAX_FRAME;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    an_unknown_frame_closes_unless_it_asks_to_be_ignored,
    a_metadata_length_that_does_not_fit_closes_unless_it_may_be_ignored,
    a_frame_too_short_for_its_type_closes_its_own_connection_alone,
    frames_of_16_mib_less_one_cross_both_ways,
    flag_bits_without_a_meaning_are_not_looked_at,
}

async fn an_unknown_frame_closes_unless_it_asks_to_be_ignored(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let extended = [0, 0, 0, 7, 1, 2, 3];
    for (kind, body) in [(0x2A, &b"body"[..]), (0x2B, b""), (0, b""), (0x3F, &extended)] {
        for stream in [0, 1, 2] {
            client.send_bytes(&raw(stream, kind, flags::IGNORE, body)).await;
        }
        let mut doomed = broker.client().await;
        doomed.send_bytes(&raw(0, kind, 0, body)).await;
        assert_eq!(doomed.expect_end().await.0, 0x101, "{kind:#x}");
    }
    expect_alive(&mut client, &mut server).await;
}

async fn a_metadata_length_that_does_not_fit_closes_unless_it_may_be_ignored(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let bodies =
        [(0x04, &[0xFF, 0xFF, 0xFF, 1, 2][..]), (0x06, &[0, 0, 0, 1, 0, 0, 9, 1]), (0x0A, &[0, 0]), (0x0A, &[0, 0, 1])];
    for (kind, body) in bodies {
        client.send_bytes(&raw(1, kind, flags::IGNORE | flags::METADATA, body)).await;
        let mut doomed = broker.client().await;
        doomed.send_bytes(&raw(1, kind, flags::METADATA, body)).await;
        let (code, text) = doomed.expect_end().await;
        assert!(code == 0x101 && text.contains("metadata length"), "{code:#x} {text}");
    }
    expect_alive(&mut client, &mut server).await;
}

async fn a_frame_too_short_for_its_type_closes_its_own_connection_alone(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for bytes in
        [framed(b""), framed(&[0, 0, 0]), raw(1, 0x06, 0, &[0]), raw(1, 0x08, 0, &[0, 0]), raw(0, 0x03, 0, &[0])]
    {
        let mut doomed = broker.client().await;
        doomed.send_bytes(&bytes).await;
        assert_eq!(doomed.expect_end().await.0, 0x101, "{bytes:?}");
    }
    expect_alive(&mut client, &mut server).await;
}

async fn frames_of_16_mib_less_one_cross_both_ways(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let metadata = route("test.Echo.call");
    let data: Vec<u8> = (0..MAX_FRAME - 6 - 3 - metadata.len()).map(|n| (n % 251) as u8).collect();
    let request = call_with(1, Some(&metadata), &data);
    assert_eq!(request.wire().len(), 3 + 0xFF_FFFF);
    let (sent, arrived) = tokio::join!(client.send(request), server.expect(FrameType::RequestResponse));
    let () = sent;
    assert!(arrived.view().metadata() == Some(&metadata[..]) && arrived.view().data() == data, "it has changed");
    let data: Vec<u8> = (0..MAX_FRAME - 6).map(|n| (n % 241) as u8).collect();
    let (_, arrived) = tokio::join!(server.send(last(2, &data)), client.expect_payload(1));
    assert!(arrived.view().data() == data, "it has changed");
}

async fn flag_bits_without_a_meaning_are_not_looked_at(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = broker.connect().await;
    // The low five bits mean nothing in any type of frame.
    let marked = |mut frame: Frame| {
        frame.bytes_mut()[5] |= 0x1F;
        frame
    };
    client.send(marked(Setup::anonymous().frame())).await;
    client.send(marked(Frame::keepalive(true, b"x"))).await;
    client.expect(FrameType::Keepalive).await;
    client.send(marked(Frame::metadata_push(b"x"))).await;
    client.send(marked(stream(1, 1, "test.Echo.list", b""))).await;
    client.send(marked(Frame::request_n(1, 1))).await;
    server.expect(FrameType::RequestStream).await;
    assert_eq!(server.expect_request_n(2).await, 1);
    for n in 0..2u8 {
        server.send(marked(item(2, &[n]))).await;
        let frame = client.expect_payload(1).await;
        assert!(frame.view().has(flags::NEXT) && !frame.view().has(flags::COMPLETE) && frame.view().data() == [n]);
    }
    client.send(marked(Frame::cancel(1))).await;
    server.expect_cancel(2).await;
    client.send(marked(call(3, "test.Echo.call", b""))).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(marked(error(4, 0x201, "no"))).await;
    assert_eq!(client.expect_error(3).await, (0x201, "no".to_owned()));
}
