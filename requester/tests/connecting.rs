//! How an app comes to its brokers, stays there, and leaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;
use support::{Act, Broker, DeskClient, Seen, soon};
use towline_requester::rsocket::metadata::{Composite, mime};
use towline_requester::rsocket::{ConnectionError, ErrorCode};
use towline_requester::{App, Phase, RpcError, StartError};

fn yes(_: &Seen) -> Act {
    Act::Answer("yes")
}

#[tokio::test]
async fn setup_says_who_the_app_is() {
    let mut broker = Broker::start(yes).await;
    let app =
        broker.app().name("shop").zone("a").weight(3).label("tier", "gold").token("secret").start().await.unwrap();
    let accepted = broker.next().await;
    assert_eq!(accepted.setup.metadata_mime, "message/x.rsocket.composite-metadata.v0");
    assert_eq!(accepted.setup.data_mime, "application/x-msgpack");
    let application = accepted.application();
    assert_eq!((&application["name"], &application["uuid"]), (&json!("shop"), &json!(app.uuid())));
    assert_eq!(application["metadata"], json!({"zone": "a", "weight": "3", "labels.tier": "gold"}));
    assert_eq!(accepted.json(mime::SERVICE_REGISTRY), None);
    let metadata = accepted.setup.metadata.as_deref().unwrap();
    assert_eq!(Composite::new(metadata).find(mime::AUTHENTICATION), Some(&b"\x81secret"[..]));
    assert_eq!((app.connected(), app.name()), (1, "shop"));
}

#[tokio::test]
async fn an_app_returns_with_the_same_uuid_when_its_broker_does() {
    let mut broker = Broker::start(yes).await;
    let app = broker.app().start().await.unwrap();
    let desk = app.client::<DeskClient>();
    let first = broker.next().await;
    let address = broker.address.clone();
    broker.stop().await;
    first.connection.close(None);
    let mut state = app.state();
    soon(state.wait_for(|state| state.connected == 0)).await.unwrap();
    // Asked while nobody is there: it waits.
    let waiting = tokio::spawn(async move { desk.ask("?".to_owned()).await });
    let mut broker = Broker::again(&address, yes).await;
    let second = broker.next().await;
    assert_eq!(first.application()["uuid"], second.application()["uuid"]);
    assert_eq!(soon(waiting).await.unwrap().unwrap(), "yes");
    assert!(app.wait_connected().await);
}

