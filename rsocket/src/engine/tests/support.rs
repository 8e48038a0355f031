//! Two engines against each other, and a scripted peer that speaks frames.

use crate::codec::ReadBuffer;
use crate::engine::*;
use crate::error::StreamError;
use crate::frame::{Frame, FrameType, MAX_FRAME, PayloadParts, SetupParts, StreamId, flags, set_flags};
use crate::transport::{
    Batch, ClientTls, ServerTls, TcpTransport, TlsTransport, Transport, UnixTransport, WebSocketTransport, memory_pair,
    readable, write_all,
};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn text(data: impl Into<Bytes>) -> Payload {
    Payload::from_data(data)
}

pub(super) fn setup() -> ClientSetup {
    ClientSetup { metadata_mime: "m".into(), data_mime: "d".into(), metadata: None, data: Bytes::new() }
}

/// Notes what arrives; behaves as the request's data says.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) seen: Mutex<Vec<String>>,
    pub(super) dropped: Arc<tokio::sync::Notify>,
}

/// Tells when it is dropped.
pub(super) struct Tell(pub(super) Arc<tokio::sync::Notify>);
impl Drop for Tell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Notes {
    pub(super) fn note(&self, kind: &str, payload: &Payload) -> String {
        let line = String::from_utf8_lossy(&payload.data).into_owned();
        self.seen.lock().push(format!("{kind} {line}"));
        line
    }
}

impl Responder for Notes {
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        self.note("fnf", &request);
        async { tokio::task::yield_now().await }.boxed()
    }

    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        let command = if request.data.len() < 100 { self.note("rr", &request) } else { String::new() };
        let tell = Tell(self.dropped.clone());
        match command.as_str() {
            "none" => async { Ok(None) }.boxed(),
            "later" => async move {
                tokio::task::yield_now().await;
                Ok(Some(request))
            }
            .boxed(),
            "never" => async move {
                let _tell = tell;
                std::future::pending().await
            }
            .boxed(),
            "panic" => panic!("asked to"),
            "panic later" => async {
                tokio::task::yield_now().await;
                panic!("asked to")
            }
            .boxed(),
            "fail" => async { Err(StreamError::new(crate::ErrorCode(0x4321), "ünlucky")) }.boxed(),
            _ => async { Ok(Some(request)) }.boxed(),
        }
    }

    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        let command = self.note("stream", &request);
        let tell = Tell(self.dropped.clone());
        match command.as_str() {
            "fail" => stream::iter([Ok(text("one")), Err(StreamError::new(crate::ErrorCode::REJECTED, "two"))]).boxed(),
            "never" => stream::pending().inspect(move |_: &Item| assert!(Arc::strong_count(&tell.0) > 1)).boxed(),
            "panic" => stream::poll_fn(|_| panic!("asked to")).boxed(),
            count => {
                let count: u64 = count.parse().unwrap();
                stream::iter(0..count)
                    .map(move |n| Ok(text(n.to_string())))
                    .inspect(move |_| assert!(Arc::strong_count(&tell.0) > 1))
                    .boxed()
            }
        }
    }

    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        let command = self.note("channel", &first);
        match command.as_str() {
            "collect" => stream::once(async move {
                let all: Vec<Item> = items.collect().await;
                Ok(text(format!("{} items", all.len())))
            })
            .boxed(),
            "refuse items" => {
                drop(items);
                stream::iter((0..3).map(|n| Ok(text(n.to_string())))).chain(stream::pending()).boxed()
            }
            "refuse all" => stream::once(async move {
                drop(items);
                Err(StreamError::new(crate::ErrorCode::REJECTED, "no"))
            })
            .boxed(),
            "take 2" => items.take(2).chain(stream::pending()).boxed(),
            "done" => stream::empty().boxed(),
            _ => stream::iter([Ok(first)]).chain(items).boxed(),
        }
    }

    fn metadata_push(&self, metadata: Bytes) {
        self.note("push", &text(metadata));
    }
}

pub(super) struct Pair {
    pub(super) client: Connection,
    pub(super) server: Connection,
    pub(super) notes: Arc<Notes>,
    pub(super) client_notes: Arc<Notes>,
}

