//! Error codes.

use crate::harness::*;
use towline_rsocket::{FrameType, flags};

over_all! {
    errors_are_relayed_with_their_code_and_text,
    a_client_that_says_close_finishes_its_streams_and_is_called_no_more,
    an_app_that_says_connection_error_is_gone_at_once,
    a_reserved_code_ends_its_stream_alone,
    the_broker_sends_codes_of_the_connection_on_stream_0_alone,
    an_error_text_need_not_be_utf_8_and_crosses_as_it_is,
}

async fn errors_are_relayed_with_their_code_and_text(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let typed = r#"{"code":"unknown-topic","message":"ähm"}"#;
    for (nth, code) in [0x201, 0x202, 0x203, 0x204, 0x301, 0xABCD_EF01, 0xFFFF_FFFE].into_iter().enumerate() {
        let (answered, streamed) = (1 + 4 * nth as u32, 3 + 4 * nth as u32);
        client.send_all([call(answered, "test.Echo.call", b""), stream(streamed, 5, "test.Echo.list", b"")]).await;
        for (stream_id, text) in [(answered, typed), (streamed, "")] {
            let id = server.recv().await.view().stream_id();
            if stream_id == streamed {
                server.send(item(id, b"first")).await;
                client.expect_item(stream_id, flags::NEXT, b"first").await;
            }
            server.send(error(id, code, text)).await;
            assert_eq!(client.expect_error(stream_id).await, (code, text.to_owned()));
            server.send(item(id, b"late")).await;
        }
    }
    server.fence().await;
    client.expect_nothing().await;
}

async fn a_client_that_says_close_finishes_its_streams_and_is_called_no_more(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(error(0, 0x102, "going")).await;
    server.fence().await;
    client.send(call(3, "test.Echo.call", b"")).await;
    assert!(client.expect_error(3).await.1.starts_with("RST-900404"));
    server.send(last(2, b"still answered")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"still answered").await;
}

async fn an_app_that_says_connection_error_is_gone_at_once(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(error(0, 0x101, "Disposed")).await;
    assert_eq!(client.expect_error(1).await.0, 0x203);
    server.rest().await;
}

async fn a_reserved_code_ends_its_stream_alone(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for (nth, code) in [0, 0xFFFF_FFFF].into_iter().enumerate() {
        let id = 1 + 2 * nth as u32;
        client.send(call(id, "test.Echo.call", b"")).await;
        let stream = server.expect(FrameType::RequestResponse).await.view().stream_id();
        server.send(error(stream, code, "reserved")).await;
        assert_eq!(client.expect_error(id).await.1, "reserved");
    }
    expect_alive(&mut client, &mut server).await;
}

async fn the_broker_sends_codes_of_the_connection_on_stream_0_alone(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    client.send(call(1, "test.Nobody.call", b"")).await;
    assert_eq!(client.expect_error(1).await.0, 0x204);
    client.send_bytes(&raw(0, 0x2A, 0, b"")).await;
    assert_eq!(client.expect_end().await.0, 0x101);
}

async fn an_error_text_need_not_be_utf_8_and_crosses_as_it_is(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for text in [&b"\xff\xfe"[..], b"ends in zero\0", "\u{e4}hm".as_bytes(), b""] {
        client.send(call(1, "test.Echo.call", b"")).await;
        let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
        server.send_bytes(&raw(id, 0x0B, 0, &[&0x201u32.to_be_bytes()[..], text].concat())).await;
        let frame = client.expect(FrameType::Error).await;
        assert_eq!((frame.view().error_code(), frame.view().data()), (0x201, text));
    }
}
