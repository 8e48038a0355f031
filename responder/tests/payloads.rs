//! A service that takes payloads as they come, beside one with methods.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use support::{DEADLINE, End, Plain, UsersServer, json, routed, soon, start};
use tokio::sync::mpsc;
use towline_responder::rsocket::engine::{Inbound, Item, Responder};
use towline_responder::rsocket::metadata::mime;
use towline_responder::rsocket::{CallFailure, ErrorCode, Payload, StreamError, Window};
use towline_responder::{App, Handling, Serve, ServiceKey};

/// Answers with what it was sent; tells of what has no answer.
struct Mirror {
    told: mpsc::Sender<Bytes>,
}

impl Responder for Mirror {
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        let told = self.told.clone();
        async move { told.send(request.data).await.unwrap() }.boxed()
    }

    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        async move {
            assert_eq!(Handling::metadata(), request.metadata);
            match &request.data[..] {
                b"none" => Ok(None),
                b"left" => Ok(Handling::deadline().map(|_| Payload::from_data("some"))),
                b"fail" => Err(StreamError::new(ErrorCode(0x301), "as it is")),
                b"lost" => Err(StreamError::new(ErrorCode::CONNECTION_CLOSE, "a connection's")),
                _ => Ok(Some(request)),
            }
        }
        .boxed()
    }

    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        let error = Err(StreamError::new(ErrorCode::REJECTED, "after two"));
        stream::iter([Ok(request.clone()), Ok(request), error]).boxed()
    }

    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        stream::once(async { Ok(first) }).chain(items).boxed()
    }

    fn metadata_push(&self, metadata: Bytes) {
        self.told.try_send(metadata).unwrap();
    }
}

async fn serving() -> (App, End, mpsc::Receiver<Bytes>) {
    let (told, hears) = mpsc::channel(8);
    let users = UsersServer::new(Plain { told: mpsc::channel(8).0 });
    let mirror = Mirror { told };
    let (app, end) =
        start(|app| app.serve(users).serve_payloads(ServiceKey::new("g", "test.Mirror", "2"), mirror)).await;
    (app, end, hears)
}

/// A request of a type nobody here reads.
fn payload(data: &'static str) -> Payload {
    Payload::new(
        routed("g!test.Mirror.any:2").message_mime(mime::HESSIAN).entry(DEADLINE, &[0, 0, 39, 16]).finish(),
        data,
    )
}

#[tokio::test]
async fn payloads_reach_it_and_come_back_untouched() {
    let (_app, end, mut told) = serving().await;
    let whole = payload("whole");
    assert_eq!(soon(end.connection.request_response(whole.clone())).await.unwrap(), Some(whole.clone()));
    assert_eq!(soon(end.connection.request_response(payload("none"))).await.unwrap(), None);
    let items = [Payload::new("m", "1"), Payload::from_data("2"), Payload::new("", "")];
    let channel = end.connection.request_channel(whole.clone(), stream::iter(items.clone()), Window::new(2));
    let back: Vec<_> = soon(channel.map(Result::unwrap).collect()).await;
    assert_eq!((&back[0], &back[1..]), (&whole, &items[..]));
    end.connection.fire_and_forget(payload("noted")).await.unwrap();
    assert_eq!(soon(told.recv()).await.unwrap(), "noted");
    end.connection.metadata_push("pushed".into());
    assert_eq!(soon(told.recv()).await.unwrap(), "pushed");
}

#[tokio::test]
async fn its_requests_have_their_deadline() {
    let (_app, end, _told) = serving().await;
    let left = soon(end.connection.request_response(payload("left"))).await.unwrap();
    assert_eq!(left, Some(Payload::from_data("some")));
    let late = routed("g!test.Mirror.any:2").entry(DEADLINE, &[0; 4]);
    assert_eq!(end.ask(late, "left").await.unwrap_err().code, ErrorCode::CANCELED);
}

#[tokio::test]
async fn its_errors_keep_code_and_text() {
    let (_app, end, _told) = serving().await;
    let metadata = || routed("g!test.Mirror.any:2");
    assert_eq!(end.ask(metadata(), "fail").await.unwrap_err(), StreamError::new(ErrorCode(0x301), "as it is"));
    let lost = StreamError::new(ErrorCode::APPLICATION_ERROR, "a connection's");
    assert_eq!(end.ask(metadata(), "lost").await.unwrap_err(), lost, "such a code never goes out on a stream");
    let answers: Vec<_> = soon(end.connection.request_stream(payload("x"), Window::new(8)).collect()).await;
    let [Ok(_), Ok(_), Err(CallFailure::Stream(error))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(*error, StreamError::new(ErrorCode::REJECTED, "after two"));
}

#[tokio::test]
async fn it_is_named_and_found_like_any_service() {
    let (_app, end, _told) = serving().await;
    let published = String::from_utf8_lossy(end.setup.metadata.as_deref().unwrap());
    assert!(published.contains(r#"{"group":"g","service":"test.Mirror","version":"2"}"#), "{published}");
    assert_eq!(end.ask(routed("test.Mirror.any"), "x").await.unwrap().data, "x", "it is the only one of its name");
    let error = end.ask(routed("test.Mirror.any:3"), "x").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::INVALID);
    assert!(error.message.ends_with("served here: g!test.Mirror:2"), "{error}");
    assert_eq!(end.ask(json("test.Users.find"), "[7]").await.unwrap().data, r#"{"id":7,"name":"user 7"}"#);
}
