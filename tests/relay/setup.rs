//! SETUP: what is accepted, and how a connection is refused.

use crate::harness::*;
use serde_json::json;
use std::time::Duration;
use towline_rsocket::metadata::{CompositeBuilder, mime};
use towline_rsocket::{Frame, FrameType, flags};

/// What the broker says to these first bytes, before it closes the connection.
async fn refused(broker: &Broker, bytes: &[u8]) -> (u32, String) {
    let mut peer = broker.connect().await;
    peer.send_bytes(bytes).await;
    peer.expect_end().await
}

/// SETUP with these flag bits and bytes after its fixed fields replaced.
fn patched(patch: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Setup::anonymous().frame().view().bytes().to_vec();
    patch(&mut frame);
    framed(&frame)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_unsupported() {
    let broker = Broker::start().await;
    for (major, minor) in [(9u16, 9u16), (0, 2), (2, 0)] {
        let bytes = patched(|frame| {
            frame[6..8].copy_from_slice(&major.to_be_bytes());
            frame[8..10].copy_from_slice(&minor.to_be_bytes());
        });
        let (code, text) = refused(&broker, &bytes).await;
        assert!(code == 2 && text.contains(&format!("{major}.{minor}")), "{code:#x} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumption_is_refused_by_name() {
    let broker = Broker::start().await;
    let resume = patched(|frame| {
        frame[5] |= flags::RESUME as u8;
        frame.splice(18..18, [0, 3, 1, 2, 3]);
    });
    let (code, text) = refused(&broker, &resume).await;
    assert!(code == 3 && text.contains("resum"), "{code:#x} {text}");
    let first = [&[0, 0, 0, 0, 0x0D << 2, 0, 0, 1, 0, 0, 0, 2, 9, 9][..], &[0; 16]].concat();
    let (code, text) = refused(&broker, &framed(&first)).await;
    assert!(code == 4 && text.contains("SETUP"), "{code:#x} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_first_frame_is_an_invalid_setup() {
    let broker = Broker::start().await;
    let frames = [
        call(1, "test.Echo.call", b""),
        Frame::keepalive(true, b"x"),
        item(1, b""),
        Frame::cancel(1),
        error(0, 0x101, "x"),
    ];
    for frame in frames {
        let (code, text) = refused(&broker, frame.wire()).await;
        assert!(code == 1 && text.contains("SETUP"), "{frame:?}: {code:#x} {text}");
    }
    for frame in [&[0, 0, 0, 0, 0x2A << 2, 0][..], &[0, 0, 0], &[], &[0, 0, 0, 0, 0x2A << 2 | 2, 0]] {
        assert_eq!(refused(&broker, &framed(frame)).await.0, 1, "{frame:?}");
    }
    let on_stream_1 = patched(|frame| frame[3] = 1);
    let (code, text) = refused(&broker, &on_stream_1).await;
    assert!(code == 1 && text.contains("stream 0"), "{code:#x} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_is_cut_short_is_invalid() {
    let broker = Broker::start().await;
    let whole = Setup::app("app").frame().view().bytes().to_vec();
    for len in [8, 14, 19, 30, 58, 76, 80] {
        assert_eq!(refused(&broker, &framed(&whole[..len])).await.0, 1, "cut at {len}");
    }
    let overrun = patched(|frame| frame[18] = 255);
    assert_eq!(refused(&broker, &overrun).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_over_64_kib_is_refused_by_its_length_field() {
    let broker = Broker::start().await;
    let (code, text) = refused(&broker, &[1, 0, 1, 0, 0, 0, 0, 5]).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_no_setup_in_time_is_told_and_closed() {
    let broker = Broker::with(|config| config.listen.setup_timeout = Duration::from_millis(100)).await;
    let mut peers = [broker.connect().await, broker.connect().await];
    peers[1].send_bytes(&Setup::anonymous().frame().wire()[..20]).await;
    for peer in &mut peers {
        let (code, text) = peer.expect_end().await;
        assert!(code == 1 && text.contains("in time"), "{code:#x} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_closed_without_an_answer() {
    let broker = Broker::start().await;
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]] {
        let mut peer = broker.connect().await;
        peer.send_bytes(bytes).await;
        peer.expect_closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uuid_has_32_to_128_characters() {
    let broker = Broker::start().await;
    for len in [1, 31, 129] {
        let (code, text) = refused(&broker, Setup::app("app").uuid(&"u".repeat(len)).frame().wire()).await;
        assert!(code == 3 && text.starts_with("RST-500410: ") && text.contains(&len.to_string()), "{code:#x} {text}");
    }
    for len in [0, 32, 128] {
        broker.join(Setup::app("app").uuid(&"u".repeat(len))).await.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_no_json_is_rejected() {
    let broker = Broker::start().await;
    let good = json!({"uuid": uuid("app")}).to_string();
    for (app, registry) in [("{", "{}"), ("3", "{}"), (&good, "nothing"), (&good, r#"{"published":[{"version":"1"}]}"#)]
    {
        let entries = CompositeBuilder::new().entry(mime::APPLICATION, app.as_bytes());
        let metadata = entries.entry(mime::SERVICE_REGISTRY, registry.as_bytes()).finish();
        let (code, text) = refused(&broker, Setup::anonymous().frame_with(&metadata).wire()).await;
        assert!(code == 3 && text.starts_with("RST-"), "{app} {registry}: {code:#x} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_stay_anonymous_unless_that_is_configured() {
    let broker = Broker::with(|config| config.relay.strict_setup = true).await;
    let (code, text) = refused(&broker, Setup::anonymous().frame().wire()).await;
    assert!(code == 3 && text.starts_with("RST-500411"), "{code:#x} {text}");
    broker.join(Setup::app("app")).await.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_may_arrive_byte_by_byte_and_requests_right_behind_it() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = broker.connect().await;
    for byte in Setup::anonymous().frame().wire() {
        client.send_bytes(&[*byte]).await;
    }
    let mut other = broker.connect().await;
    other.send_all([Setup::anonymous().frame(), call(1, "test.Echo.call", b"right behind")]).await;
    for (peer, data) in [(&mut other, &b"right behind"[..]), (&mut client, b"later")] {
        if data == b"later" {
            peer.send(call(1, "test.Echo.call", data)).await;
        }
        let request = server.expect(FrameType::RequestResponse).await;
        assert_eq!(request.view().data(), data);
        server.send(last(request.view().stream_id(), data)).await;
        peer.expect_item(1, flags::NEXT | flags::COMPLETE, data).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_delay_nobody() {
    let broker = Broker::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(broker.connect().await);
    }
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
}
