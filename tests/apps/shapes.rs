use super::desk::{Clerk, DeskClient, DeskError, DeskServer, app, call, soon};
use super::harness::Broker;
use futures::{StreamExt, TryStreamExt, stream};
use towline_responder::{CallError, Encoding, Serve};

const ENCODINGS: [Encoding; 2] = [Encoding::MessagePack, Encoding::Json];

#[tokio::test]
async fn every_shape_of_call_goes_through_the_broker_in_both_encodings() {
    let broker = Broker::start().await;
    let (clerk, mut noted) = Clerk::new("one");
    let responder = app(&broker.address).serve(DeskServer::new(clerk)).start().await.expect("the broker is there");
    let requester = app(&broker.address).start().await.expect("the broker is there");
    for encoding in ENCODINGS {
        let desk = requester.client::<DeskClient>().with_encoding(encoding);
        assert_eq!(soon(desk.double(21).into_future()).await, Ok(42), "{encoding:?}");
        desk.note(format!("in {encoding:?}")).await.expect("it is sent");
        assert_eq!(soon(noted.recv()).await, Some(format!("in {encoding:?}")));
        let counted: Vec<_> = soon(desk.count(Some(300)).prefetch(7).start().collect()).await;
        assert_eq!(counted, (1..=300).map(Ok).collect::<Vec<_>>(), "{encoding:?}");
        assert_eq!(soon(desk.sum(stream::iter(1..=300)).into_future()).await, Ok(45_150), "{encoding:?}");
        let said = stream::iter(["hi", "bye"]).map(str::to_owned);
        let heard: Vec<_> = soon(desk.echo("a".to_owned(), said).start().try_collect()).await.expect("no error");
        assert_eq!(heard, ["a: hi", "a: bye"], "{encoding:?}");
    }
    requester.close().await;
    responder.close().await;
}

#[tokio::test]
async fn a_methods_own_error_arrives_as_its_own_type() {
    let broker = Broker::start().await;
    let (_responder, _clerk) = super::desk::serve(&broker.address, "one").await;
    let (_requester, desk) = call(&broker.address).await;
    for encoding in ENCODINGS {
        let error = soon(desk.double(100).encoding(encoding).into_future()).await.expect_err("100 is too large");
        assert_eq!(error, CallError::App(DeskError::TooLarge { number: 100, limit: 99 }));
    }
}

#[tokio::test]
async fn a_service_nobody_serves_is_told_from_one_that_fails() {
    let broker = Broker::start().await;
    let (_requester, desk) = call(&broker.address).await;
    let error = soon(desk.double(1).into_future()).await.expect_err("nobody is there");
    let error = error.rpc().expect("the method did not run");
    assert!(error.is_retryable() && error.message.starts_with("RST-900404"), "{error}");
}
