//! What unmodified Java starters and the Java broker said to each other, played against this broker.
//!
//! The rules. Every frame that an app sent is sent as it was recorded. What went through the Java broker goes through this one,
//! to a scripted peer that answers as recorded, and arrives byte for byte; only the ids of streams that the broker opens are its
//! own, and credit comes in its own portions, never more than was given. A request without the type of its data gets that of
//! SETUP appended, as there. What the Java broker said itself this one says byte for byte, except that hints may follow the
//! words of an error. [`LEFT_OUT`] has every line of which that is not so, with its reason.

mod harness;
#[path = "replay/recording.rs"]
mod recording;
#[path = "replay/scene.rs"]
mod scene;

use harness::*;
use recording::{Event, Line, on, read};
use scene::{Scene, Tally};
use serde_json::json;
use std::collections::BTreeSet;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{CompositeBuilder, mime, routing};
use towline_rsocket::{Frame, FrameType, flags};

const REQUESTER: &str = "example-requester.jsonl";
const RESPONDER: &str = "example-responder.jsonl";
const DISCOVERY: &str = "discovery-and-cluster-change.jsonl";
const REJECTED: &str = "rejected-setup.jsonl";
const BROKER_CALLS: &str = "broker-calls-app.jsonl";

/// Each broker asks whether an app lives by a clock of its own.
const OWN_CLOCK: &str = "a KEEPALIVE that the Java broker sent on its own clock";
/// An app is told of other brokers only if there are any.
const ONE_BROKER: &str = "UpstreamClusterChangedEvent: this broker is alone";
const NO_AUTHENTICATION: &str = "RST-500405: this broker has no authentication, and takes the app";
const NO_SCRAPE: &str = "this broker scrapes no metrics of apps";
/// What is asked is the same, of an app that is named in a further tag: see the test.
const NAMED: &str = "the question names the app it is for";

/// Lines that are not played, or not as they are.
const LEFT_OUT: [(&str, usize, &str); 11] = [
    (REQUESTER, 9, OWN_CLOCK),
    (RESPONDER, 10, OWN_CLOCK),
    (DISCOVERY, 12, OWN_CLOCK),
    (DISCOVERY, 7, ONE_BROKER),
    (REJECTED, 3, NO_AUTHENTICATION),
    (REJECTED, 4, NO_AUTHENTICATION),
    (REJECTED, 5, NO_AUTHENTICATION),
    (BROKER_CALLS, 2, NO_SCRAPE),
    (BROKER_CALLS, 3, NO_SCRAPE),
    (BROKER_CALLS, 4, NAMED),
    (BROKER_CALLS, 5, NAMED),
];

fn left_out(file: &str) -> BTreeSet<usize> {
    LEFT_OUT.iter().filter(|(name, ..)| *name == file).map(|(_, nth, _)| *nth).collect()
}

/// Services the example app publishes.
const SERVICES: [&str; 5] = ["UserService2", "UserService", "RxUserService", "Rx3UserService", "AccountService"];

/// A peer that stands for the other side of the example.
fn example() -> Setup {
    Setup::app("other").data_mime("application/x-hessian")
}

/// Plays all of it but what is left out; says how many lines were played.
async fn play(file: &str, scene: &mut Scene) -> Tally {
    let (lines, left_out) = (read(file), left_out(file));
    for line in lines.iter().filter(|line| !left_out.contains(&line.nth)) {
        scene.play(line).await;
    }
    let Tally { sent, matched, relayed } = scene.tally;
    assert_eq!(sent + matched + relayed + left_out.len(), lines.len(), "every line of {file} has its place");
    scene.tally
}

