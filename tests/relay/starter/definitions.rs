//! The methods of a service, which an app that serves it is asked for.

use super::*;
use serde_json::json;
use towline_rsocket::Frame;
use towline_rsocket::frame::PayloadParts;

const METHOD: &str = "com.alibaba.rsocket.rpc.ReactiveServiceDiscovery.findServiceByFullName";

/// What an app is asked: as recorded of the Java broker, and to whom.
fn question(uuid: &str) -> Vec<u8> {
    let tags = routing::write_tags([METHOD, &format!("e=uuid:{uuid}")]).expect("short tags");
    CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_serves_it_is_asked_and_what_it_says_is_the_answer() {
    let broker = Broker::start().await;
    let mut app = broker.join(Setup::app("app").published("", "test.Users", "2").data_mime(HESSIAN)).await;
    let mut starter = broker.join(Setup::app("starter").data_mime(HESSIAN)).await;
    for named in ["test.Users", "test.Users:2"] {
        let metadata = asking(METHOD, mime::HESSIAN);
        starter.send(call_with(1, Some(&metadata), &hessian(&[named]))).await;
        let asked = app.expect(FrameType::RequestResponse).await;
        let wanted = (Some(question(&uuid("app"))), json!([named]).to_string().into_bytes());
        assert_eq!(parts(&asked), wanted);
        // An odd type, so that it cannot be the broker's.
        let (metadata, data) = (hex("fa00000182"), br#"{"name":"Users"}"#);
        let answer = PayloadParts { metadata: Some(&metadata), data };
        app.send(Frame::payload(asked.view().stream_id(), flags::NEXT | flags::COMPLETE, answer)).await;
        assert_eq!(parts(&starter.expect_payload(1).await), (Some(metadata), data.to_vec()));
    }
    starter.expect_nothing().await;
    app.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_says_no_type_said_json() {
    let broker = Broker::start().await;
    let mut app = broker.join(Setup::app("app").service("test.Users")).await;
    let mut client = broker.client().await;
    ask(&mut client, 1, METHOD, &json!("test.Users")).await;
    let asked = app.expect(FrameType::RequestResponse).await;
    app.send(last(asked.view().stream_id(), b"{}")).await;
    assert_eq!(parts(&client.expect_payload(1).await), (Some(hex("fa00000185")), b"{}".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_app_can_say_is_an_error_that_says_so() {
    let broker = Broker::start().await;
    let mut app = broker.join(Setup::app("app").service("test.Users")).await;
    let mut client = broker.client().await;
    for nobody in ["test.Nobody", "test.Users:3", "towline.Health", "a b"] {
        let (code, text) = refused(&mut client, METHOD, &json!([nobody])).await;
        assert!(
            code == 0x204 && text.starts_with(&format!("RST-900404: Service not found {nobody}")),
            "{code:#x} {text}"
        );
    }
    // An app that is no starter: what it says of a service it does not have, and the same from a starter.
    for (answer, code, text) in [
        (None, 0x204, "does not describe its services: RST-201404: No service handler found"),
        (Some("null"), 0x204, "does not know test.Users"),
        (Some(""), 0x204, "does not know test.Users"),
    ] {
        ask(&mut client, 1, METHOD, &json!(["test.Users"])).await;
        let stream = app.expect(FrameType::RequestResponse).await.view().stream_id();
        app.send(match answer {
            None => error(stream, 0x204, "RST-201404: No service handler found: x"),
            Some(data) => last(stream, data.as_bytes()),
        })
        .await;
        let (seen, said) = client.expect_error(1).await;
        assert!(seen == code && said.contains(text) && said.contains(&uuid("app")), "{seen:#x} {said}");
    }
    ask(&mut client, 1, METHOD, &json!(["test.Users"])).await;
    app.expect(FrameType::RequestResponse).await;
    drop(app);
    let (code, text) = client.expect_error(1).await;
    assert!(code == 0x203 && text.contains("was lost"), "{code:#x} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_no_longer_asks_has_the_app_told() {
    let broker = Broker::start().await;
    let mut app = broker.join(Setup::app("app").service("test.Users")).await;
    let mut client = broker.client().await;
    ask(&mut client, 1, METHOD, &json!(["test.Users"])).await;
    let stream = app.expect(FrameType::RequestResponse).await.view().stream_id();
    client.send(Frame::cancel(1)).await;
    app.expect_cancel(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_brokers_own_services_reach_an_app_beyond_what_it_registered() {
    let broker = Broker::start().await;
    let mut app = broker.join(Setup::app("app").service("test.Users")).await;
    let mut client = broker.client().await;
    for service in ["test.Private.call", METHOD] {
        let metadata = tags(&[service, &format!("e=uuid:{}", uuid("app"))]);
        client.send(call_with(1, Some(&metadata), b"")).await;
        let (code, text) = client.expect_error(1).await;
        assert!(code == 0x204 && text.starts_with("RST-90040"), "{code:#x} {text}");
    }
    app.expect_nothing().await;
}
