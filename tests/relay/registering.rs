//! Services registered by a call: `towline.Registry`.

use crate::harness::*;
use serde_json::{Value, json};
use towline_rsocket::FrameType;
use towline_rsocket::metadata::routing;

const BARE: &str = "message/x.rsocket.routing.v0";

/// Calls `towline.Registry` in JSON.
async fn ask(peer: &mut Peer, method: &str, arguments: &Value) -> Value {
    let data = if arguments.is_null() { Vec::new() } else { arguments.to_string().into_bytes() };
    peer.send(call(101, &format!("towline.Registry.{method}"), &data)).await;
    let answer = peer.expect_payload(101).await;
    if answer.view().data().is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(answer.view().data()).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_exposed_and_hidden_on_the_callers_own_connection() {
    let broker = Broker::start().await;
    let (mut client, mut server) = (broker.client().await, broker.client().await);
    let names = json!({"services": [{"service": "test.One"}, {"group": "g", "service": "test.Two", "version": "2"},
        {"service": "towline.Queue"}, {"service": "bad name"}]});
    for _ in 0..2 {
        let exposed = ask(&mut server, "expose", &names).await;
        assert_eq!(exposed["accepted"], json!(["test.One", "g!test.Two:2"]));
        assert_eq!(exposed["refused"][0]["service"], "towline.Queue");
        assert_eq!(exposed["refused"][0]["code"], "reserved");
        assert_eq!(exposed["refused"][1]["code"], "invalid-name");
    }
    assert_eq!(outcome(&mut client, &mut server, "test.One").await, Ok(()));
    assert_eq!(
        ask(&mut server, "hide", &json!({"services": [{"service": "test.One"}, {"service": "x.Y"}]})).await,
        Value::Null
    );
    assert!(outcome(&mut client, &mut server, "test.One").await.unwrap_err().1.starts_with("RST-900404"));
    // Another connection's services are none of its business.
    ask(&mut server, "expose", &json!([[{"service": "test.One"}]])).await;
    ask(&mut client, "hide", &json!({"services": [{"service": "test.One"}]})).await;
    assert_eq!(outcome(&mut client, &mut server, "test.One").await, Ok(()));
    drop(server);
    broker.until("towline_links_closed_total", 1.0).await;
    client.send(call(1, "test.One.call", b"")).await;
    assert!(client.expect_error(1).await.1.starts_with("RST-900404"), "gone with the connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_told_who_it_is() {
    let broker = Broker::start().await;
    let mut named = broker.join(Setup::app("shop")).await;
    let whoami = ask(&mut named, "whoami", &Value::Null).await;
    assert_eq!(whoami, json!({"uuid": uuid("shop"), "name": "shop", "principal": null}));
    let mut anonymous = broker.client().await;
    let own = ask(&mut anonymous, "whoami", &Value::Null).await["uuid"].as_str().expect("text").to_owned();
    assert_eq!(own.len(), 32);
    let mut other = broker.client().await;
    assert_ne!(ask(&mut other, "whoami", &Value::Null).await["uuid"], own);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_cannot_become_the_responders_is_refused_by_both_names() {
    let broker = Broker::start().await;
    let tags = |text: &str| routing::write_tags([text]).expect("tags are short");
    let mut server = broker.join(Setup::anonymous().metadata_mime(BARE)).await;
    let arguments = br#"{"services":[{"service":"test.Echo"}]}"#;
    server.send(call_with(1, Some(&tags("towline.Registry.expose")), arguments)).await;
    let answer = server.expect_payload(1).await;
    assert_eq!(answer.view().data(), br#"{"accepted":["test.Echo"],"refused":[]}"#);
    let mut composite = broker.client().await;
    let (code, text) = outcome(&mut composite, &mut server, "test.Echo").await.unwrap_err();
    assert!(code == 0x204 && text.contains(COMPOSITE) && text.contains(BARE), "{code:#x} {text}");
    // Whoever writes as it reads is passed on untouched.
    let mut bare = broker.join(Setup::anonymous().metadata_mime(BARE)).await;
    bare.send(call_with(1, Some(&tags("test.Echo.call")), b"x")).await;
    let request = server.expect(FrameType::RequestResponse).await;
    assert_eq!(request.view().metadata(), Some(&tags("test.Echo.call")[..]));
}
