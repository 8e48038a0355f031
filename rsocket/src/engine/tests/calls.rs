use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use futures::{StreamExt, stream};

async fn every_interaction(pair: &Pair) {
    let Pair { client, server, notes, client_notes } = pair;
    for (caller, answering) in [(client, notes), (server, client_notes)] {
        let full = Payload::new("meta", "data");
        assert_eq!(caller.request_response(full.clone()).await.unwrap(), Some(full));
        assert_eq!(caller.request_response(text("none")).await.unwrap(), None);
        assert_eq!(caller.request_response(text("later")).await.unwrap(), Some(text("later")));
        let empty = Payload { metadata: Some("".into()), data: "".into() };
        assert_eq!(caller.request_response(empty.clone()).await.unwrap(), Some(empty));
        caller.fire_and_forget(text("f")).await.unwrap();
        caller.metadata_push("p".into());
        for count in [0, 1, 50, 20_000] {
            let answers = caller.request_stream(text(count.to_string()), Window::new(64)).collect::<Vec<_>>().await;
            assert_eq!(answers.len(), count);
            assert!(answers.iter().enumerate().all(|(at, item)| item.as_ref().unwrap() == &text(at.to_string())));
        }
        let up = stream::iter((0..1_000).map(|n| text(n.to_string())));
        let both = caller.request_channel(text("echo"), up, Window::new(8)).collect::<Vec<_>>().await;
        assert_eq!(both.len(), 1_001);
        assert_eq!(both[1_000].as_ref().unwrap(), &text("999"));
        let seen = answering.seen.lock().clone();
        assert!(seen.contains(&"fnf f".to_owned()) && seen.contains(&"push p".to_owned()), "{seen:?}");
        assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
    }
}

#[tokio::test]
async fn every_interaction_works_both_ways_over_memory() {
    every_interaction(&pair().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_interaction_works_both_ways_over_tcp() {
    let (a, b) = tcp().await;
    every_interaction(&pair_over(a, b, Config::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_interaction_works_both_ways_over_tls() {
    let (a, b) = tls().await;
    every_interaction(&pair_over(a, b, Config::default()).await).await;
}

#[tokio::test]
async fn errors_keep_code_and_data() {
    let Pair { client, .. } = &pair().await;
    let Err(CallFailure::Stream(error)) = client.request_response(text("fail")).await else { panic!() };
    assert_eq!((error.code, error.message.as_str()), (ErrorCode(0x4321), "ünlucky"));
    let items = client.request_stream(text("fail"), Window::new(8)).collect::<Vec<_>>().await;
    assert_eq!(items.len(), 2);
    let Err(CallFailure::Stream(error)) = &items[1] else { panic!() };
    assert_eq!((error.code, error.message.as_str()), (ErrorCode::REJECTED, "two"));
}

#[tokio::test]
async fn a_panic_of_the_responder_is_an_error_of_its_stream_alone() {
    let Pair { client, .. } = &pair().await;
    for command in ["panic", "panic later"] {
        let Err(CallFailure::Stream(error)) = client.request_response(text(command)).await else { panic!() };
        assert_eq!(error.code, ErrorCode::APPLICATION_ERROR);
    }
    let items = client.request_stream(text("panic"), Window::new(8)).collect::<Vec<_>>().await;
    assert!(matches!(&items[..], [Err(CallFailure::Stream(_))]), "{items:?}");
    client.request_response(text("still here")).await.unwrap();
}

#[tokio::test]
async fn requests_reach_the_responder_in_the_order_they_were_made() {
    let Pair { client, notes, .. } = &pair().await;
    let calls = (0..100).map(|n| async move {
        let payload = text(n.to_string());
        if n % 2 == 0 {
            client.fire_and_forget(payload).await.unwrap();
        } else {
            client.request_response(payload).await.unwrap();
        }
    });
    futures::future::join_all(calls).await;
    let expected: Vec<_> = (0..100).map(|n| format!("{} {n}", if n % 2 == 0 { "fnf" } else { "rr" })).collect();
    assert_eq!(*notes.seen.lock(), expected);
}

#[tokio::test]
async fn a_dropped_call_reaches_the_responder_as_a_dropped_future() {
    let Pair { client, server, notes, .. } = &pair().await;
    let mut call = Box::pin(client.request_response(text("never")));
    assert!(futures::poll!(&mut call).is_pending());
    client.request_response(text("sync")).await.unwrap();
    assert_eq!(server.open_streams(), 1);
    drop(call);
    notes.dropped.notified().await;
    let mut items = client.request_stream(text("never"), Window::new(1));
    assert!(futures::poll!(items.next()).is_pending());
    client.request_response(text("sync")).await.unwrap();
    drop(items);
    notes.dropped.notified().await;
    client.request_response(text("sync")).await.unwrap();
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_over_tcp() {
    let (a, b) = tcp().await;
    let Pair { client, .. } = pair_over(a, b, Config::default()).await;
    let callers = (0..32).map(|caller| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..300 {
                let request = text(format!("{caller} {n}"));
                assert_eq!(client.request_response(request.clone()).await.unwrap(), Some(request));
            }
        })
    });
    futures::future::join_all(callers).await.into_iter().for_each(|done| done.unwrap());
    assert_eq!(client.open_streams(), 0);
}

#[tokio::test]
async fn a_slow_consumer_stops_no_other_stream() {
    let Pair { client, .. } = &pair().await;
    let mut slow = client.request_stream(text("1000000"), Window::new(4));
    slow.next().await.unwrap().unwrap();
    let fast = client.request_stream(text("5000"), Window::new(64)).count().await;
    assert_eq!(fast, 5_000);
    slow.next().await.unwrap().unwrap();
}

#[tokio::test]
async fn half_closes_leave_the_other_half_open() {
    let Pair { client, .. } = &pair().await;
    let up = stream::iter((0..10).map(|n| text(n.to_string())));
    let answers = client.request_channel(text("collect"), up, Window::new(4)).collect::<Vec<_>>().await;
    assert_eq!(answers[0].as_ref().unwrap(), &text("10 items"));
    let answers = client.request_channel(text("refuse items"), stream::pending(), Window::new(4));
    assert_eq!(answers.take(3).count().await, 3);
    client.request_response(text("sync")).await.unwrap();
    assert_eq!(client.open_streams(), 0);
}
