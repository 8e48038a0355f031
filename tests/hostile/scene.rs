//! A broker with an honest pair at work, and what must be true of it once the others are gone.

use crate::harness::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};
use towline::config::Config;
use towline_rsocket::{Frame, ReadBuffer, flags};

/// Calls the honest pair makes at least.
const CALLS: u32 = 200;

/// Panics of what is not a test: where they were.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            if !place.starts_with("tests/") {
                PANICS.lock().expect("nobody panics here").push(place);
            }
            before(panic);
        }));
    });
}

/// A broker, a responder of `test.Echo`, and a requester that calls it again and again: every call is answered.
pub(crate) struct Scene {
    pub broker: Broker,
    server: JoinHandle<usize>,
    client: JoinHandle<u32>,
    is_over: Arc<AtomicBool>,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        Self::with(|_| ()).await
    }

    /// With a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on_with(Carrier::Tcp, change).await
    }

    pub(crate) async fn on_with(carrier: Carrier, change: impl FnOnce(&mut Config)) -> Self {
        watch_panics();
        let broker = Broker::on_with(carrier, change).await;
        let server = echo(broker.serve("test.Echo").await);
        let is_over = Arc::new(AtomicBool::new(false));
        let client = tokio::spawn(call_until(broker.client().await, is_over.clone()));
        Self { broker, server, client, is_over }
    }

    /// Everybody else has gone: the pair has had all its answers, nothing is left of the others, nothing has panicked.
    pub(crate) async fn end(self) {
        let Self { broker, server, client, is_over } = self;
        is_over.store(true, Ordering::Relaxed);
        let calls = client.await.expect("every honest call is answered");
        assert!(calls >= CALLS);
        until_gone(&broker, "towline_streams_open").await;
        until_gone(&broker, "towline_outbox_bytes").await;
        until_gone(&broker, "towline_parked_bytes").await;
        until_gone(&broker, "towline_budget_used_bytes").await;
        let mut looks = interval(Duration::from_millis(5));
        let deadline = Instant::now() + SOON;
        while broker.labelled("towline_links_open", "app") > 1.0 {
            assert!(Instant::now() < deadline, "{} links stayed", broker.labelled("towline_links_open", "app"));
            looks.tick().await;
        }
        assert_eq!(broker.labelled("towline_links_closed_total", "internal"), 0.0);
        broker.drain().await;
        assert!(server.await.expect("it ends") >= calls as usize);
        let panics = PANICS.lock().expect("nobody panics here");
        assert!(panics.is_empty(), "panics at {panics:?}");
    }
}

async fn call_until(mut peer: Peer, is_over: Arc<AtomicBool>) -> u32 {
    let mut calls = 0u32;
    while calls < CALLS || !is_over.load(Ordering::Relaxed) {
        let stream = 1 + 2 * (calls % 1000);
        peer.send(call(stream, "test.Echo.call", &calls.to_be_bytes())).await;
        peer.expect_item(stream, flags::NEXT | flags::COMPLETE, &calls.to_be_bytes()).await;
        calls += 1;
    }
    calls
}

/// Waits until a gauge is back at zero.
pub(crate) async fn until_gone(broker: &Broker, gauge: &str) {
    let deadline = Instant::now() + SOON;
    let mut looks = interval(Duration::from_millis(5));
    while broker.meter(gauge) > 0.0 {
        assert!(Instant::now() < deadline, "{gauge} stays at {}", broker.meter(gauge));
        looks.tick().await;
    }
}

/// A connection without any protocol on it.
pub(crate) async fn raw_socket(broker: &Broker) -> TcpStream {
    let socket = TcpStream::connect(broker.address.trim_start_matches("ws://")).await.expect("the broker accepts");
    socket.set_nodelay(true).expect("it is open");
    socket
}

/// Says this and then no more, and listens until the broker ends the connection too: what was heard.
pub(crate) async fn say(broker: &Broker, bytes: &[u8]) -> Vec<u8> {
    let mut socket = raw_socket(broker).await;
    let mut heard = Vec::new();
    let talking = async {
        // The broker may have ended it.
        let _ = socket.write_all(bytes).await;
        let _ = socket.shutdown().await;
        let _ = socket.read_to_end(&mut heard).await;
    };
    timeout(SOON, talking).await.expect("the broker ends a connection whose client has nothing more to say");
    heard
}

/// What was heard on a byte stream, as frames; the end may be cut.
pub(crate) fn frames(heard: &[u8]) -> Vec<Frame> {
    let mut buffer = ReadBuffer::new();
    buffer.space().extend_from_slice(heard);
    let mut frames = Vec::new();
    while let Some(len) = buffer.complete(0xFF_FFFF).expect("24 bits say no more") {
        frames.push(Frame::parse(buffer.take(len)).expect("the broker sends valid frames"));
    }
    frames
}
