//! A peer that means harm: nothing panics, and what it makes this side hold is bounded.

use super::super::job::{Gate, Job};
use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::error::{ConnectionError, StreamError};
use crate::frame::{Frame, FrameType, MAX_REQUEST_N, PayloadParts, flags};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

/// Never answers; counts its handlers.
#[derive(Default)]
struct Count {
    alive: Arc<AtomicUsize>,
    most: AtomicUsize,
    pushed: AtomicUsize,
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Responder for Count {
    fn request_response(&self, _: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        let alive = Alive(self.alive.clone());
        self.most.fetch_max(1 + self.alive.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        async move {
            let _alive = alive;
            std::future::pending().await
        }
        .boxed()
    }

    fn metadata_push(&self, _: Bytes) {
        self.pushed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn counted() -> (Peer, Connection, Arc<Count>) {
    let (near, far) = memory();
    let peer = Peer::over(near);
    peer.send(setup_frame()).await;
    let count = Arc::<Count>::default();
    let responder = count.clone();
    let accepted = |_| async move { Ok(responder as Arc<dyn Responder>) };
    let server = accept(far, Config::default(), accepted).await.unwrap();
    (peer, server, count)
}

/// What may wait for a peer that reads nothing.
fn is_bounded(connection: &Connection) -> bool {
    connection.queued() < 2 * Config::default().outgoing_mark
}

#[tokio::test]
async fn requests_cancelled_at_once_leave_nothing() {
    let (mut peer, server, count) = counted().await;
    let pair = |stream| {
        let asked = request(FrameType::RequestResponse, stream, 0, "x");
        [asked.wire(), Frame::cancel(stream).wire()].concat()
    };
    for round in 0..50 {
        let burst: Vec<u8> = (0..1_000).flat_map(|n| pair(2 * (1_000 * round + n) + 1)).collect();
        peer.send_bytes(&burst).await;
    }
    assert!(peer.settled().await.is_empty());
    assert_eq!((server.open_streams(), count.alive.load(Ordering::Relaxed)), (0, 0));
    let most = count.most.load(Ordering::Relaxed);
    assert!(most <= Config::default().max_streams, "{most} at once, cancelled and not yet dropped");
}

#[tokio::test]
async fn floods_on_stream_0_leave_nothing() {
    let (peer, server, count) = counted().await;
    let push = Frame::metadata_push(&[b'x'; 100]);
    let asks = Frame::keepalive(true, &[b'x'; 3_000]);
    for _ in 0..5_000 {
        peer.send(Frame::parse(push.wire().into()).unwrap()).await;
        peer.send(Frame::parse(asks.wire().into()).unwrap()).await;
        assert!(is_bounded(&server), "{}", server.queued());
    }
    while count.pushed.load(Ordering::Relaxed) < 5_000 {
        tokio::task::yield_now().await;
    }
    assert!(is_bounded(&server) && !server.is_closed());
}

#[tokio::test]
async fn refusals_that_are_not_read_end_the_connection() {
    let (peer, server, _) = scripted_client_with(Config { max_streams: 1, ..Config::default() }).await;
    peer.send(request(FrameType::RequestResponse, 1, 0, "never")).await;
    let mut closed = Box::pin(server.closed());
    let mut stream = 3;
    while futures::poll!(&mut closed).is_pending() {
        let mut batch = crate::transport::Batch::default();
        let asked = request(FrameType::RequestResponse, stream, 0, "x");
        batch.push(asked.into_wire());
        // A full pipe, or an end that comes meanwhile.
        let _ = peer.transport.try_write(&mut batch);
        stream += 2;
        assert!(is_bounded(&server), "{}", server.queued());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn empty_fragments_without_end_hold_nothing() {
    let (mut peer, server, _) = scripted_client().await;
    let begin = |stream| Frame::request(FrameType::RequestResponse, stream, flags::FOLLOWS, 0, PayloadParts::default());
    peer.send(begin(1)).await;
    let burst: Vec<u8> = (0..1_000).flat_map(|_| item(1, NEXT | flags::FOLLOWS, "").wire().to_vec()).collect();
    for _ in 0..50 {
        peer.send_bytes(&burst).await;
    }
    peer.send(item(1, NEXT, "at last")).await;
    assert_eq!(peer.expect(FrameType::Payload, 1).await.view().data(), b"at last");
    assert_eq!(server.open_streams(), 0);

    // Each unfinished request counts, however small.
    let (mut peer, server, _) = scripted_client_with(Config { max_unfinished: 6_400, ..Config::default() }).await;
    for n in 0..300 {
        peer.send(begin(2 * n + 1)).await;
    }
    let frames = peer.settled().await;
    assert_eq!(frames.len(), 200, "100 are held");
    assert!(frames.iter().all(|frame| frame.view().error_code() == ErrorCode::INVALID.0));
    assert!(!server.is_closed());
}

#[tokio::test]
async fn credit_has_no_magic_value_and_no_end() {
    let job = Job::new(MAX_REQUEST_N);
    for _ in 0..10 {
        job.grant(MAX_REQUEST_N);
    }
    let cx = Context::from_waker(Waker::noop());
    assert_eq!(job.gate(&cx), Gate::Credit(11 * u64::from(MAX_REQUEST_N)));
    assert!(job.spend());
    assert_eq!(job.gate(&cx), Gate::Credit(11 * u64::from(MAX_REQUEST_N) - 1));

    let (mut peer, _server, _) = scripted_client().await;
    peer.send(request(FrameType::RequestStream, 1, MAX_REQUEST_N, "never")).await;
    let grants: Vec<u8> = (0..1_000).flat_map(|_| Frame::request_n(1, MAX_REQUEST_N).wire().to_vec()).collect();
    for _ in 0..20 {
        peer.send_bytes(&grants).await;
    }
    let mut reserved = Frame::request_n(1, 0);
    reserved.bytes_mut()[crate::frame::HEADER] |= 0x80;
    peer.send(reserved).await;
    assert!(peer.settled().await.is_empty());
}

#[tokio::test]
async fn what_was_never_asked_for_costs_its_stream_alone() {
    each_side(|mut peer, engine, _, first| async move {
        let mut greedy = engine.request_channel(text("x"), futures::stream::pending(), Window::new(1));
        let mut other = engine.request_stream(text("x"), Window::new(1));
        assert!(futures::poll!(greedy.next()).is_pending());
        assert!(futures::poll!(other.next()).is_pending());
        for _ in 0..2_000 {
            peer.send(item(first, NEXT, "x")).await;
        }
        let frames = peer.settled().await;
        let cancels = frames.iter().filter(|frame| frame.view().kind() == FrameType::Cancel).count();
        assert_eq!((cancels, engine.open_streams()), (1, 1));
        assert!(greedy.next().await.unwrap().is_ok());
        let Some(Err(CallFailure::Stream(error))) = greedy.next().await else { panic!() };
        assert_eq!(error.code, ErrorCode::CANCELED);
        peer.send(item(first + 2, LAST, "fine")).await;
        assert_eq!(other.next().await.unwrap().unwrap(), text("fine"));
    })
    .await;
}

/// Frames of any type with any flags on a few streams, cut anywhere.
fn any_frame(random: &mut fastrand::Rng) -> Vec<u8> {
    let kind = if random.u8(..9) == 0 { random.u8(..64) } else { random.u8(1..=14) };
    // The I flag keeps most connections alive; without C, F and N what follows is more likely to matter.
    let bits = random.u16(..) & 0x3FF | if random.u8(..20) == 0 { 0 } else { flags::IGNORE };
    let len = random.usize(..60);
    let mut frame = vec![0, 0, (6 + len) as u8, 0, 0, 0, random.u8(..6)];
    frame.extend((u16::from(kind) << 10 | bits).to_be_bytes());
    frame.extend((0..len).map(|_| if random.bool() { 0 } else { random.u8(..) }));
    frame
}

#[tokio::test]
async fn no_frame_makes_an_engine_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..100 {
        let config = Config { max_payload: 200, max_unfinished: 1_000, max_streams: 4, ..Config::default() };
        let (peer, engine) = if round % 2 == 0 {
            scripted_server_with(config).await
        } else {
            let (peer, server, _) = scripted_client_with(config).await;
            (peer, server)
        };
        let mut calls = Vec::new();
        for _ in 0..2 {
            let mut items = engine.request_channel(text("x"), futures::stream::repeat(text("up")), Window::new(2));
            assert!(futures::poll!(items.next()).is_pending());
            calls.push(items);
        }
        for _ in 0..100 {
            let mut batch = crate::transport::Batch::default();
            batch.push((&any_frame(&mut random)[..]).into());
            if peer.transport.try_write(&mut batch).is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        engine.close(Some((ErrorCode::CONNECTION_ERROR, "mark")));
        let error = engine.closed().await;
        let is_expected =
            matches!(error, ConnectionError::Protocol(_) | ConnectionError::Refused { .. } | ConnectionError::Closed);
        assert!(is_expected, "{error}");
        drop(calls);
        // A driver that panicked writes no mark.
        if matches!(error, ConnectionError::Closed) {
            let mut peer = peer;
            let mut last = None;
            while let Some(frame) = peer.next().await {
                last = Some(frame);
            }
            assert_eq!(last.expect("the mark").view().data(), b"mark");
        }
    }
}
