//! KEEPALIVE, and connections that fall silent.

use crate::harness::*;
use std::time::Duration;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    a_keepalive_is_echoed_with_its_data,
    echoes_come_in_order_and_only_if_they_were_asked_for,
    a_burst_of_keepalives_is_answered_in_order_up_to_the_newest,
    a_silent_peer_is_closed_after_its_lifetime_and_an_active_one_is_not,
    the_streams_of_a_silent_responder_end_when_it_is_closed,
    a_peer_is_probed_as_often_as_its_setup_says,
}

/// A broker that looks after its connections soon.
async fn soon(carrier: Carrier) -> Broker {
    Broker::on_with(carrier, |config| {
        config.keepalive.interval = Duration::from_millis(300);
        config.keepalive.busy_interval = Duration::from_millis(300);
        config.keepalive.suspect_after = Duration::from_millis(300);
    })
    .await
}

async fn a_keepalive_is_echoed_with_its_data(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    for len in [0, 1, 2048, 2049, 100_000] {
        let data: Vec<u8> = (0..len).map(|n| (n % 256) as u8).collect();
        client.send(Frame::keepalive(true, &data)).await;
        let echo = client.expect(FrameType::Keepalive).await;
        assert!(!echo.view().has(flags::RESPOND) && echo.view().data() == data, "{len}");
        assert_eq!(echo.view().bytes()[6..14], [0; 8], "the last received position, which is 0 without resumption");
    }
}

async fn echoes_come_in_order_and_only_if_they_were_asked_for(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    for n in 0..500u32 {
        client.send_all([Frame::keepalive(false, b"no"), Frame::keepalive(true, &n.to_be_bytes())]).await;
        assert_eq!(client.expect(FrameType::Keepalive).await.view().data(), n.to_be_bytes());
    }
    client.send(Frame::keepalive(false, b"no")).await;
    client.expect_nothing().await;
}

async fn a_burst_of_keepalives_is_answered_in_order_up_to_the_newest(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    client.send_all((0..200u32).map(|n| Frame::keepalive(true, &n.to_be_bytes()))).await;
    let mut before = None;
    while before != Some(199) {
        let echo = client.expect(FrameType::Keepalive).await;
        let n = u32::from_be_bytes(echo.view().data().try_into().expect("4 bytes"));
        assert!(before < Some(n), "{n} after {before:?}");
        before = Some(n);
    }
}

async fn a_silent_peer_is_closed_after_its_lifetime_and_an_active_one_is_not(carrier: Carrier) {
    let broker = soon(carrier).await;
    let mut active = broker.join(Setup::anonymous().times(100, 600)).await;
    let mut other = broker.client().await;
    for _ in 0..2 {
        let mut silent = broker.join(Setup::anonymous().times(100, 600)).await;
        silent.is_answering = false;
        let ending = async {
            loop {
                let frame = silent.awaiting("the end of a silent connection").await;
                match frame.view().kind() {
                    FrameType::Keepalive => assert!(frame.view().has(flags::RESPOND)),
                    kind => {
                        assert_eq!((kind, frame.view().stream_id()), (FrameType::Error, 0));
                        assert_eq!(frame.view().error_code(), 0x101);
                        break silent.expect_closed().await;
                    }
                }
            }
        };
        tokio::select! {
            () = ending => {}
            frame = active.recv() => panic!("{frame:?} for one that answers"),
            frame = other.next() => panic!("{frame:?} for one with 90 s"),
        }
    }
    active.expect_nothing().await;
    other.expect_nothing().await;
}

async fn the_streams_of_a_silent_responder_end_when_it_is_closed(carrier: Carrier) {
    let broker = soon(carrier).await;
    let mut client = broker.client().await;
    let mut server = broker.join(Setup::anonymous().times(100, 600).service("test.Echo")).await;
    server.is_answering = false;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    assert_eq!(client.expect_error(1).await.0, 0x203);
}

async fn a_peer_is_probed_as_often_as_its_setup_says(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.join(Setup::anonymous().times(100, 90_000)).await;
    client.is_answering = false;
    for _ in 0..2 {
        let probe = client.expect(FrameType::Keepalive).await;
        assert!(probe.view().has(flags::RESPOND));
        client.send(Frame::keepalive(false, probe.view().data())).await;
    }
}
