use super::greeter::{error, scene, told};
use super::harness::*;
use super::row::Row;
use towline_rsocket::flags;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime, routing};

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_do_not_fit_are_told_what_the_method_takes() {
    let row = Row::of("arguments_that_do_not_fit_are_told_what_the_method_takes");
    let (_broker, _app, mut client) = scene().await;
    for arguments in ["[7]", r#"["Ada","Grace"]"#, "", r#"{"who":"Ada"}"#, r#"["Ada""#, "Ada"] {
        row.error(&told(&mut client, "demo.Greeter.greet:1", arguments).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_a_built_in_service_that_do_not_fit_are_told_what_it_takes() {
    let row = Row::of("arguments_of_a_built_in_service_that_do_not_fit_are_told_what_it_takes");
    let (_broker, _app, mut client) = scene().await;
    for arguments in [
        r#"[{"service":"com.acme.Shop"}]"#,
        r#"[{"service":"com.acme.Shop"},{"service":"com.acme.Cart"}]"#,
        r#"{"service":"com.acme.Shop"}"#,
        r#"["com.acme.Shop"]"#,
        "",
    ] {
        row.error(&told(&mut client, "towline.Registry.expose", arguments).await);
    }
    row.error(&told(&mut client, "towline.Registry.whoami", "[1]").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_does_not_fit_is_told_what_the_items_are() {
    let row = Row::of("an_item_that_does_not_fit_is_told_what_the_items_are");
    let (_broker, _app, mut client) = scene().await;
    client.send(channel(1, 0, 1, "demo.Greeter.greetAll:1", b"")).await;
    client.expect_request_n(1).await;
    client.send(payload(1, flags::NEXT | flags::COMPLETE, b"[\"Ada\"]")).await;
    row.error(&error(&mut client).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_type_that_is_not_read_there_is_told_which_are() {
    let row = Row::of("data_of_a_type_that_is_not_read_there_is_told_which_are");
    let (broker, _app, mut client) = scene().await;
    let tags = routing::write_tags(["demo.Greeter.greet:1"]).expect("tags are short");
    for name in ["application/vnd.google.protobuf", "application/x-hessian"] {
        let entries = CompositeBuilder::new().entry(mime::ROUTING, &tags);
        let metadata = entries.message_mime(Mime::named(name)).finish();
        row.error(&refusal(&mut client, Some(&metadata)).await);
        // What SETUP says counts where the request says nothing.
        let mut of_setup = broker.join(Setup::anonymous().data_mime(name)).await;
        let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags).finish();
        row.error(&refusal(&mut of_setup, Some(&metadata)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_holds_one_argument_is_not_enough_for_two_or_none() {
    let row = Row::of("a_type_that_holds_one_argument_is_not_enough_for_two_or_none");
    let (_broker, _app, mut client) = scene().await;
    let tags = routing::write_tags(["towline.Registry.whoami"]).expect("tags are short");
    let metadata = CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(Mime::named("text/plain")).finish();
    client.send(call_with(1, Some(&metadata), b"me")).await;
    row.error(&client.expect_error(1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_interaction_is_told_the_right_one() {
    let row = Row::of("a_wrong_interaction_is_told_the_right_one");
    let (_broker, _app, mut client) = scene().await;
    row.error(&told(&mut client, "demo.Greeter.countDown:1", "[3]").await);
    row.error(&told(&mut client, "demo.Greeter.chat:1", r#"["lobby"]"#).await);
    client.send(channel(1, 0, 1, "demo.Greeter.greet:1", br#"["Ada"]"#)).await;
    row.error(&error(&mut client).await);
    client.send(stream(3, 1, "demo.Greeter.greetAll:1", b"")).await;
    row.error(&client.expect_error(3).await);
    // Lenient where nothing can be misread.
    client.send(stream(5, 1, "demo.Greeter.greet:1", br#"["Ada"]"#)).await;
    assert_eq!(client.expect_payload(5).await.view().data(), br#"{"text":"Ada","by":""}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_asks_for_nothing_is_told_to_ask() {
    let row = Row::of("a_stream_that_asks_for_nothing_is_told_to_ask");
    let (_broker, _app, mut client) = scene().await;
    client.send(stream(1, 0, "demo.Greeter.countDown:1", b"[3]")).await;
    row.error(&client.expect_error(1).await);
}