pub(super) async fn pair_over(a: impl Transport, b: impl Transport, config: Config) -> Pair {
    let (notes, client_notes) = (Arc::<Notes>::default(), Arc::<Notes>::default());
    let responder = notes.clone();
    let client = connect(Arc::new(a), setup(), client_notes.clone(), config.clone());
    let server = accept(Arc::new(b), config, |_| async move { Ok(responder as Arc<dyn Responder>) }).await.unwrap();
    Pair { client, server, notes, client_notes }
}

pub(super) async fn pair() -> Pair {
    let (a, b) = memory_pair("test");
    pair_over(a, b, Config::default()).await
}

pub(super) async fn tcp() -> (TcpTransport, TcpTransport) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpTransport::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, TcpTransport::new(server).unwrap())
}

pub(super) async fn tls() -> (TlsTransport, TlsTransport) {
    let (client, server) = tcp().await;
    let certificate = include_bytes!("../../../tests/fixtures/server.pem");
    let server_tls = ServerTls::from_pem(certificate, include_bytes!("../../../tests/fixtures/server.key")).unwrap();
    let client_tls = ClientTls::with_roots_pem(include_bytes!("../../../tests/fixtures/ca.pem")).unwrap();
    tokio::try_join!(
        TlsTransport::connect(Box::new(client), &client_tls, "localhost"),
        TlsTransport::accept(Box::new(server), &server_tls, BytesMut::new()),
    )
    .unwrap()
}

/// A peer that does what the test says.
pub(super) struct Peer {
    pub(super) transport: Arc<dyn Transport>,
    buffer: ReadBuffer,
}

impl Peer {
    pub(super) fn new(transport: impl Transport) -> Self {
        Self::over(Arc::new(transport))
    }

    pub(super) fn over(transport: Arc<dyn Transport>) -> Self {
        Self { transport, buffer: ReadBuffer::new() }
    }

    pub(super) async fn send(&self, frame: Frame) {
        self.send_bytes(frame.wire()).await;
    }

    pub(super) async fn send_bytes(&self, bytes: &[u8]) {
        let mut batch = Batch::default();
        batch.push(bytes.into());
        write_all(&*self.transport, &mut batch).await.unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(len) = self.buffer.complete(MAX_FRAME).unwrap() {
                return Some(Frame::parse(self.buffer.take(len)).unwrap());
            }
            match self.transport.try_read(self.buffer.space()) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => readable(&*self.transport).await.unwrap(),
                Err(_) => return None,
            }
        }
    }

    pub(super) async fn expect(&mut self, kind: FrameType, stream: StreamId) -> Frame {
        let frame = self.next().await.expect("a frame");
        assert_eq!((frame.view().kind(), frame.view().stream_id()), (kind, stream), "{frame:?}");
        frame
    }

    /// Sends a KEEPALIVE and collects what comes before its echo: all that was caused by frames sent before.
    pub(super) async fn until_echo(&mut self, mark: &str) -> Vec<Frame> {
        self.send(Frame::keepalive(true, mark.as_bytes())).await;
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await.expect("the echo");
            if frame.view().kind() == FrameType::Keepalive && frame.view().data() == mark.as_bytes() {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// Goes on until the engine has nothing more to say: each echo gives its tasks a turn.
    pub(super) async fn settled(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for _ in 0..20 {
            frames.extend(self.until_echo("settle").await);
            tokio::task::yield_now().await;
        }
        frames
    }
}

pub(super) const PARTS: SetupParts<'static> = SetupParts {
    keepalive: Duration::from_secs(20),
    lifetime: Duration::from_secs(90),
    metadata_mime: "m",
    data_mime: "d",
    metadata: None,
    data: b"",
};

pub(super) fn setup_frame() -> Frame {
    Frame::setup(PARTS)
}

pub(super) fn request(kind: FrameType, stream: StreamId, n: u32, data: &str) -> Frame {
    Frame::request(kind, stream, 0, n, PayloadParts { metadata: None, data: data.as_bytes() })
}

pub(super) fn item(stream: StreamId, bits: u16, data: &str) -> Frame {
    Frame::payload(stream, bits, PayloadParts { metadata: None, data: data.as_bytes() })
}

