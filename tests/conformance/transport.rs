//! Byte streams: lengths, and frames cut anywhere.

use crate::harness::*;
use std::time::Duration;
use towline_rsocket::metadata::{CompositeBuilder, mime};
use towline_rsocket::{FrameType, flags};

over_streams! {
    a_frame_cut_anywhere_is_put_together_again,
    a_setup_over_64_kib_is_refused_by_its_length_field,
    a_frame_over_the_configured_length_closes_its_own_connection,
    setup_may_arrive_byte_by_byte,
    a_setup_that_is_not_whole_in_time_is_told_and_closed,
    garbage_and_cut_frames_harm_their_own_connection_alone,
    a_long_frame_that_was_only_begun_takes_no_memory_and_holds_back_nobody,
}

async fn a_frame_cut_anywhere_is_put_together_again(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let request = call(1, "test.Echo.call", b"in pieces");
    for at in 1..request.wire().len() {
        let (a, b) = request.wire().split_at(at);
        client.send_bytes(a).await;
        client.send_bytes(b).await;
        let arrived = server.expect(FrameType::RequestResponse).await;
        assert_eq!(arrived.view().data(), b"in pieces", "cut at {at}");
        server.send(last(arrived.view().stream_id(), b"")).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    }
}

async fn a_setup_over_64_kib_is_refused_by_its_length_field(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (code, text) = broker.refusal(&[1, 0, 1, 0, 0, 0, 0, 5]).await;
    assert!(code == 1 && text.contains("longer"), "{code:#x} {text}");
    // At the limit it is accepted.
    let setup = Setup::anonymous();
    let short = setup.frame_with(b"").view().bytes().len();
    let entry = CompositeBuilder::new().entry(mime::TRACING, &vec![0; 64 * 1024 - short - 4]).finish();
    let frame = setup.frame_with(&entry);
    assert_eq!(frame.view().bytes().len(), 64 * 1024);
    let mut peer = broker.connect().await;
    peer.send(frame).await;
    peer.expect_nothing().await;
}

async fn a_frame_over_the_configured_length_closes_its_own_connection(carrier: Carrier) {
    let broker = Broker::on_with(carrier, |config| config.relay.max_frame = 100_000).await;
    let (mut client, mut server) = broker.pair().await;
    let mut large = broker.client().await;
    large.send_bytes(&[1, 0x86, 0xA1, 0, 0, 0, 1]).await;
    let (code, text) = large.expect_end().await;
    assert!(code == 0x101 && text.contains("100001") && text.contains("100000"), "{code:#x} {text}");
    client.send(call(1, "test.Echo.call", &[7; 50_000])).await;
    assert_eq!(server.expect(FrameType::RequestResponse).await.view().data(), [7; 50_000]);
}

async fn setup_may_arrive_byte_by_byte(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = broker.connect().await;
    for byte in Setup::anonymous().frame().wire() {
        client.send_bytes(&[*byte]).await;
    }
    expect_alive(&mut client, &mut server).await;
}

async fn a_setup_that_is_not_whole_in_time_is_told_and_closed(carrier: Carrier) {
    let broker = Broker::on_with(carrier, |config| config.listen.setup_timeout = Duration::from_millis(100)).await;
    let (code, text) = broker.refusal(&Setup::anonymous().frame().wire()[..20]).await;
    assert!(code == 1 && text.contains("in time"), "{code:#x} {text}");
}

async fn garbage_and_cut_frames_harm_their_own_connection_alone(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let request = call(1, "test.Echo.call", b"cut");
    for bytes in [&[0xA5; 50_000][..], &[0; 50_000], &request.wire()[..request.wire().len() - 1], &[0, 0]] {
        let mut doomed = broker.client().await;
        doomed.try_send_bytes(bytes).await;
        drop(doomed);
        let mut stranger = broker.connect().await;
        stranger.try_send_bytes(bytes).await;
        drop(stranger);
    }
    expect_alive(&mut client, &mut server).await;
    let mut fresh = broker.client().await;
    expect_alive(&mut fresh, &mut server).await;
}

async fn a_long_frame_that_was_only_begun_takes_no_memory_and_holds_back_nobody(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let mut begun = Vec::new();
    for _ in 0..20 {
        let mut peer = broker.client().await;
        peer.send_bytes(&[0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0x04 << 2, 0, 7]).await;
        begun.push(peer);
    }
    expect_alive(&mut client, &mut server).await;
    let used = broker.meter("towline_budget_used_bytes");
    assert!(used < 20.0 * 256.0 * 1024.0, "{used} bytes for ten each");
}
