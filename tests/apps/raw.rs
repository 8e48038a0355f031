//! The raw API, with itself and with `#[service]` apps.

use super::desk::{DeskClient, call, serve, soon};
use super::harness::Broker;
use super::legacy::{Legacy, error};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use rsocket_rust::error::RSocketError;
use rsocket_rust::extension::{CompositeMetadata, MimeType, RoutingMetadata};
use rsocket_rust::prelude::{Flux, Payload, RSocket};
use rsocket_rust::utils::Writeable;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use towline_responder::{App, CallOptions, RpcError, Streaming, service};

/// What `test.Legacy` looks like to those who call it by a trait.
#[service(name = "test.Legacy", encoding = "json")]
trait LegacyCalls {
    /// Its one argument, in an array.
    async fn echo(&self, text: String) -> Result<Vec<String>, RpcError>;
    async fn fail(&self) -> Result<(), RpcError>;
    #[rpc(timeout = "60s")]
    async fn left(&self) -> Result<(), RpcError>;
    #[rpc(oneway)]
    async fn note(&self, text: String);
    fn count(&self, to: u64) -> impl Stream<Item = Result<u64, RpcError>>;
    fn talk(&self, said: Streaming<String>) -> impl Stream<Item = Result<String, RpcError>>;
}

/// What goes into a channel and comes out of a stream.
pub(crate) type Items = Flux<rsocket_rust::Result<Payload>>;

/// Composite metadata as rsocket_rust writes it: a route, and an entry of one's own.
fn metadata(route: &str) -> Vec<u8> {
    let routing = RoutingMetadata::builder().push_str(route).build();
    CompositeMetadata::builder()
        .push(MimeType::MESSAGE_X_RSOCKET_ROUTING_V0, routing.bytes())
        .push(MimeType::from("message/x.rsocket.mime-type.v0"), [0x80 | 0x21])
        .push(MimeType::from("x/own"), "of one's own")
        .build()
        .into()
}

pub(crate) fn payload(route: &str, data: &str) -> Payload {
    Payload::builder().set_metadata(metadata(route)).set_data_utf8(data).build()
}

pub(crate) fn data(payload: &Payload) -> &str {
    payload.data_utf8().unwrap_or_default()
}

/// Metadata and data.
fn parts(payload: Payload) -> (Option<Vec<u8>>, String) {
    let text = data(&payload).to_owned();
    (payload.metadata().map(|metadata| metadata.to_vec()), text)
}

async fn collect(answers: Items) -> Vec<Payload> {
    soon(answers.try_collect()).await.expect("no error")
}

fn flux(items: impl Stream<Item = Payload> + Send + 'static) -> Items {
    Box::pin(items.map(Ok))
}

