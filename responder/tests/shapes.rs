//! Every shape of method through generated client and server, over a connection, in every encoding of all types.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use support::{Plain, User, UserError, UsersClient, UsersServer, serving, soon, start};
use tokio::sync::mpsc;
use towline_responder::{CallError, Encoding, Limit, RpcError, Serve, Services};

const ENCODINGS: [Encoding; 3] = [Encoding::MessagePack, Encoding::Json, Encoding::Cbor];

fn user(id: u32) -> User {
    User { id, name: format!("user {id}") }
}

#[tokio::test]
async fn unary_calls_answer_or_fail_with_their_own_error() {
    let (_app, end, _told) = serving().await;
    for users in ENCODINGS.map(|encoding| end.users(encoding)) {
        assert_eq!(users.find(7).await.unwrap(), user(7));
        assert_eq!(users.find(100).await.unwrap_err(), CallError::App(UserError::UnknownUser { id: 100 }));
        users.nothing().await.unwrap();
    }
}

#[tokio::test]
async fn one_way_calls_run() {
    let (_app, end, mut told) = serving().await;
    for users in ENCODINGS.map(|encoding| end.users(encoding)) {
        users.touch(5).await.unwrap();
        assert_eq!(soon(told.recv()).await.unwrap(), "touched 5");
    }
}

#[tokio::test]
async fn streams_answer_until_their_end_or_first_error() {
    let (_app, end, _told) = serving().await;
    for users in ENCODINGS.map(|encoding| end.users(encoding)) {
        let all: Vec<_> = soon(users.watch(0, 100).prefetch(3).start().try_collect()).await.unwrap();
        assert_eq!(all, (0..100).map(user).collect::<Vec<_>>());
        let answers: Vec<_> = soon(users.watch(98, 10).start().collect()).await;
        assert_eq!(answers[..2], [Ok(user(98)), Ok(user(99))]);
        assert_eq!(answers[2..], [Err(CallError::App(UserError::UnknownUser { id: 100 }))]);
    }
}

#[tokio::test]
async fn channels_take_many_items_and_answer_one_or_many() {
    let (_app, end, _told) = serving().await;
    for users in ENCODINGS.map(|encoding| end.users(encoding)) {
        assert_eq!(users.import(stream::iter((0..200).map(user))).await.unwrap(), (0..200).sum::<u32>());
        let said = stream::iter(["hi", "bye"]).map(str::to_owned);
        let heard: Vec<String> = soon(users.chat("a".to_owned(), said).start().try_collect()).await.unwrap();
        assert_eq!(heard, ["a: hi", "a: bye"]);
    }
}

#[tokio::test]
async fn dropping_a_call_drops_its_handler() {
    let (_app, end, mut told) = serving().await;
    let users = end.users(Encoding::Json);
    let call = tokio::spawn(async move { users.hang().await });
    assert_eq!(soon(told.recv()).await.unwrap(), "began");
    call.abort();
    assert_eq!(soon(told.recv()).await.unwrap(), "gone");
}

#[tokio::test]
async fn an_app_calls_and_serves_over_one_connection() {
    // The broker's end serves as well.
    let (told, _hears) = mpsc::channel(8);
    let (near, far) = towline_responder::rsocket::transport::memory_pair("memory");
    let mut services = Services::default();
    services.add(UsersServer::new(Plain { told }));
    let responder = services.responder(Encoding::Json);
    let far =
        towline_responder::rsocket::engine::accept(Arc::new(far), Default::default(), |_| async move { Ok(responder) });
    let (app, far) = tokio::join!(towline_responder::App::over(Arc::new(near)).start(), far);
    let (app, _far) = (app.unwrap(), far.unwrap());
    assert_eq!(app.client::<UsersClient>().find(7).await.unwrap(), user(7));
}

#[tokio::test(start_paused = true)]
async fn a_service_at_its_limit_refuses_and_says_when_to_come_back() {
    let (told, mut hears) = mpsc::channel(8);
    let (_app, end) = start(|app| app.serve(UsersServer::new(Plain { told }).max_in_flight(1))).await;
    let users = end.users(Encoding::Json);
    let hanging = tokio::spawn({
        let users = users.clone();
        async move { users.hang().await }
    });
    assert_eq!(soon(hears.recv()).await.unwrap(), "began");
    let refused = users.find(7).timeout(std::time::Duration::from_millis(50)).await.unwrap_err();
    let refused = refused.rpc().unwrap().clone();
    assert_eq!(refused.code, RpcError::REJECTED);
    assert_eq!(refused.message, "test.Users:1 answers 1 requests already, its limit retry-after-ms=100");
    // A patient caller comes back by itself.
    let waiting = tokio::spawn(async move { users.find(7).await });
    tokio::task::yield_now().await;
    hanging.abort();
    assert_eq!(waiting.await.unwrap().unwrap(), user(7));
}
