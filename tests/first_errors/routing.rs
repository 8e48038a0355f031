use super::greeter::{scene, told};
use super::harness::*;
use super::row::Row;
use towline_rsocket::metadata::{CompositeBuilder, mime};

/// The ERROR that a request with this metadata gets, where SETUP says that it is composite.
async fn refused(metadata: Option<&[u8]>) -> (u32, String) {
    let broker = Broker::start().await;
    refusal(&mut broker.client().await, metadata).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_metadata_is_told_what_to_send() {
    Row::of("a_request_without_metadata_is_told_what_to_send").error(&refused(None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_routing_entry_is_told_what_to_send() {
    let metadata = CompositeBuilder::new().message_mime(mime::JSON).entry(mime::TRACING, b"x").finish();
    Row::of("a_request_without_a_routing_entry_is_told_what_to_send").error(&refused(Some(&metadata)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_routing_entry_is_told_what_to_hold() {
    let row = Row::of("an_empty_routing_entry_is_told_what_to_hold");
    for tags in [&b""[..], b"\0", b"\x01?"] {
        let metadata = CompositeBuilder::new().entry(mime::ROUTING, tags).message_mime(mime::JSON).finish();
        row.error(&refused(Some(&metadata)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_not_composite_though_setup_says_so_is_told_apart() {
    let row = Row::of("metadata_that_is_not_composite_though_setup_says_so_is_told_apart");
    for metadata in [&br#"{"route":"demo.Greeter.greet:1"}"#[..], b"demo.Greeter.greet:1"] {
        row.error(&refused(Some(metadata)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_routing_that_names_no_service_is_told_what_to_send() {
    let broker = Broker::start().await;
    let mut client = broker.join(Setup::anonymous().metadata_mime("message/x.rsocket.routing.v0")).await;
    let row = Row::of("bare_routing_that_names_no_service_is_told_what_to_send");
    row.error(&refusal(&mut client, Some(b"\0")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_service_is_told_that_nobody_serves_it() {
    let row = Row::of("an_unknown_service_is_told_that_nobody_serves_it");
    let (_broker, _app, mut client) = scene().await;
    for route in ["demo.Greeting.greet:1", "demo::Greeter::greet"] {
        row.error(&told(&mut client, route, "[]").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_is_told_which_there_are() {
    let row = Row::of("an_unknown_version_is_told_which_there_are");
    let (_broker, _app, mut client) = scene().await;
    for route in ["demo.Greeter.greet", "demo.Greeter.greet:2"] {
        row.error(&told(&mut client, route, "[]").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_group_is_told_which_there_are() {
    let row = Row::of("a_wrong_group_is_told_which_there_are");
    let (_broker, _app, mut client) = scene().await;
    row.error(&told(&mut client, "blue!demo.Greeter.greet:1", "[]").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_method_is_told_apart() {
    let row = Row::of("a_service_without_its_method_is_told_apart");
    let (_broker, _app, mut client) = scene().await;
    for route in ["demo.Greeter", "demo.Greeter:1", "towline.Health"] {
        row.error(&told(&mut client, route, "[]").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_method_is_told_which_there_are() {
    let row = Row::of("an_unknown_method_is_told_which_there_are");
    let (_broker, _app, mut client) = scene().await;
    for route in ["demo.Greeter.hello:1", "towline.Registry.register"] {
        row.error(&told(&mut client, route, "[]").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_is_told_so() {
    let row = Row::of("an_endpoint_that_is_not_there_is_told_so");
    let (_broker, _app, mut client) = scene().await;
    for tag in ["e=ip:192.0.2.2", "t.zone=b"] {
        row.error(&refusal(&mut client, Some(&tags(&["demo.Greeter.greet:1", tag]))).await);
    }
}