/// A broker, an instance of `test.Legacy`, and an app that calls.
pub(crate) async fn scene() -> (Broker, Arc<Legacy>, tokio::sync::mpsc::Receiver<Payload>, [App; 2]) {
    let broker = Broker::start().await;
    let (legacy, hears) = Legacy::new(None);
    let serving = legacy.serve(&broker.address).await;
    let (calling, _) = call(&broker.address).await;
    (broker, legacy, hears, [calling, serving])
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_calls_raw_and_not_a_byte_is_touched() {
    let (_broker, _legacy, mut told, [app, _serving]) = scene().await;
    let raw = app.raw();
    let answer = soon(raw.request_response(payload("test.Legacy.echo", "hi"))).await.expect("it answers");
    let same = |data: &str, route: &str| (Some(metadata(route)), data.to_owned());
    assert_eq!(parts(answer.expect("a payload")), same("hi", "test.Legacy.echo"));
    assert!(soon(raw.request_response(payload("test.Legacy.none", "x"))).await.expect("it answers").is_none());
    raw.fire_and_forget(payload("test.Legacy.note", "noted")).await.expect("it is sent");
    assert_eq!(parts(soon(told.recv()).await.expect("it arrives")), same("noted", "test.Legacy.note"));
    let twice = collect(raw.request_stream(payload("test.Legacy.twice", "2"))).await;
    assert_eq!(twice.into_iter().map(parts).collect::<Vec<_>>(), vec![same("2", "test.Legacy.twice"); 2]);
    let items = [Payload::from(("1", "of its own")), Payload::from("2"), Payload::from(("", ""))];
    let all = [vec![payload("test.Legacy.echo", "0")], items.to_vec()].concat();
    let back = collect(raw.request_channel(flux(stream::iter(all)))).await;
    let items = [(Some(b"of its own".to_vec()), "1"), (None, "2"), (Some(Vec::new()), "")];
    let expected = items.map(|(metadata, data)| (metadata, data.to_owned()));
    assert_eq!(
        back.into_iter().map(parts).collect::<Vec<_>>(),
        [&[same("0", "test.Legacy.echo")], &expected[..]].concat()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_calls_raw() {
    let (_broker, _legacy, mut told, [app, _serving]) = scene().await;
    let calls = app.client::<LegacyCallsClient>();
    assert_eq!(soon(calls.echo("hi".to_owned()).into_future()).await, Ok(vec!["hi".to_owned()]));
    assert!(soon(calls.left().into_future()).await.is_ok(), "its handler knows the deadline");
    calls.note("noted".to_owned()).await.expect("it is sent");
    assert_eq!(data(&soon(told.recv()).await.expect("it arrives")), r#"["noted"]"#);
    let counted: Vec<_> = soon(calls.count(100).prefetch(7).start().try_collect()).await.expect("no error");
    assert_eq!(counted, (1..=100).collect::<Vec<_>>());
    let said = stream::iter(["hi", "bye"]).map(str::to_owned);
    let heard: Vec<_> = soon(calls.talk(said).start().try_collect()).await.expect("no error");
    assert_eq!(heard, ["hi", "bye"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_calls_a_service_by_the_calling_convention() {
    let broker = Broker::start().await;
    let (_responder, _clerk) = serve(&broker.address, "one").await;
    let (app, _) = call(&broker.address).await;
    let desk = |method: &str| app.raw_to(format!("test.Desk.{method}:1")).with_data_mime("application/json");
    let json = |value: Value| Payload::builder().set_data_utf8(&value.to_string()).build();
    let answer = soon(desk("double").request_response(json(json!([21])))).await.expect("it answers");
    assert_eq!(answer.as_ref().map(data), Some("42"));
    let counted = collect(desk("count").request_stream(json(json!([3])))).await;
    assert_eq!(counted.iter().map(data).collect::<Vec<_>>(), ["1", "2", "3"]);
    let items = stream::iter([Payload::new(None, None)]).chain(stream::iter(1..=100).map(move |n| json(json!(n))));
    assert_eq!(collect(desk("sum").request_channel(flux(items))).await.iter().map(data).collect::<Vec<_>>(), ["5050"]);
    let said = stream::iter([json!(["a"]), json!("hi"), json!("bye")]).map(json);
    let heard = collect(desk("echo").request_channel(flux(said))).await;
    assert_eq!(heard.iter().map(data).collect::<Vec<_>>(), [r#""a: hi""#, r#""a: bye""#]);
    let refused = soon(desk("double").request_response(json(json!([100])))).await.expect_err("it is too large");
    let Ok(RSocketError::ApplicationException(text)) = refused.downcast() else { panic!("the method decided") };
    assert!(text.starts_with(r#"{"code":"too-large""#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_keep_their_code_and_text_in_every_interaction() {
    let (_broker, _legacy, _told, [app, _serving]) = scene().await;
    let fail = app.raw_to("test.Legacy.fail");
    let shown = |error: rsocket_rust::error::RSocketError| format!("{error:?}");
    for asked in ["513 plain", "515 stopped", "516 wrong", "769 an own code", "3405691582 a far one"] {
        let request = || Payload::builder().set_data_utf8(asked).build();
        let single = soon(fail.request_response(request())).await.expect_err("it fails");
        assert_eq!(shown(single.downcast().expect("an RSocketError")), shown(error(asked)));
        let items: Vec<_> = soon(fail.request_stream(request()).collect()).await;
        let [Ok(_), Err(last)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(format!("{:?}", last.downcast_ref::<RSocketError>().expect("an RSocketError")), shown(error(asked)));
    }
    // What belongs to a connection, or to nothing, never goes out on a stream.
    for asked in ["258 of a connection", "4294967295 reserved", "0 reserved"] {
        let request = Payload::builder().set_data_utf8(asked).build();
        let failed = soon(fail.request_response(request)).await.expect_err("it fails");
        assert!(matches!(failed.downcast(), Ok(RSocketError::ApplicationException(_))), "{asked}");
    }
    let other = soon(app.raw_to("test.Legacy.other").request_response(Payload::from("x"))).await.expect_err("it fails");
    assert_eq!(other.to_string(), "APPLICATION_ERROR: an error of its own");
    let calls = app.client::<LegacyCallsClient>();
    let failed = soon(calls.fail().into_future()).await.expect_err("a code without a text is no code");
    assert_eq!(failed.rpc().expect("it is not typed").code, RpcError::APPLICATION_ERROR);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_tried_again_and_then_told() {
    let (_broker, legacy, _told, [app, _serving]) = scene().await;
    let request = Payload::builder().set_data_utf8("514 full").build();
    let options = CallOptions { timeout: Some(Duration::from_secs(20)), ..CallOptions::default() };
    let failed = soon(app.raw_to("test.Legacy.fail").with_options(options).request_response(request)).await;
    let Ok(RSocketError::RequestRejected(text)) = failed.expect_err("it fails").downcast() else { panic!("REJECTED") };
    assert_eq!((text.as_str(), *legacy.made.borrow()), ("full", 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_without_metadata_goes_where_the_handle_says_and_nowhere_else() {
    let (_broker, _legacy, _told, [app, _serving]) = scene().await;
    let nowhere = soon(app.raw().request_response(Payload::from("x"))).await.expect_err("it says nothing");
    let Ok(RSocketError::RequestInvalid(text)) = nowhere.downcast() else { panic!("INVALID") };
    assert!(text.starts_with("RST-600404"), "{text}");
    let bare = app.raw_to("test.Legacy.bare");
    let answer = soon(bare.request_response(Payload::from("x"))).await.expect("it answers").expect("a payload");
    assert_eq!(parts(answer), (None, "x".to_owned()));
    let empty = soon(bare.request_response(Payload::new(None, None))).await.expect("it answers").expect("a payload");
    assert!(empty.metadata().is_none() && empty.data().is_none(), "{empty:?}");
    // An entry of its own stays behind those that are added.
    let own = CompositeMetadata::builder().push(MimeType::from("x/own"), "mine").build();
    let request = Payload::builder().set_metadata(own).set_data_utf8("x").build();
    let echo = app.raw_to("test.Legacy.echo").with_data_mime("text/plain");
    let answer = soon(echo.request_response(request)).await.expect("it answers").expect("a payload");
    let (metadata, _) = parts(answer);
    let metadata = metadata.expect("it came with some");
    assert!(metadata.starts_with(b"\xfe\x00\x00\x11\x10test.Legacy.echo"), "{metadata:?}");
    assert!(metadata.ends_with(b"\xfa\x00\x00\x01\xa1\x04x/own\x00\x00\x04mine"), "{metadata:?}");
    for too_long in [app.raw_to("x".repeat(256)), app.raw_to("a.b").with_data_mime("")] {
        let failed = soon(too_long.request_response(Payload::from("x"))).await.expect_err("it cannot be written");
        assert!(matches!(failed.downcast(), Ok(RSocketError::RequestInvalid(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_fails_ends_its_channel_on_both_sides() {
    let (_broker, legacy, _told, [app, _serving]) = scene().await;
    let items = stream::iter([Ok(payload("test.Legacy.echo", "0")), Err(error("769 no more").into())]);
    let answers: Vec<_> = soon(app.raw().request_channel(Box::pin(items)).collect()).await;
    assert!(answers.last().is_some_and(|last| last.is_err()), "{answers:?}");
    legacy.runs(0).await;
    let none: Vec<_> = soon(app.raw().request_channel(Box::pin(stream::empty())).collect()).await;
    assert!(none.is_empty(), "{none:?}");
    let first: Items = Box::pin(stream::iter([Err(error("769 not even one").into())]));
    let answers: Vec<_> = soon(app.raw().request_channel(first).collect()).await;
    let [Err(own)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(own.to_string(), "RESERVED(769): not even one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_behind_it_is_no_refusal_of_its_own() {
    let broker = Broker::start().await;
    let (app, _) = call(&broker.address).await;
    let (legacy, _told) = Legacy::new(Some(Arc::new(app.raw_to("test.Nobody.there"))));
    let _serving = legacy.serve(&broker.address).await;
    let failed = soon(app.raw_to("test.Legacy.forward").request_response(Payload::from("x"))).await;
    let Ok(RSocketError::ApplicationException(text)) = failed.expect_err("nobody is there").downcast() else {
        panic!("its own request was delivered")
    };
    assert!(text.starts_with("RST-900500: Service invoked failed: RST-900404"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_metadata_reaches_the_broker() {
    let (_broker, _legacy, _told, [app, serving]) = scene().await;
    let event = json!({
        "specversion": "1.0", "id": "1", "source": format!("app://{}/", serving.uuid()),
        "type": "com.alibaba.rsocket.events.AppStatusEvent", "datacontenttype": "application/json",
        "data": {"id": serving.uuid(), "status": 2},
    });
    let event = Payload::builder().set_metadata_utf8(&event.to_string()).build();
    serving.raw().metadata_push(event).await.expect("a broker is connected");
    let desk = serving.client::<DeskClient>();
    // Answered behind the push, by the broker.
    soon(desk.who().into_future()).await.expect_err("there is no desk");
    let failed = soon(app.raw_to("test.Legacy.echo").request_response(Payload::from("x"))).await;
    let text = failed.expect_err("its services are hidden").to_string();
    assert!(text.starts_with("INVALID: RST-900404"), "{text}");
    let none = serving.raw().metadata_push(Payload::from("data")).await.expect_err("there is no metadata");
    assert!(matches!(none.downcast(), Ok(RSocketError::RequestInvalid(_))));
}