/// Frames of this type that the app sent.
fn sent(file: &str, kind: FrameType) -> usize {
    let is_such = |line: &Line| matches!(&line.event, Event::Frame(frame) if frame.view().kind() == kind);
    read(file).iter().filter(|line| line.is_from_app && is_such(line)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_requester_gets_what_it_got_from_the_java_broker() {
    let broker = Broker::start().await;
    let setup = SERVICES.iter().fold(example(), |setup, name| setup.service(&format!("com.alibaba.user.{name}")));
    let mut scene = Scene::new(broker.connect().await, Some(broker.join(setup).await));
    let tally = play(REQUESTER, &mut scene).await;
    assert_eq!(tally, Tally { sent: 7, matched: 4, relayed: 162 });
    scene.app.expect_nothing().await;
    scene.other.as_mut().expect("the responder").expect_nothing().await;
    assert_eq!(broker.labelled("towline_events_total", "taken"), sent(REQUESTER, FrameType::MetadataPush) as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_responder_is_asked_what_the_java_broker_asked_it() {
    let broker = Broker::start().await;
    let mut scene = Scene::new(broker.connect().await, Some(broker.join(example()).await));
    let tally = play(RESPONDER, &mut scene).await;
    assert_eq!(tally, Tally { sent: 8, matched: 4, relayed: 164 });
    scene.app.expect_nothing().await;
    scene.other.as_mut().expect("the requester").expect_nothing().await;
    assert_eq!(broker.labelled("towline_events_total", "taken"), sent(RESPONDER, FrameType::MetadataPush) as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_asks_for_its_brokers_is_answered_as_by_the_java_broker() {
    let broker = Broker::with(|config| config.listen.advertised = vec!["tcp://192.0.2.2:9999".to_owned()]).await;
    let mut scene = Scene::new(broker.connect().await, None);
    let tally = play(DISCOVERY, &mut scene).await;
    assert_eq!(tally, Tally { sent: 10, matched: 8, relayed: 0 });
    assert_eq!(broker.labelled("towline_events_total", "taken"), 1.0);
    broker.until("towline_links_closed_total", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_needed_authentication_there_is_taken_here() {
    let broker = Broker::start().await;
    let mut scene = Scene::new(broker.connect().await, None);
    let tally = play(REJECTED, &mut scene).await;
    assert_eq!(tally, Tally { sent: 2, matched: 0, relayed: 0 });
    scene.app.peer.expect_item(1, flags::NEXT | flags::COMPLETE, &[0x91]).await;
    scene.app.expect_nothing().await;
}

/// The recorded SETUP with a uuid that is too short, in as many bytes; everything else about a refusal is as recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_app_gets_one_error_and_its_health_check_nothing() {
    let broker = Broker::start().await;
    let frames = read(REJECTED);
    let frame = |nth: usize| match &frames[nth].event {
        Event::Frame(frame) => frame.clone(),
        Event::End => panic!("line {} is an end", nth + 1),
    };
    let uuid = "0fd82e45-93aa-44c9-8c00-4d8ae4df496c\"";
    let setup = frame(0);
    let bytes = setup.view().bytes();
    let at = bytes.windows(uuid.len()).position(|window| window == uuid.as_bytes()).expect("the uuid");
    let short = format!("{:<1$}", "short\"", uuid.len());
    let setup = [&bytes[..at], short.as_bytes(), &bytes[at + short.len()..]].concat();
    let mut app = broker.connect().await;
    app.send_bytes(&[framed(&setup), framed(frame(1).view().bytes())].concat()).await;
    let refusal = app.expect(FrameType::Error).await;
    let (seen, recorded) = (refusal.view(), frame(2));
    let head = recorded.view().bytes().len() - recorded.view().data().len();
    assert_eq!(seen.bytes()[..head], recorded.view().bytes()[..head], "stream 0, REJECTED_SETUP");
    assert!(seen.data().starts_with(b"RST-500410: "), "{}", String::from_utf8_lossy(seen.data()));
    app.expect_closed().await;
    assert_eq!(broker.labelled("towline_setups_refused_total", "rejected"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_asked_for_a_definition_as_by_the_java_broker() {
    const METHOD: &str = "com.alibaba.rsocket.rpc.ReactiveServiceDiscovery.findServiceByFullName";
    let broker = Broker::start().await;
    let mut scene = Scene::new(broker.connect().await, None);
    assert_eq!(play(BROKER_CALLS, &mut scene).await, Tally { sent: 1, matched: 0, relayed: 0 });
    let app = &mut scene.app.peer;
    app.expect_nothing().await;
    let lines = read(BROKER_CALLS);
    let [.., Line { event: Event::Frame(question), .. }, Line { event: Event::Frame(answer), .. }] = &lines[..] else {
        panic!("a question and its answer")
    };
    // In the Java broker a page of its console asks; here it is another app.
    let mut client = broker.client().await;
    client.send(call(1, METHOD, json!(["com.alibaba.user.UserService"]).to_string().as_bytes())).await;
    let asked = app.expect(FrameType::RequestResponse).await;
    let tags = |further: &[&str]| {
        let tags = routing::write_tags([METHOD].iter().chain(further).copied()).expect("short tags");
        CompositeBuilder::new().entry(mime::ROUTING, &tags).message_mime(mime::JSON).finish().to_vec()
    };
    let (metadata, data) = parts(question);
    assert_eq!(metadata, Some(tags(&[])), "as recorded");
    let wanted = tags(&["e=uuid:ae92d7be-8777-4dbf-b9a1-44501d3a89d9"]);
    assert_eq!(parts(&asked), (Some(wanted), data), "the same, and whom it is for");
    app.send(on(answer, asked.view().stream_id())).await;
    let parts = PayloadParts { metadata: answer.view().metadata(), data: answer.view().data() };
    let wanted = Frame::payload(1, flags::NEXT | flags::COMPLETE, parts);
    assert_eq!(client.recv().await.view().bytes(), wanted.view().bytes());
}

#[test]
fn what_is_left_out_is_what_its_reason_says() {
    for (file, nth, reason) in LEFT_OUT {
        let line = &read(file)[nth - 1];
        let text = match &line.event {
            Event::End => "the end".to_owned(),
            Event::Frame(frame) => {
                let view = frame.view();
                let text = [view.metadata().unwrap_or_default(), view.data()].concat();
                format!("{:?} {}", view.kind(), String::from_utf8_lossy(&text))
            }
        };
        let word = match reason {
            OWN_CLOCK => "Keepalive ",
            ONE_BROKER => "UpstreamClusterChangedEvent",
            NO_AUTHENTICATION if line.nth > 3 => "the end",
            NO_AUTHENTICATION => "RST-500405",
            NO_SCRAPE if line.is_from_app => "# HELP executor_completed_tasks_total",
            NO_SCRAPE => "MetricsService.scrape",
            NAMED => "UserService",
            other => panic!("{other}"),
        };
        assert!(text.contains(word), "{file} {nth}: {text:.200}");
        assert!(!line.is_from_app || [NO_AUTHENTICATION, NO_SCRAPE, NAMED].contains(&reason), "{file} {nth}");
    }
}