#[tokio::test]
async fn a_refused_app_is_told_why() {
    let broker = Broker::refusing("RST-500405: who are you").await;
    let error = broker.app().start().await.unwrap_err();
    let expected = StartError::Refused { broker: broker.address.clone(), text: "RST-500405: who are you".to_owned() };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn an_app_starts_with_the_brokers_that_are_there() {
    let (broker, refusing) = (Broker::start(yes).await, Broker::refusing("no").await);
    let app = App::connect([&refusing.address, &broker.address]).start().await.unwrap();
    assert_eq!(app.connected(), 1);
}

#[tokio::test]
async fn start_gives_up_in_time_and_says_why() {
    let broker = Broker::start(yes).await;
    let address = broker.address.clone();
    broker.stop().await;
    let within = Duration::from_millis(50);
    let StartError::NotConnected { trouble, .. } =
        App::connect(&address).connect_timeout(within).start().await.unwrap_err()
    else {
        panic!("nobody is there")
    };
    assert!(trouble.starts_with(&format!("{address}: ")), "{trouble}");
    // Started all the same, its calls wait as long as they may.
    let app = App::connect(&address).start_detached().unwrap();
    let error = app.client::<DeskClient>().ask("?".to_owned()).timeout(within).await.unwrap_err();
    let error = error.rpc().unwrap();
    assert_eq!((error.code, error.is_retryable()), (RpcError::CONNECTION_CLOSED, true));
    assert!(error.message.starts_with("no broker is connected, and none was in time:"), "{error}");
}

#[tokio::test]
async fn an_app_leaves_a_broker_that_drains_and_returns() {
    let mut broker =
        Broker::start(|seen| if seen.route.ends_with("follow") { Act::Answer("0") } else { Act::Answer("1") }).await;
    let app = broker.app().start().await.unwrap();
    let desk = app.client::<DeskClient>();
    let mut following = desk.follow("x".to_owned()).start();
    assert_eq!(following.next().await.unwrap().unwrap(), "0");
    let first = broker.next().await;
    let event = json!({"specversion": "1.0", "id": "1", "source": "broker://x/", "type": "towline.drain", "data": {}});
    first.connection.metadata_push(Bytes::from(event.to_string()));
    let second = broker.next().await;
    assert_eq!(first.application()["uuid"], second.application()["uuid"]);
    // New calls go to the new connection, the old stream keeps the old one open.
    assert_eq!(desk.ask("x".to_owned()).await.unwrap(), "1");
    assert_eq!((first.connection.open_streams(), first.connection.is_closed()), (1, false));
    drop(following);
    let ConnectionError::Refused { code, .. } = soon(first.connection.closed()).await else {
        panic!("it is closed in peace")
    };
    assert_eq!(code, ErrorCode::CONNECTION_CLOSE);
    assert!(!second.connection.is_closed());
}

#[tokio::test]
async fn close_waits_for_what_is_in_progress() {
    let mut broker = Broker::start(|_| Act::Answer("0")).await;
    let app = broker.app().start().await.unwrap();
    let desk = app.client::<DeskClient>();
    let mut following = desk.follow("x".to_owned()).start();
    following.next().await.unwrap().unwrap();
    let closing = tokio::spawn({
        let app = app.clone();
        async move { app.close().await }
    });
    let mut state = app.state();
    soon(state.wait_for(|state| state.phase == Phase::Closing)).await.unwrap();
    let error = desk.ask("x".to_owned()).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().message, "this app is closed");
    assert!(!closing.is_finished());
    drop(following);
    soon(closing).await.unwrap();
    assert_eq!((app.connected(), app.state().borrow().phase), (0, Phase::Closed));
    soon(broker.next().await.connection.closed()).await;
}

#[tokio::test]
async fn close_waits_no_longer_than_its_grace() {
    let mut broker = Broker::start(|_| Act::Answer("0")).await;
    let app = broker.app().grace(Duration::from_millis(10)).start().await.unwrap();
    let mut following = app.client::<DeskClient>().follow("x".to_owned()).start();
    following.next().await.unwrap().unwrap();
    soon(app.close()).await;
    let error = following.next().await.unwrap().unwrap_err();
    assert_eq!(error.rpc().unwrap().code, RpcError::CONNECTION_CLOSED);
    soon(broker.next().await.connection.closed()).await;
}

#[tokio::test]
async fn an_app_closes_with_its_last_handle() {
    let mut broker = Broker::start(yes).await;
    let app = broker.app().start().await.unwrap();
    let connection = broker.next().await.connection;
    let desk = app.client::<DeskClient>();
    drop(app);
    assert_eq!(desk.ask("x".to_owned()).await.unwrap(), "yes");
    drop(desk);
    soon(connection.closed()).await;
}

#[tokio::test]
async fn an_app_over_one_transport_ends_with_it() {
    let (mut broker, near) = Broker::in_memory(yes);
    let app = App::over(Arc::new(near)).start().await.unwrap();
    assert_eq!(app.client::<DeskClient>().ask("x".to_owned()).await.unwrap(), "yes");
    broker.next().await.connection.close(None);
    soon(app.closed()).await;
    let error = app.client::<DeskClient>().ask("x".to_owned()).await.unwrap_err();
    assert_eq!(error.rpc().unwrap().message, "this app is closed");
    assert!(!app.wait_connected().await);
}