pub(super) const NEXT: u16 = flags::NEXT;
pub(super) const LAST: u16 = flags::NEXT | flags::COMPLETE;

/// SETUP with the L flag.
pub(super) fn leased_setup_frame() -> Frame {
    let mut frame = setup_frame();
    set_flags(frame.bytes_mut(), flags::LEASE);
    frame
}

/// The two ends of a connection: the client's, the server's.
pub(super) type Ends = (Arc<dyn Transport>, Arc<dyn Transport>);

pub(super) fn memory() -> Ends {
    let (client, server) = memory_pair("test");
    (Arc::new(client), Arc::new(server))
}

/// Runs a test over everything that carries frames.
pub(super) async fn over_every_carrier<F: Future<Output = ()>>(body: impl Fn(Ends) -> F) {
    body(memory()).await;
    let (client, server) = tcp().await;
    body((Arc::new(client), Arc::new(server))).await;
    let (client, server) = tokio::net::UnixStream::pair().unwrap();
    body((Arc::new(UnixTransport::new(client)), Arc::new(UnixTransport::new(server)))).await;
    let (client, server) = tcp().await;
    let (client, server) = tokio::try_join!(
        WebSocketTransport::connect(Box::new(client), "localhost", "/", MAX_FRAME),
        WebSocketTransport::accept(Box::new(server), BytesMut::new(), MAX_FRAME, |_| Ok(())),
    )
    .unwrap();
    body((Arc::new(client), Arc::new(server))).await;
}

/// A scripted client against an engine's server side.
pub(super) async fn scripted_client_over(ends: Ends, setup: Frame, config: Config) -> (Peer, Connection, Arc<Notes>) {
    let peer = Peer::over(ends.0);
    peer.send(setup).await;
    let notes = Arc::<Notes>::default();
    let responder = notes.clone();
    let server = accept(ends.1, config, |_| async move { Ok(responder as Arc<dyn Responder>) }).await.unwrap();
    (peer, server, notes)
}

pub(super) async fn scripted_client_with(config: Config) -> (Peer, Connection, Arc<Notes>) {
    scripted_client_over(memory(), setup_frame(), config).await
}

pub(super) async fn scripted_client() -> (Peer, Connection, Arc<Notes>) {
    scripted_client_with(Config::default()).await
}

/// A scripted server against an engine's client side; SETUP is read.
pub(super) async fn scripted_server_over(ends: Ends, config: Config) -> (Peer, Connection, Arc<Notes>) {
    let notes = Arc::<Notes>::default();
    let client = connect(ends.0, setup(), notes.clone(), config);
    let mut peer = Peer::over(ends.1);
    peer.expect(FrameType::Setup, 0).await;
    (peer, client, notes)
}

pub(super) async fn scripted_server_with(config: Config) -> (Peer, Connection) {
    let (peer, client, _) = scripted_server_over(memory(), config).await;
    (peer, client)
}

pub(super) async fn scripted_server() -> (Peer, Connection) {
    scripted_server_with(Config::default()).await
}

/// Runs a test with the engine as client, then as server, over everything that carries frames; the number is the id of the
/// engine's first stream, 1 or 2.
pub(super) async fn each_side<F: Future<Output = ()>>(body: impl Fn(Peer, Connection, Arc<Notes>, StreamId) -> F) {
    let body = &body;
    over_every_carrier(|ends| async move {
        let (peer, client, notes) = scripted_server_over(ends, Config::default()).await;
        body(peer, client, notes, 1).await;
    })
    .await;
    over_every_carrier(|ends| async move {
        let (peer, server, notes) = scripted_client_over(ends, setup_frame(), Config::default()).await;
        body(peer, server, notes, 2).await;
    })
    .await;
}

/// Sets what the protocol reserves: the top bit of the stream id and the flags of no meaning.
pub(super) fn with_reserved_bits(mut frame: Frame) -> Frame {
    frame.bytes_mut()[0] |= 0x80;
    frame.bytes_mut()[5] |= 0x1F;
    frame
}

pub(super) fn parts<'a>(metadata: Option<&'a str>, data: &'a str) -> PayloadParts<'a> {
    PayloadParts { metadata: metadata.map(str::as_bytes), data: data.as_bytes() }
}
