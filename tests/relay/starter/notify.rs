//! Events that an app has the broker send to other apps.

use super::*;
use serde_json::json;

const SERVICE: &str = "com.alibaba.rsocket.cloudevents.CloudEventsNotifyService";

fn method(name: &str) -> String {
    format!("{SERVICE}.{name}")
}

/// An event with so much data, written as no library would write it.
fn event(len: usize) -> String {
    let data = "x".repeat(len);
    format!(
        r#"{{ "type":"com.acme.Changed","specversion":"1.0","id":"7","source":"app://x/","data":{{"a":"{data}"}} }}"#
    )
}

async fn expect_event(app: &mut Peer, event: &str) {
    let frame = app.expect(FrameType::MetadataPush).await;
    assert_eq!(frame.view().stream_id(), 0);
    assert_eq!(frame.view().metadata(), Some(event.as_bytes()), "bare JSON, as it was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_one_app_as_it_is_and_its_sender_gets_complete() {
    let broker = Broker::start().await;
    let mut one = broker.join(Setup::app("one")).await;
    let mut two = broker.join(Setup::app("two")).await;
    let mut starter = broker.join(Setup::app("starter").data_mime(HESSIAN)).await;
    let data = hessian(&[&uuid("one"), &event(50)]);
    starter.send(call_with(1, Some(&asking(&method("notify"), mime::HESSIAN)), &data)).await;
    expect_done(&mut starter, 1).await;
    expect_event(&mut one, &event(50)).await;
    // Java writes what is beyond 16 bits as two surrogates; white space around an event is not its.
    let mut client = broker.client().await;
    ask(&mut client, 1, &method("notify"), &json!([uuid("one"), format!(" {} ", event(0).replace("7", "😀"))])).await;
    expect_done(&mut client, 1).await;
    expect_event(&mut one, &event(0).replace("7", "😀")).await;
    two.expect_nothing().await;
    assert_eq!(broker.labelled("towline_pushes_total", "sent"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_every_app_of_a_name_once() {
    let broker = Broker::start().await;
    let setup = |id: &str| Setup::app("shop").uuid(&uuid(id));
    let mut older = broker.join(setup("one")).await;
    let mut one = broker.join(setup("one")).await;
    let mut two = broker.join(setup("two").service("test.Echo")).await;
    let mut others = [broker.join(Setup::app("Shop")).await, broker.client().await];
    ask(&mut others[1], 1, &method("notifyAll"), &json!(["shop", event(10)])).await;
    expect_done(&mut others[1], 1).await;
    expect_event(&mut one, &event(10)).await;
    expect_event(&mut two, &event(10)).await;
    for app in others.iter_mut().chain([&mut older, &mut one, &mut two]) {
        app.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_nobody_is_no_error_and_counted() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    for (name, whom) in [("notify", uuid("nobody")), ("notifyAll", "nobody".to_owned())] {
        ask(&mut client, 1, &method(name), &json!([whom, event(0)])).await;
        expect_done(&mut client, 1).await;
    }
    // Nor to the broker's own services.
    ask(&mut client, 1, &method("notifyAll"), &json!(["towline.starter", event(0)])).await;
    expect_done(&mut client, 1).await;
    assert_eq!(broker.labelled("towline_pushes_total", "unknown"), 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_goes_nowhere() {
    let broker = Broker::start().await;
    let mut one = broker.join(Setup::app("one")).await;
    let mut client = broker.client().await;
    let large = event(64 * 1024);
    for bad in [
        "",
        "{",
        "7",
        "[]",
        "{}",
        r#"["1.0","7","app://x/","com.acme.Changed"]"#,
        r#"{"specversion":"1.0","id":"","source":"x","type":"x"}"#,
        r#"{"specversion":"1.0","id":"1","source":"x"}"#,
        r#"{"specversion":"1.0","id":"1","source":"x","type":"Towline.drain"}"#,
        r#"{"specversion":"1.0","id":"1","source":"x","type":"com.alibaba.rsocket.events.configEvent"}"#,
        r#"{"specversion":"1.0","id":"1","source":"x","type":"com.alibaba.rsocket.upstream.UpstreamClusterChangedEvent"}"#,
        &large,
    ] {
        let (code, text) = refused(&mut client, &method("notify"), &json!([uuid("one"), bad])).await;
        assert!(code == 0x204 && text.starts_with("RST-700501"), "{bad:.80}: {code:#x} {text}");
    }
    let (_, text) = refused(&mut client, &method("notifyAll"), &json!(["", event(0)])).await;
    assert!(text.starts_with("RST-700501"), "{text}");
    let (_, text) = refused(&mut client, &method("notifyMe"), &json!(["", event(0)])).await;
    assert!(text.starts_with("RST-201404"), "{text}");
    one.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_sends_no_more_events_for_others_than_of_itself() {
    let broker = Broker::with(|config| config.registration.events_per_second = 3).await;
    let mut one = broker.join(Setup::app("one")).await;
    let mut client = broker.client().await;
    let mut other = broker.client().await;
    let mut sent = 0;
    for nth in 0..200 {
        ask(&mut client, 1 + 2 * nth, &method("notify"), &json!([uuid("one"), event(0)])).await;
    }
    for _ in 0..200 {
        let frame = client.recv().await;
        if frame.view().kind() == FrameType::Payload {
            sent += 1;
            continue;
        }
        let text = String::from_utf8_lossy(frame.view().data()).into_owned();
        assert!(frame.view().error_code() == 0x202 && text.ends_with(" retry-after-ms=333"), "{text}");
    }
    assert!((6..100).contains(&sent), "two seconds' worth at once, and few more: {sent}");
    ask(&mut other, 1, &method("notify"), &json!([uuid("one"), event(0)])).await;
    expect_done(&mut other, 1).await;
    assert_eq!(one.fence().await.len(), sent + 1, "another connection has its own rate");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_takes_nothing_misses_events_and_the_others_do_not() {
    const LEN: usize = 60 * 1024;
    let broker = Broker::with(|config| config.registration.events_per_second = 10_000).await;
    let setup = |id: &str| Setup::app("shop").uuid(&uuid(id));
    let stuck = Peer::connect_narrow(&broker.address).await.introduced(&setup("stuck")).await;
    let mut fine = broker.join(setup("fine")).await;
    let mut client = broker.client().await;
    let mut taken = 0;
    let text = loop {
        ask(&mut client, 1, &method("notify"), &json!([uuid("stuck"), event(LEN)])).await;
        let frame = client.recv().await;
        if frame.view().kind() == FrameType::Error {
            assert_eq!(frame.view().error_code(), 0x202);
            break String::from_utf8_lossy(frame.view().data()).into_owned();
        }
        taken += 1;
        // The mark, and what the two kernels hold.
        assert!(taken * LEN < 16 << 20, "the broker holds any number");
    };
    assert!(text.contains("has not taken what waits for it retry-after-ms="), "{text}");
    ask(&mut client, 1, &method("notifyAll"), &json!(["shop", event(LEN)])).await;
    expect_done(&mut client, 1).await;
    expect_event(&mut fine, &event(LEN)).await;
    assert_eq!(broker.labelled("towline_pushes_total", "full"), 2.0);
    drop(stuck);
}
