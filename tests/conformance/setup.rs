//! The first frame of a connection.

use crate::harness::*;
use std::time::Duration;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    another_version_is_unsupported,
    any_other_first_frame_is_an_invalid_setup,
    a_setup_that_is_cut_short_is_invalid,
    whoever_sends_no_setup_in_time_is_told_and_closed,
    silent_connections_delay_nobody,
    requests_may_follow_setup_in_the_same_write,
    a_setup_without_times_is_accepted,
    mime_types_mean_nothing_to_the_protocol,
}

async fn another_version_is_unsupported(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    for (major, minor) in [(9u16, 9u16), (0, 2), (2, 0)] {
        let bytes = patched_setup(|frame| {
            frame[6..8].copy_from_slice(&major.to_be_bytes());
            frame[8..10].copy_from_slice(&minor.to_be_bytes());
        });
        let (code, text) = broker.refusal(&bytes).await;
        assert!(code == 2 && text.contains(&format!("{major}.{minor}")), "{code:#x} {text}");
    }
}

async fn any_other_first_frame_is_an_invalid_setup(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let frames = [
        call(1, "test.Echo.call", b""),
        Frame::keepalive(true, b"x"),
        item(1, b""),
        Frame::cancel(1),
        error(0, 0x101, "x"),
    ];
    for frame in frames {
        let (code, text) = broker.refusal(frame.wire()).await;
        assert!(code == 1 && text.contains("SETUP"), "{frame:?}: {code:#x} {text}");
    }
    for frame in [&[0, 0, 0, 0, 0x2A << 2, 0][..], &[0, 0, 0], &[], &[0, 0, 0, 0, 0x2A << 2 | 2, 0]] {
        assert_eq!(broker.refusal(&framed(frame)).await.0, 1, "{frame:?}");
    }
    let on_stream_1 = patched_setup(|frame| frame[3] = 1);
    let (code, text) = broker.refusal(&on_stream_1).await;
    assert!(code == 1 && text.contains("stream 0"), "{code:#x} {text}");
}

async fn a_setup_that_is_cut_short_is_invalid(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let whole = Setup::app("app").frame().view().bytes().to_vec();
    for len in [8, 14, 19, 30, 58, 76, 80] {
        assert_eq!(broker.refusal(&framed(&whole[..len])).await.0, 1, "cut at {len}");
    }
    let overrun = patched_setup(|frame| frame[18] = 255);
    assert_eq!(broker.refusal(&overrun).await.0, 1);
}

async fn whoever_sends_no_setup_in_time_is_told_and_closed(carrier: Carrier) {
    let broker = Broker::on_with(carrier, |config| config.listen.setup_timeout = Duration::from_millis(100)).await;
    let (code, text) = broker.connect().await.expect_end().await;
    assert!(code == 1 && text.contains("in time"), "{code:#x} {text}");
}

async fn silent_connections_delay_nobody(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(broker.connect().await);
    }
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
}

async fn requests_may_follow_setup_in_the_same_write(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = broker.connect().await;
    client.send_all([Setup::anonymous().frame(), call(1, "test.Echo.call", b"right behind")]).await;
    assert_eq!(server.expect(FrameType::RequestResponse).await.view().data(), b"right behind");
    server.send(last(2, b"answered")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"answered").await;
}

async fn a_setup_without_times_is_accepted(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.join(Setup::anonymous().times(0, 0)).await;
    let mut server = broker.join(Setup::anonymous().times(0, 0).service("test.Echo")).await;
    expect_alive(&mut client, &mut server).await;
}

async fn mime_types_mean_nothing_to_the_protocol(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    for mime in ["", "no/such-type", "not a type at all", "\u{fc}\0"] {
        let mut client = broker.join(Setup::anonymous().metadata_mime(mime)).await;
        client.send(Frame::keepalive(true, b"alive")).await;
        assert_eq!(client.expect(FrameType::Keepalive).await.view().data(), b"alive");
    }
    // The data MIME type stands last before the metadata: "application/json", then as long a text of no meaning.
    let setup = patched_setup(|frame| {
        let at = frame.windows(16).position(|bytes| bytes == b"application/json").expect("it is there");
        frame[at..at + 16].copy_from_slice(&[0xFF; 16]);
    });
    let mut server = broker.serve("test.Echo").await;
    let mut client = broker.connect().await;
    client.send_bytes(&setup).await;
    expect_alive(&mut client, &mut server).await;
}
