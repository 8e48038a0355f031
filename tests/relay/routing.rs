//! Where a request goes, and what is said if it goes nowhere.

use crate::harness::*;
use towline_rsocket::metadata::{CompositeBuilder, mime};
use towline_rsocket::{FrameType, flags};

/// The request with these tags reaches this responder.
async fn expect_at(client: &mut Peer, server: &mut Peer, of_route: &[&str]) {
    client.send(call_with(1, Some(&tags(of_route)), b"")).await;
    let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
    server.send(last(id, b"here")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn group_and_version_are_matched_exactly() {
    let broker = Broker::start().await;
    let keys = [("", ""), ("", "1"), ("", "1.0.0"), ("g", ""), ("g", "1"), ("h", "1")];
    let mut client = broker.client().await;
    let mut servers = Vec::new();
    for (group, version) in keys {
        servers.push(broker.join(Setup::anonymous().published(group, "test.Echo", version)).await);
    }
    for (nth, (group, version)) in keys.into_iter().enumerate() {
        let group = if group.is_empty() { String::new() } else { format!("{group}!") };
        let version = if version.is_empty() { String::new() } else { format!(":{version}") };
        expect_at(&mut client, &mut servers[nth], &[&format!("{group}test.Echo.call{version}")]).await;
    }
    for text in ["test.Echo.call:2", "x!test.Echo.call", "g!test.Echo.call:1.0.0", "h!test.Echo.call", "test.echo.call"]
    {
        let (code, text) = refusal(&mut client, Some(&route(text))).await;
        assert!(code == 0x204 && text.starts_with("RST-900404"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_asked_for_by_uuid_id_ip_or_label() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let service =
        |name: &str, zone: &str| Setup::app(name).label("zone", zone).label("labels.disk", zone).service("test.Echo");
    let mut a = broker.join(service("a", "left")).await;
    let mut b = broker.join(service("b", "right")).await;
    for (server, name, zone) in [(&mut a, "a", "left"), (&mut b, "b", "right")] {
        let uuid = uuid(name);
        for endpoint in
            [format!("uuid:{uuid}"), format!("id:{uuid}"), format!("ip:ip-of-{name}"), format!("zone:{zone}")]
        {
            expect_at(&mut client, server, &["test.Echo.call", &format!("e={endpoint}")]).await;
            expect_at(&mut client, server, &[&format!("test.Echo.call?e={endpoint}&")]).await;
        }
        expect_at(&mut client, server, &["test.Echo.call", &format!("t.zone={zone}")]).await;
        expect_at(&mut client, server, &["test.Echo.call", &format!("t.disk={zone}"), &format!("t.zone={zone}")]).await;
        expect_at(&mut client, server, &["test.Echo.call", "sticky=1", &format!("e=uuid:{uuid}"), "unknown"]).await;
    }
    for tag in ["e=uuid:nobody", "e=zone:middle", "e=left", "e=:", "t.zone=middle", "t.none=left"] {
        let (code, text) = refusal(&mut client, Some(&tags(&["test.Echo.call", tag]))).await;
        assert!(
            code == 0x204 && text.starts_with("RST-900405: Service not found with endpoint test.Echo.call"),
            "{text}"
        );
    }
    let both = tags(&["test.Echo.call", "t.zone=left", "t.disk=right"]);
    assert!(refusal(&mut client, Some(&both)).await.1.starts_with("RST-900405"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_without_a_dot_or_a_whole_key_names_a_service_without_method() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut server =
        broker.join(Setup::anonymous().service("hello").service("request.response").published("g", "tick", "2")).await;
    for text in ["hello", "request.response", "g!tick:2"] {
        expect_at(&mut client, &mut server, &[text]).await;
    }
    let (code, text) = refusal(&mut client, Some(&route("nobody"))).await;
    assert!(code == 0x204 && text.starts_with("RST-900404: Service not found nobody"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_routing_goes_where_its_text_says() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    // Ids of another service and method, no flags.
    let binary = [&[0xD9, 0xEE, 0x76, 0x5B, 0x5D, 0x69, 0x9A, 0xF6, 0, 0, 0, 0][..], b"test.Echo.call"].concat();
    let origin = b"tcp://10.0.0.5:0?appName=x&uuid=y";
    let entries = CompositeBuilder::new().entry(mime::BINARY_ROUTING, &binary).entry(mime::ORIGIN, origin);
    let mut metadata = entries.message_mime(mime::HESSIAN).finish().to_vec();
    // What the starters' Zipkin proxy appends: no entry, but bytes.
    metadata.extend_from_slice(&[0xA0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    client.send(call_with(1, Some(&metadata), b"")).await;
    let request = server.expect(FrameType::RequestResponse).await;
    assert_eq!(request.view().metadata(), Some(&metadata[..]), "passed on as it came");
    server.send(last(request.view().stream_id(), b"")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    let short = CompositeBuilder::new().entry(mime::BINARY_ROUTING, &binary[..11]).finish();
    assert!(refusal(&mut client, Some(&short)).await.1.starts_with("RST-600404"));
}

/// The one of these that gets the call with these tags; it answers.
async fn place(client: &mut Peer, servers: &mut [Peer], of_route: &[&str]) -> usize {
    client.send(call_with(1, Some(&tags(of_route)), b"")).await;
    let waits = servers.iter_mut().map(|server| Box::pin(server.expect(FrameType::RequestResponse)));
    let (request, at, waits) = futures::future::select_all(waits).await;
    drop(waits);
    servers[at].send(last(request.view().stream_id(), b"")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn sticky_calls_of_an_app_and_calls_of_one_key_stay_with_one_instance() {
    let broker = Broker::start().await;
    let mut servers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        servers.push(broker.join(Setup::app(name).service("test.Echo")).await);
    }
    let mut seen = std::collections::HashSet::new();
    for app in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
        let mut client = broker.join(Setup::app(app)).await;
        let at = place(&mut client, &mut servers, &["test.Echo.call", "sticky=1"]).await;
        for tags in [&["test.Echo.call", "STICKY=1"][..], &["test.Echo.call?sticky=1&"]] {
            assert_eq!(place(&mut client, &mut servers, tags).await, at, "{app}");
        }
        let mut again = broker.join(Setup::app(app)).await;
        assert_eq!(
            place(&mut again, &mut servers, &["test.Echo.call", "sticky=1"]).await,
            at,
            "{app} after a reconnect"
        );
        seen.insert(at);
    }
    assert!(seen.len() > 1, "apps are spread");
    let (mut one, mut two) = (broker.client().await, broker.client().await);
    let mut seen = std::collections::HashSet::new();
    for nth in 0..16 {
        let key = format!("key=c{nth}");
        let at = place(&mut one, &mut servers, &["test.Echo.call", &key]).await;
        assert_eq!(place(&mut two, &mut servers, &["test.Echo.call", &key]).await, at, "whoever asks");
        seen.insert(at);
    }
    assert!(seen.len() > 1, "keys are spread");
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_and_impossible_names_are_not_registered_and_the_others_are() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let names = ["towline.Config", "com.alibaba.rsocket.rpc.Other", "a b", "", "ü.B"];
    let setup = names.iter().fold(Setup::anonymous().service("test.Echo"), |setup, name| setup.service(name));
    let mut server = broker.join(setup.published("a b", "test.Other", "").published("", "test.Other", "1/2")).await;
    for name in ["towline.Config.publish", "com.alibaba.rsocket.rpc.Other.check", "a b.m", "ü.B.m", "test.Other.m"] {
        let (code, text) = refusal(&mut client, Some(&route(name))).await;
        assert!(code == 0x204 && text.starts_with("RST-900404"), "{name}: {text}");
    }
    expect_at(&mut client, &mut server, &["test.Echo.call"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_publishes_no_more_services_than_configured() {
    let broker = Broker::with(|config| config.registration.max_services = 3).await;
    let mut client = broker.client().await;
    let setup = (0..5).fold(Setup::anonymous(), |setup, nth| setup.service(&format!("test.Nr{nth}")));
    let mut server = broker.join(setup).await;
    for nth in 0..3 {
        expect_at(&mut client, &mut server, &[&format!("test.Nr{nth}.call")]).await;
    }
    assert!(refusal(&mut client, Some(&route("test.Nr3.call"))).await.1.starts_with("RST-900404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heavier_instance_gets_more_calls_and_a_lighter_one_some() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let light = echo(broker.join(Setup::app("light").label("weight", "1").service("test.Echo")).await);
    let heavy = echo(broker.join(Setup::app("heavy").label("weight", "4").service("test.Echo")).await);
    for _ in 0..500 {
        client.send(call(1, "test.Echo.call", b"x")).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, b"x").await;
    }
    broker.drain().await;
    let (light, heavy) = (light.await.expect("it ends"), heavy.await.expect("it ends"));
    assert_eq!(light + heavy, 500);
    // A share of 4/5: 400, give or take 9; what is asked for here is nine deviations away.
    assert!((320..=480).contains(&heavy), "{heavy} of 500");
}
