//! What an app tells the broker by METADATA_PUSH.

use crate::harness::*;
use towline_rsocket::metadata::{CompositeBuilder, mime};
use towline_rsocket::{Frame, FrameType, flags};

/// An event of this app, as the starters write it.
fn event(source: &str, kind: &str, data: &str) -> Frame {
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"app://{source}/?ip=127.0.0.1","type":"com.alibaba.rsocket.events.{kind}","datacontenttype":"application/json","time":"2026-11-22T10:00:00.123456789Z","data":{data}}}"#
    );
    Frame::metadata_push(event.as_bytes())
}

fn status(uuid: &str, status: i32) -> Frame {
    event(uuid, "AppStatusEvent", &format!(r#"{{"id":"{uuid}","status":{status}}}"#))
}

fn services(uuid: &str, kind: &str, names: &[&str]) -> Frame {
    let locators: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"group":"","service":"{name}","version":"","tags":null,"gsv":"{name}","id":1}}"#))
        .collect();
    event(uuid, kind, &format!(r#"{{"appId":"{uuid}","services":[{}]}}"#, locators.join(",")))
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_exposed_and_hidden_by_events_as_by_setup() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let uuid = uuid("app");
    let mut server = broker.join(Setup::app("app").service("test.One")).await;
    assert!(outcome(&mut client, &mut server, "test.Two").await.unwrap_err().1.starts_with("RST-900404"));
    let names = ["test.Two", "test.One", "towline.Config", "com.alibaba.rsocket.X", "bad name"];
    server.send(services(&uuid, "ServicesExposedEvent", &names)).await;
    server.expect_nothing().await;
    for service in ["test.One", "test.Two"] {
        assert_eq!(outcome(&mut client, &mut server, service).await, Ok(()));
    }
    for name in ["towline.Config", "com.alibaba.rsocket.X", "bad name"] {
        assert!(outcome(&mut client, &mut server, name).await.unwrap_err().1.starts_with("RST-900404"), "{name}");
    }
    server.send(services(&uuid, "ServicesHiddenEvent", &["test.One", "test.Nothing"])).await;
    server.expect_nothing().await;
    assert!(outcome(&mut client, &mut server, "test.One").await.is_err());
    assert_eq!(outcome(&mut client, &mut server, "test.Two").await, Ok(()));
    // As an entry of composite metadata, and after the app had said that it serves no more.
    server.send(status(&uuid, 2)).await;
    let exposed = services(&uuid, "ServicesExposedEvent", &["test.One"]);
    let entry = CompositeBuilder::new().entry(mime::CLOUDEVENTS_JSON, exposed.view().metadata().unwrap()).finish();
    server.send(Frame::metadata_push(&entry)).await;
    let ports = r#"{"rsocketPorts":{"42252":"tcp"},"webPort":1,"managementPort":2}"#;
    server.send(event(&uuid, "PortsUpdateEvent", &ports.replacen('{', &format!(r#"{{"appId":"{uuid}","#), 1))).await;
    server.expect_nothing().await;
    for service in ["test.One", "test.Two"] {
        assert_eq!(outcome(&mut client, &mut server, service).await, Ok(()));
    }
    assert_eq!(broker.labelled("towline_events_total", "taken"), 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_another_app() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut server = broker.join(Setup::app("victim").service("test.Echo")).await;
    let mut other = broker.join(Setup::app("other")).await;
    let (victim, own) = (uuid("victim"), uuid("other"));
    other.send(services(&victim, "ServicesHiddenEvent", &["test.Echo"])).await;
    other.send(event(&own, "ServicesHiddenEvent", &format!(r#"{{"appId":"{victim}","services":[]}}"#))).await;
    other.send(event(&victim, "AppStatusEvent", &format!(r#"{{"id":"{own}","status":2}}"#))).await;
    other.send(event(&own, "PortsUpdateEvent", &format!(r#"{{"appId":"{victim}","webPort":1}}"#))).await;
    // Who did not name itself has nothing to say.
    client.send(services(&own, "ServicesExposedEvent", &["test.Echo"])).await;
    other.expect_nothing().await;
    client.expect_nothing().await;
    assert_eq!(outcome(&mut client, &mut server, "test.Echo").await, Ok(()));
    assert_eq!(broker.labelled("towline_events_total", "foreign"), 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_registers_no_more_by_events_than_by_setup() {
    let broker = Broker::with(|config| config.registration.max_services = 3).await;
    let mut client = broker.client().await;
    let mut server = broker.join(Setup::app("app").service("test.A").service("test.B")).await;
    server.send(services(&uuid("app"), "ServicesExposedEvent", &["test.C", "test.D"])).await;
    server.expect_nothing().await;
    assert_eq!(outcome(&mut client, &mut server, "test.C").await, Ok(()));
    assert!(outcome(&mut client, &mut server, "test.D").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_over_the_rate_or_64_kib_are_not_read_and_the_connection_stays() {
    let broker = Broker::start().await;
    let mut server = broker.join(Setup::app("app").service("test.Echo")).await;
    let long = format!("test.{}", "x".repeat(64 * 1024));
    server.send(services(&uuid("app"), "ServicesExposedEvent", &[&long])).await;
    server.expect_nothing().await;
    assert_eq!(broker.labelled("towline_events_total", "limited"), 1.0);
    for _ in 0..500 {
        server.send(status(&uuid("app"), 1)).await;
    }
    server.expect_nothing().await;
    let (taken, limited) =
        (broker.labelled("towline_events_total", "taken"), broker.labelled("towline_events_total", "limited"));
    assert!(taken >= 39.0 && limited > 300.0 && taken + limited == 501.0, "{taken} taken, {limited} not");
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
