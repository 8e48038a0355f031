//! A service that gives its answers later, many at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt, future};
use support::{End, json, soon, start};
use towline_responder::rsocket::{ErrorCode, Payload, Window};
use towline_responder::{
    Answer, App, Contract, Dispatch, Interaction, Limit, Reply, Request, Respond, RpcError, Serve, ServiceKey,
};

type Waiting = Arc<Mutex<Vec<(Bytes, Respond)>>>;

/// Keeps who asks; each is to be answered with its method and what it sent.
struct Delayed(Waiting);

impl Dispatch for Delayed {
    fn contract(&self) -> &'static Contract {
        static CONTRACT: Contract = Contract { key: ServiceKey::new("", "test.Delayed", "1"), docs: "", methods: &[] };
        &CONTRACT
    }

    fn dispatch(&self, method: &str, _: Interaction, request: Request) -> Result<Reply, RpcError> {
        let (waiting, said) = (self.0.clone(), [method.as_bytes(), &request.arguments].concat().into());
        Ok(Reply::Later(Box::new(move |respond| waiting.lock().unwrap().push((said, respond)))))
    }
}

async fn delayed() -> (App, End, Waiting) {
    let waiting = Waiting::default();
    let service = Delayed(waiting.clone());
    let (app, end) = start(|app| app.serve(service.max_in_flight(3))).await;
    (app, end, waiting)
}

async fn asked(waiting: &Waiting, count: usize) -> Vec<(Bytes, Respond)> {
    while waiting.lock().unwrap().len() < count {
        tokio::task::yield_now().await;
    }
    std::mem::take(&mut waiting.lock().unwrap())
}

fn answer_all(asked: Vec<(Bytes, Respond)>) {
    asked.into_iter().rev().for_each(|(data, respond)| respond(Ok(Answer { encoding: None, data })));
}

#[tokio::test]
async fn each_gets_its_own_answer_whenever_that_is_given() {
    let (_app, end, waiting) = delayed().await;
    for _ in 0..3 {
        let calls = [("a", "1"), ("b", "2"), ("a", "3")];
        let calls = calls.map(|(method, data)| end.ask(json(&format!("test.Delayed.{method}")), data));
        let answers = async { answer_all(asked(&waiting, 3).await) };
        let (answers, ()) = soon(future::join(future::join_all(calls), answers)).await;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().data).collect();
        assert_eq!(answers, ["a1", "b2", "a3"], "whatever the request before it asked for");
    }
    let request = Payload { metadata: Some(json("test.Delayed.c").finish().freeze()), data: "4".into() };
    let items = end.connection.request_stream(request, Window::new(4)).collect::<Vec<_>>();
    let (items, ()) = soon(future::join(items, async { answer_all(asked(&waiting, 1).await) })).await;
    assert_eq!(items.into_iter().map(|item| item.unwrap().data).collect::<Vec<_>>(), ["c4"], "as a stream of one");
}

#[tokio::test]
async fn who_is_given_up_fails_and_all_that_wait_count() {
    let (_app, end, waiting) = delayed().await;
    let ask = |data: &'static str| end.ask(json("test.Delayed.a"), data);
    let refused = async {
        let held = asked(&waiting, 3).await;
        let refused = ask("4").await.unwrap_err();
        assert!(refused.message.contains("answers 3 requests already"), "{}", refused.message);
        drop(held);
    };
    let (failed, ()) = soon(future::join(future::join_all([ask("1"), ask("2"), ask("3")]), refused)).await;
    for failed in failed {
        assert_eq!(failed.unwrap_err().code, ErrorCode::APPLICATION_ERROR);
    }
    let (answer, ()) = soon(future::join(ask("5"), async { answer_all(asked(&waiting, 1).await) })).await;
    assert_eq!(answer.unwrap().data, "a5", "their places are free again");
}
