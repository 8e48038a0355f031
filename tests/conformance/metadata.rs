//! Composite metadata and METADATA_PUSH.

use crate::harness::*;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime};
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    a_routing_entry_counts_by_id_or_by_name_and_a_malformed_tail_is_no_matter,
    other_pushes_change_nothing,
    a_metadata_push_has_no_length_before_its_metadata,
    tags_that_mean_nothing_are_passed_over,
    malformed_metadata_is_the_fault_of_its_stream_alone,
    authentication_entries_are_read_over_and_those_of_requests_cross,
}

async fn a_routing_entry_counts_by_id_or_by_name_and_a_malformed_tail_is_no_matter(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let name = b"message/x.rsocket.routing.v0";
    let mut by_name = vec![name.len() as u8 - 1];
    by_name.extend_from_slice(name);
    by_name.extend_from_slice(b"\0\0\x0f\x0etest.Echo.call\xfa\0\0\x01\x85");
    let mut with_tail = route("test.Echo.call");
    with_tail.extend_from_slice(&[0x20, 1, 2, 3]);
    for metadata in [by_name, with_tail] {
        client.send(call_with(1, Some(&metadata), b"")).await;
        let request = server.expect(FrameType::RequestResponse).await;
        assert_eq!(request.view().metadata(), Some(&metadata[..]));
        server.send(last(request.view().stream_id(), b"")).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    }
    let unknown = CompositeBuilder::new().entry(Mime::named("message/x.other"), b"\x0etest.Echo.call").finish();
    assert!(refusal(&mut client, Some(&unknown)).await.1.starts_with("RST-600404"));
}

async fn other_pushes_change_nothing(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for junk in [&b""[..], b"{", b"\xfe\x00\x00\x01x", br#"{"type":"com.alibaba.rsocket.events.AppStatusEvent"}"#] {
        server.send(Frame::metadata_push(junk)).await;
    }
    server.expect_nothing().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
}

async fn a_metadata_push_has_no_length_before_its_metadata(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut server = broker.join(Setup::app("app").service("test.Echo")).await;
    expect_alive(&mut client, &mut server).await;
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"app://{0}","type":"com.alibaba.rsocket.events.AppStatusEvent","data":{{"id":"{0}","status":2}}}}"#,
        uuid("app")
    );
    server.send_bytes(&raw(0, 0x0C, flags::METADATA, event.as_bytes())).await;
    server.expect_nothing().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    assert!(client.expect_error(1).await.1.starts_with("RST-900404"), "the event was understood");
}

async fn tags_that_mean_nothing_are_passed_over(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let long = "x".repeat(255);
    for more in [&[][..], &["", &long], &["=", "e", "unknown=1", "\u{fc}"]] {
        let metadata = tags(&[&["test.Echo.call"], more].concat());
        client.send(call_with(1, Some(&metadata), b"")).await;
        let request = server.expect(FrameType::RequestResponse).await;
        assert_eq!(request.view().metadata(), Some(&metadata[..]));
        server.send(last(request.view().stream_id(), b"")).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    }
}

async fn malformed_metadata_is_the_fault_of_its_stream_alone(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let broken = [
        &b"\xfe"[..],
        b"\xfe\0\0",
        b"\xfe\0\0\x09\x08a",
        b"\xfe\xff\xff\xff",
        b"\x20message",
        b"\x03\xff\xff\xff\xff\0\0\x01x",
        b"\xfe\0\0\x02\xfft",
    ];
    for metadata in broken {
        client.send(call_with(1, Some(metadata), b"")).await;
        let (code, text) = client.expect_error(1).await;
        assert!(code == 0x204 && text.starts_with("RST-600404"), "{metadata:?}: {code:#x} {text}");
    }
    server.expect_nothing().await;
    expect_alive(&mut client, &mut server).await;
}

async fn authentication_entries_are_read_over_and_those_of_requests_cross(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (simple, bearer) = (&b"\x80\0\x04userpassword"[..], &b"\x81token"[..]);
    let mut server = broker.serve("test.Echo").await;
    for credentials in [simple, bearer, b"\x06custom", b""] {
        let in_setup = CompositeBuilder::new().entry(mime::AUTHENTICATION, credentials).finish();
        let mut client = broker.connect().await;
        client.send(Setup::anonymous().frame_with(&in_setup)).await;
        let metadata = [&in_setup[..], &route("test.Echo.call")].concat();
        client.send(call_with(1, Some(&metadata), b"")).await;
        let request = server.expect(FrameType::RequestResponse).await;
        assert_eq!(request.view().metadata(), Some(&metadata[..]));
        server.send(last(request.view().stream_id(), b"")).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    }
}
