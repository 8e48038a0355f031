//! Metadata and JSON made to be hard to read.

use crate::harness::*;
use crate::scene::Scene;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{CompositeBuilder, mime};
use towline_rsocket::{Frame, FrameType, flags};

const KIB: usize = 1024;

/// A composite entry whose length says what it likes.
fn entry(id: u8, len: u32, content: &[u8]) -> Vec<u8> {
    [&[0x80 | id][..], &len.to_be_bytes()[1..], content].concat()
}

const ROUTING: u8 = 0x7E;

#[tokio::test(flavor = "multi_thread")]
async fn metadata_bombs_are_invalid_and_their_connection_lives() {
    let scene = Scene::set().await;
    let mut client = scene.broker.client().await;
    let mut server = scene.broker.serve("test.Mine").await;
    let route = route("test.Mine.call");
    let long_tag = [&[255][..], &[b'x'; 255]].concat();
    let mut nested = route.clone();
    for _ in 0..1000 {
        nested = entry(ROUTING, nested.len() as u32, &nested);
        nested.truncate(60 * KIB);
    }
    let bombs = [
        ("65,000 entries", entry(0x10, 1, b"x").repeat(65_000)),
        ("16,000 entries, the route last", [entry(0x10, 0, b"").repeat(16_000), route.clone()].concat()),
        ("64 entries before the route", [entry(0x10, 0, b"").repeat(64), route.clone()].concat()),
        ("a routing entry of 60 KiB without its tag", entry(ROUTING, 60 * 1024, &vec![0; 60 * KIB])),
        ("240 tags that say nothing", entry(ROUTING, 240 * 256, &long_tag.repeat(240))),
        ("a tag of 16 MiB", entry(ROUTING, 0xFF_FF00, &vec![b'x'; 0xFF_FF00])),
        ("entries in entries", nested),
        ("a length past the end", entry(ROUTING, 0xFF_FFFF, &route)),
        ("a name past the end", [&[127][..], &[b'x'; 60]].concat()),
        ("65 KiB of zeros", vec![0; 65 * KIB]),
        ("60 KiB of ones", vec![0xFF; 60 * KIB]),
    ];
    let before = scene.broker.meter("towline_requests_refused_total");
    for (name, metadata) in &bombs {
        for kind in [FrameType::RequestResponse, FrameType::RequestStream, FrameType::RequestChannel] {
            let parts = PayloadParts { metadata: Some(metadata), data: b"" };
            client.send(Frame::request(kind, 1, 0, 1, parts)).await;
            assert_eq!(client.expect_error(1).await.0, 0x204, "{name}");
        }
        let parts = PayloadParts { metadata: Some(metadata), data: b"" };
        client.send(Frame::request(FrameType::RequestFnf, 1, 0, 0, parts)).await;
    }
    client.expect_nothing().await;
    let refused = scene.broker.meter("towline_requests_refused_total") - before;
    assert_eq!(refused, 4.0 * bombs.len() as f64 + 1.0, "each of them, and the fence");
    server.expect_nothing().await;
    drop((client, server));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_entries_that_come_twice_the_first_counts() {
    let scene = Scene::set().await;
    let mut client = scene.broker.client().await;
    let mut server = scene.broker.serve("test.Mine").await;
    let credentials = CompositeBuilder::new().entry(mime::AUTHENTICATION, b"\x81token").finish();
    let metadata = [credentials.repeat(40), route("test.Mine.call"), route("test.Echo.call").repeat(10)].concat();
    client.send(call_with(1, Some(&metadata), b"")).await;
    let request = server.expect(FrameType::RequestResponse).await;
    assert_eq!(request.view().metadata(), Some(&metadata[..]));
    server.send(last(2, b"yes")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"yes").await;
    drop((client, server));
    scene.end().await;
}

/// JSON that is deep, in 60 KiB.
fn deep() -> Vec<String> {
    let nested = |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    vec![
        "[".repeat(60_000),
        "{\"a\":".repeat(10_000),
        nested("[", "]", 30_000),
        nested("{\"a\":", "}", 10_000),
        format!(r#"{{"metadata":{{"a":{}}}}}"#, nested("[", "]", 25_000)),
        format!(r#"{{"metadata":{}}}"#, nested("{\"a\":", "}", 9_000)),
        format!(r#"{{"unknown":{}}}"#, nested("[", "]", 25_000)),
        format!(r#"{{"published":{}}}"#, nested("[", "]", 25_000)),
        format!(r#"{{"published":[{{"service":{}}}]}}"#, nested("[", "]", 25_000)),
        "\"\\u0000".repeat(8_000),
        "9".repeat(60_000),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_json_in_setup_is_refused_or_read_over() {
    let scene = Scene::set().await;
    let mut refused = 0;
    for json in deep() {
        for kind in [mime::APPLICATION, mime::SERVICE_REGISTRY] {
            let mut peer = scene.broker.connect().await;
            peer.send(Setup::anonymous().frame_with(&CompositeBuilder::new().entry(kind, json.as_bytes()).finish()))
                .await;
            // What comes behind a SETUP that was refused is not read.
            peer.try_send_bytes(Frame::keepalive(true, b"accepted").wire()).await;
            let answer = peer.recv().await;
            if answer.view().kind() != FrameType::Keepalive {
                assert_eq!((answer.view().kind(), answer.view().error_code()), (FrameType::Error, 3));
                assert!(answer.view().data().starts_with(b"RST-500600"), "{answer:?}");
                refused += 1;
            }
        }
    }
    // Eight of them are deep where nothing is read.
    assert_eq!(refused, 2 * deep().len() - 8);
    assert_eq!(scene.broker.labelled("towline_setups_refused_total", "rejected"), refused as f64);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_full_of_entries_or_services_registers_no_more_than_it_may() {
    let scene = Scene::with(|config| config.registration.max_services = 10).await;
    let before = scene.broker.meter("towline_services_registered");
    let published: Vec<_> = (0..3_000).map(|nth| format!(r#"{{"service":"a.S{nth}"}}"#)).collect();
    let many = format!(r#"{{"published":[{}]}}"#, published.join(","));
    let same = r#"{"published":[{"service":"a.B"},{"service":"a.B"}]}"#;
    let registry =
        |json: &str| CompositeBuilder::new().entry(mime::SERVICE_REGISTRY, json.as_bytes()).finish().to_vec();
    let fill = entry(0x10, 0, b"").repeat(15_000);
    for (metadata, services) in
        [(registry(&many), 10.0), (registry(same).repeat(1_000), 1.0), ([fill, registry(same)].concat(), 0.0)]
    {
        let mut peer = scene.broker.connect().await;
        peer.send(Setup::anonymous().frame_with(&metadata)).await;
        peer.expect_nothing().await;
        assert_eq!(scene.broker.meter("towline_services_registered") - before, services);
        drop(peer);
        while scene.broker.meter("towline_services_registered") > before {
            tokio::task::yield_now().await;
        }
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_json_in_an_event_is_malformed_and_its_connection_lives() {
    let scene = Scene::with(|config| config.registration.events_per_second = 1000).await;
    let mut app = scene.broker.join(Setup::app("bomber").service("test.Mine")).await;
    let mut pushed = 0.0;
    for json in deep() {
        let event = |data: &str| {
            let source = uuid("bomber");
            format!(r#"{{"source":"app://{source}","type":"com.alibaba.rsocket.events.AppStatusEvent","data":{data}}}"#)
        };
        let composite =
            |json: &str| CompositeBuilder::new().entry(mime::CLOUDEVENTS_JSON, json.as_bytes()).finish().to_vec();
        for metadata in [event(&json).into_bytes(), composite(&json), composite(&event(&json))] {
            app.send(Frame::metadata_push(&metadata)).await;
            pushed += 1.0;
        }
    }
    app.expect_nothing().await;
    assert_eq!(scene.broker.labelled("towline_events_total", "malformed"), pushed);
    drop(app);
    scene.end().await;
}
