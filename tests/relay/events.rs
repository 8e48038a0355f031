//! What an app tells the broker by METADATA_PUSH.

use crate::harness::*;
use towline_rsocket::{Frame, FrameType, flags};

fn status(uuid: &str, status: i32) -> Frame {
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"app://{uuid}","type":"com.alibaba.rsocket.events.AppStatusEvent","data":{{"id":"{uuid}","status":{status}}}}}"#
    );
    Frame::metadata_push(event.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_says_so_gets_no_new_calls_and_finishes_the_old_ones() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let setup = Setup::app("app").service("test.Echo");
    let uuid = uuid("app");
    let mut server = broker.join(setup).await;
    client.send(call(1, "test.Echo.call", b"before")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(status("another-app-of-thirty-two-letters", 2)).await;
    server.expect_nothing().await;
    client.send(call(3, "test.Echo.call", b"still there")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(status(&uuid, 2)).await;
    server.expect_nothing().await;
    client.send(call(5, "test.Echo.call", b"after")).await;
    let (code, text) = client.expect_error(5).await;
    assert!(code == 0x204 && text.starts_with("RST-900404"), "{code:#x} {text}");
    server.send(last(2, b"done")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"done").await;
    server.send(status(&uuid, 1)).await;
    server.expect_nothing().await;
    client.send(call(7, "test.Echo.call", b"back")).await;
    server.expect(FrameType::RequestResponse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pushes_change_nothing() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    for junk in [&b""[..], b"{", b"\xfe\x00\x00\x01x", br#"{"type":"com.alibaba.rsocket.events.AppStatusEvent"}"#] {
        server.send(Frame::metadata_push(junk)).await;
    }
    server.expect_nothing().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
}
