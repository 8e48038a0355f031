//! Answers that are given later, from anywhere.

use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::transport::memory_pair;
use parking_lot::Mutex;
use std::sync::Arc;

/// Keeps what it is asked until it is told to answer; may be asked to do worse.
#[derive(Default)]
struct Held(Mutex<Vec<(Payload, Later)>>);

impl Responder for Held {
    fn answer(&self, request: Payload, replier: Replier) {
        match &request.data[..] {
            b"drop" => drop(replier),
            b"panic" => panic!("asked to"),
            b"panic later" => {
                let _later = replier.later();
                panic!("asked to");
            }
            _ => self.0.lock().push((request, replier.later())),
        }
    }
}

impl Held {
    /// Waits until so many requests are held.
    async fn take(&self, count: usize) -> Vec<(Payload, Later)> {
        while self.0.lock().len() < count {
            tokio::task::yield_now().await;
        }
        std::mem::take(&mut *self.0.lock())
    }
}

async fn held(config: Config) -> (Connection, Connection, Arc<Held>) {
    let (a, b) = memory_pair("test");
    let held = Arc::<Held>::default();
    let client = connect(Arc::new(a), setup(), Arc::<Notes>::default(), Config::default());
    let responder = held.clone() as Arc<dyn Responder>;
    let server = accept(Arc::new(b), config, |_| async move { Ok(responder) }).await.unwrap();
    (client, server, held)
}

fn failure(outcome: Result<Option<Payload>, CallFailure>) -> ErrorCode {
    let Err(CallFailure::Stream(error)) = outcome else { panic!("{outcome:?}") };
    error.code
}

#[tokio::test]
async fn answers_are_given_in_any_order_and_from_any_thread() {
    let (client, server, held) = held(Config::default()).await;
    let calls = futures::future::join_all((0..100).map(|n| client.request_response(text(n.to_string()))));
    let answer = async {
        let asked = held.take(100).await;
        assert_eq!(server.open_streams(), 100);
        let answer = move || asked.into_iter().rev().for_each(|(request, later)| later.send(Ok(Some(request))));
        std::thread::spawn(answer).join().unwrap();
    };
    let (answers, ()) = futures::join!(calls, answer);
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), Some(text(n.to_string())));
    }
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
}

#[tokio::test]
async fn a_request_whose_answer_is_given_up_fails() {
    let (client, server, held) = held(Config::default()).await;
    for command in ["drop", "panic", "panic later"] {
        assert_eq!(failure(client.request_response(text(command)).await), ErrorCode::APPLICATION_ERROR, "{command}");
    }
    let (outcome, asked) = futures::join!(client.request_response(text("x")), async { drop(held.take(1).await) });
    assert_eq!((failure(outcome), asked), (ErrorCode::APPLICATION_ERROR, ()));
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
}

#[tokio::test]
async fn a_cancelled_request_is_not_answered_and_those_held_are_counted() {
    let (client, server, held) = held(Config { max_streams: 2, ..Config::default() }).await;
    let calls = ["a", "b"].map(|name| Box::pin(client.request_response(text(name))));
    let mut calls = Box::pin(futures::future::join_all(calls));
    let asked = match futures::future::select(&mut calls, Box::pin(held.take(2))).await {
        futures::future::Either::Right((asked, _)) => asked,
        futures::future::Either::Left(_) => panic!("nobody answers"),
    };
    assert_eq!(failure(client.request_response(text("c")).await), ErrorCode::REJECTED, "two are held");
    drop(calls);
    while server.open_streams() > 0 {
        tokio::task::yield_now().await;
    }
    asked.into_iter().for_each(|(request, later)| later.send(Ok(Some(request))));
    let (answer, ()) = futures::join!(client.request_response(text("d")), async {
        held.take(1).await.into_iter().for_each(|(request, later)| later.send(Ok(Some(request))));
    });
    assert_eq!(answer.unwrap(), Some(text("d")));
}
