//! A transport that is more than a socket: it takes bytes before the socket does, and says things by itself.

use super::support::*;
use crate::engine::*;
use crate::error::{ConnectionError, ErrorCode, StreamError};
use crate::frame::{Frame, FrameType};
use crate::transport::{Batch, MemoryTransport, Transport, memory_pair};
use bytes::BytesMut;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Takes a whole batch at once and writes a byte of it per call; answers every read with a frame of its own.
struct Layer {
    inner: MemoryTransport,
    unsent: Mutex<BytesMut>,
    held: Arc<AtomicUsize>,
}

impl Layer {
    fn new(inner: MemoryTransport) -> Self {
        Self { inner, unsent: Mutex::default(), held: Arc::default() }
    }
}

impl Transport for Layer {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }

    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        let read = self.inner.try_read(into)?;
        self.unsent.lock().extend_from_slice(Frame::keepalive(false, b"own").wire());
        if into.ends_with(PING) {
            into.truncate(into.len() - read);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(read)
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut unsent = self.unsent.lock();
        if !unsent.is_empty() {
            let mut one = Batch::default();
            one.push(unsent.split_to(1));
            return self.inner.try_write(&mut one).map(|_| 0);
        }
        let taken = batch.len();
        while let Some(chunk) = batch.pop() {
            unsent.extend_from_slice(&chunk);
        }
        Ok(taken)
    }

    fn has_unsent(&self) -> bool {
        !self.unsent.lock().is_empty()
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }
}

/// Bytes that are the layer's affair alone.
const PING: &[u8] = b"ping";

/// The engine says nothing by itself within it.
const MOMENT: Duration = Duration::from_secs(1);

fn client(transport: Layer) -> Connection {
    connect(Arc::new(transport), setup(), Arc::new(Notes::default()), Config::default())
}

#[tokio::test(start_paused = true)]
async fn what_reading_brings_about_is_written() {
    let (a, b) = memory_pair("test");
    let mut peer = Peer::new(b);
    let _client = client(Layer::new(a));
    timeout(MOMENT, peer.expect(FrameType::Setup, 0)).await.unwrap();
    // The engine answers none of them.
    for bytes in [Frame::metadata_push(b"m").wire(), PING, &[0, 0]] {
        peer.send_bytes(bytes).await;
        let own = timeout(MOMENT, peer.expect(FrameType::Keepalive, 0)).await.expect("it is written at once");
        assert_eq!(own.view().data(), b"own");
    }
}

#[tokio::test(start_paused = true)]
async fn what_reading_brings_about_is_written_before_setup_is_complete() {
    let (a, b) = memory_pair("test");
    let mut peer = Peer::new(a);
    let accepting = tokio::spawn(accept(Arc::new(Layer::new(b)), Config::default(), |_| async {
        Ok(Arc::new(Notes::default()) as Arc<dyn Responder>)
    }));
    let setup = setup_frame();
    peer.send_bytes(&setup.wire()[..9]).await;
    timeout(MOMENT, peer.expect(FrameType::Keepalive, 0)).await.expect("it is written at once");
    peer.send_bytes(&setup.wire()[9..]).await;
    timeout(MOMENT, peer.expect(FrameType::Keepalive, 0)).await.expect("it is written at once");
    assert!(accepting.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_the_transport_took_is_written_before_the_end() {
    let (a, b) = memory_pair("test");
    let mut peer = Peer::new(b);
    let client = client(Layer::new(a));
    client.fire_and_forget(text("before")).await.unwrap();
    client.close(Some((ErrorCode::CONNECTION_ERROR, "bye")));
    peer.expect(FrameType::Setup, 0).await;
    peer.expect(FrameType::RequestFnf, 1).await;
    assert_eq!(peer.expect(FrameType::Error, 0).await.view().data(), b"bye");
    assert!(peer.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_long_message_grows_is_not_silent() {
    let (a, b) = memory_pair("test");
    let _peer = Peer::new(b);
    let layer = Layer::new(a);
    let held = Arc::clone(&layer.held);
    let client = client(layer);
    for _ in 0..10 {
        held.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
    }
    assert!(!client.is_closed());
    // Now it is.
    assert!(matches!(client.closed().await, ConnectionError::KeepaliveTimeout(_)));
}

/// Counts the writes.
struct Counted {
    inner: MemoryTransport,
    writes: Arc<AtomicUsize>,
}

impl Transport for Counted {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }

    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        self.inner.try_read(into)
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.try_write(batch)
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }
}

/// Answers each request when there is a permit for it.
struct Permitted(Arc<Semaphore>);

impl Responder for Permitted {
    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        let permits = self.0.clone();
        async move {
            permits.acquire().await.expect("it is not closed").forget();
            Ok(Some(request))
        }
        .boxed()
    }
}

#[tokio::test]
async fn answers_that_are_ready_together_share_a_write() {
    let (a, b) = memory_pair("test");
    let (writes, permits) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(0)));
    let transport = Arc::new(Counted { inner: a, writes: writes.clone() });
    let engine = connect(transport, setup(), Arc::new(Permitted(permits.clone())), Config::default());
    let mut peer = Peer::new(b);
    peer.expect(FrameType::Setup, 0).await;
    for n in 0..100 {
        peer.send(request(FrameType::RequestResponse, 2 + 2 * n, 0, "x")).await;
    }
    while engine.open_streams() < 100 {
        tokio::task::yield_now().await;
    }
    let before = writes.load(Ordering::Relaxed);
    permits.add_permits(100);
    for n in 0..100 {
        peer.expect(FrameType::Payload, 2 + 2 * n).await;
    }
    assert_eq!(writes.load(Ordering::Relaxed) - before, 1);
    // One alone is not kept back.
    permits.add_permits(1);
    peer.send(request(FrameType::RequestResponse, 202, 0, "x")).await;
    timeout(MOMENT, peer.expect(FrameType::Payload, 202)).await.expect("it is answered");
}
