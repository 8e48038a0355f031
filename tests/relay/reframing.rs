//! Requests whose metadata the broker changes so that the responder can read it.

use crate::harness::*;
use towline_rsocket::fragment::{Whole, split};
use towline_rsocket::frame::{MAX_FRAME, PayloadParts};
use towline_rsocket::metadata::{Composite, CompositeBuilder, Mime, mime, routing};
use towline_rsocket::{Frame, FrameType, flags};

const BARE: &str = "message/x.rsocket.routing.v0";
const JSON: &[u8] = &[0xFA, 0, 0, 1, 0x85];

fn bare(text: &str) -> Vec<u8> {
    routing::write_tags([text]).expect("tags are short").to_vec()
}

/// A routing entry and no other.
fn text_alone(text: &str) -> Vec<u8> {
    CompositeBuilder::new().entry(mime::ROUTING, &bare(text)).finish().to_vec()
}

/// What the responder is shown of a request with this metadata.
async fn arrived(client: &mut Peer, server: &mut Peer, metadata: &[u8]) -> Vec<u8> {
    client.send(call_with(1, Some(metadata), b"data")).await;
    let request = server.expect(FrameType::RequestResponse).await;
    assert_eq!(request.view().data(), b"data");
    server.send(last(request.view().stream_id(), b"")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    request.view().metadata().expect("metadata").to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_name_its_data_type_gets_the_one_of_setup() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let text = text_alone("test.Echo.call");
    let named = [&[0xFA, 0, 0, 0x16, 0x14][..], b"application/x-msgpack"].concat();
    for (data_mime, entry) in
        [("application/json", JSON), ("application/x-msgpack", &named), ("application/avro", &[0xFA, 0, 0, 1, 0x80])]
    {
        let mut client = broker.join(Setup::anonymous().data_mime(data_mime)).await;
        assert_eq!(arrived(&mut client, &mut server, &text).await, [&text, entry].concat(), "{data_mime}");
        let own = [&text[..], &[0xFA, 0, 0, 1, 0xA6]].concat();
        assert_eq!(arrived(&mut client, &mut server, &own).await, own, "its own type stays alone");
        // Behind what cannot be read nobody would find it.
        let tail = [0xFD, 0, 0, 9, 1];
        let expected = [&text, entry, &tail[..]].concat();
        assert_eq!(arrived(&mut client, &mut server, &[&text[..], &tail].concat()).await, expected);
    }
    let mut client = broker.join(Setup::anonymous().data_mime("")).await;
    assert_eq!(arrived(&mut client, &mut server, &text).await, text, "nothing to say");
    for kind in [FrameType::RequestStream, FrameType::RequestChannel, FrameType::RequestFnf] {
        let mut client = broker.client().await;
        client.send(Frame::request(kind, 1, 0, 3, PayloadParts { metadata: Some(&text), data: b"d" })).await;
        let request = server.expect(kind).await;
        assert_eq!(request.view().metadata().unwrap(), [&text, JSON].concat());
        assert_eq!(request.view().request_n(), if kind == FrameType::RequestFnf { 0 } else { 3 });
        if kind != FrameType::RequestFnf {
            server.send(error(request.view().stream_id(), 0x201, "enough")).await;
            client.expect_error(1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_bare_routing_metadata_calls_everybody() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = broker.join(Setup::anonymous().metadata_mime(BARE)).await;
    let seen = arrived(&mut client, &mut server, &bare("test.Echo.call")).await;
    assert_eq!(seen, [&text_alone("test.Echo.call"), JSON].concat());
    let echo = CompositeBuilder::new().message_mime(mime::JSON).finish();
    client.send(call_with(1, Some(&bare("test.Echo.call")), b"")).await;
    let stream = server.expect(FrameType::RequestResponse).await.view().stream_id();
    let answer = PayloadParts { metadata: Some(&echo), data: b"x" };
    server.send(Frame::payload(stream, flags::NEXT | flags::COMPLETE, answer)).await;
    assert_eq!(parts(&client.expect_payload(1).await).0.unwrap(), echo, "response metadata passes untouched");
    client.send(call_with(1, None, b"")).await;
    assert!(client.expect_error(1).await.1.starts_with("RST-600404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_in_fragments_is_reframed_where_it_begins_and_ends() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let long = format!("test.Echo.{}", "m".repeat(200));
    for (setup, metadata) in
        [(Setup::anonymous(), text_alone(&long)), (Setup::anonymous().metadata_mime(BARE), bare(&long))]
    {
        for data in [0, 300] {
            let mut client = broker.join(setup.clone()).await;
            let data = vec![7; data];
            let parts = PayloadParts { metadata: Some(&metadata), data: &data };
            let whole = Whole { kind: FrameType::RequestResponse, stream: 1, flags: 0, request_n: 0, parts };
            let mut count = 0;
            let mut sent = Vec::new();
            split(whole, 64, |frame| sent.push(frame));
            for frame in sent {
                client.send(frame).await;
                count += 1;
            }
            let (mut seen, mut body) = (Vec::new(), Vec::new());
            for nth in 0..count {
                let frame = server.recv().await;
                assert_eq!(frame.view().has(flags::FOLLOWS), nth + 1 < count);
                seen.extend_from_slice(frame.view().metadata().unwrap_or_default());
                body.extend_from_slice(frame.view().data());
            }
            assert_eq!(seen, [&text_alone(&long), JSON].concat());
            assert_eq!(body, data);
            drop(client);
            server.expect(FrameType::Cancel).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_as_long_as_a_frame_can_be_grows_into_a_second_fragment() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = broker.client().await;
    let text = text_alone("test.Echo.talk");
    let data: Vec<u8> = (0..MAX_FRAME - 6 - 4 - 3 - text.len()).map(|n| n as u8).collect();
    let parts = PayloadParts { metadata: Some(&text), data: &data };
    let request = Frame::request(FrameType::RequestChannel, 1, flags::COMPLETE, 5, parts);
    assert_eq!(request.view().bytes().len(), MAX_FRAME);
    let sending = async { client.send(request).await };
    let receiving = async { (server.expect(FrameType::RequestChannel).await, server.expect_payload(2).await) };
    let ((), (first, rest)) = tokio::join!(sending, receiving);
    assert!(first.view().has(flags::FOLLOWS) && !first.view().has(flags::COMPLETE));
    assert!(rest.view().has(flags::COMPLETE) && !rest.view().has(flags::FOLLOWS));
    assert_eq!(first.view().metadata().unwrap(), [&text, JSON].concat());
    assert!([first.view().data(), rest.view().data()].concat() == data, "the data has changed");
    server.send(last(2, b"ok")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_says_who_calls() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let caller = Mime::named("message/x.towline.caller.v0");
    let mut metadata = route("test.Echo.call");
    metadata.extend_from_slice(&CompositeBuilder::new().entry(caller, b"{}").finish());
    client.send(call_with(1, Some(&metadata), b"")).await;
    let (code, text) = client.expect_error(1).await;
    assert!(code == 0x204 && text.contains("caller"), "{code:#x} {text}");
    let seen = arrived(&mut client, &mut server, &route("test.Echo.call")).await;
    assert!(Composite::new(&seen).find(caller).is_none(), "only the broker's own services are told");
}
