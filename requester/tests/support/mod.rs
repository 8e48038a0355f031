//! A broker of a few lines: it accepts connections, tells of each SETUP, and answers as a test says.
#![allow(dead_code, reason = "every test takes what it needs")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use towline_requester::rsocket::engine::{
    AcceptedSetup, Config, Connection, Inbound, Item, Payload, Responder, accept,
};
use towline_requester::rsocket::frame::MAX_FRAME;
use towline_requester::rsocket::metadata::{Composite, CompositeBuilder, Mime, mime, routing::Tags};
use towline_requester::rsocket::transport::{
    MemoryTransport, ServerTls, TcpTransport, TlsTransport, Transport, WebSocketTransport, memory_pair,
    websocket::{Refusal, Upgrade},
};
use towline_requester::rsocket::{ErrorCode, StreamError};
use towline_requester::{App, AppBuilder, RpcError, service};

#[service(name = "test.Desk", encoding = "json")]
pub(crate) trait Desk {
    async fn ask(&self, what: String) -> Result<String, RpcError>;
    #[rpc(idempotent, retry(max = 2, backoff = "1ms..2ms"))]
    async fn look(&self, what: String) -> Result<String, RpcError>;
    #[rpc(oneway)]
    async fn tell(&self, what: String);
    fn follow(&self, what: String) -> impl Stream<Item = Result<String, RpcError>>;
    async fn gather(&self, items: Streaming<String>) -> Result<String, RpcError>;
}

use towline_requester::{Stream, Streaming};

pub(crate) const CA: &[u8] = include_bytes!("../../../rsocket/tests/fixtures/ca.pem");
pub(crate) const OTHER_CA: &[u8] = include_bytes!("../../../rsocket/tests/fixtures/other-ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../rsocket/tests/fixtures/server.pem");
const KEY: &[u8] = include_bytes!("../../../rsocket/tests/fixtures/server.key");

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it comes soon")
}

/// What a request, as it arrived, makes the broker do.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Answer(&'static str),
    /// With a type of its own.
    AnswerAs(Mime<'static>, &'static [u8]),
    Fail(u32, &'static str),
    /// Never answers.
    Hang,
    /// Ends the connection.
    Hangup,
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) route: String,
    pub(crate) deadline: Option<u32>,
    pub(crate) data: Bytes,
}

impl Seen {
    fn new(request: &Payload) -> Self {
        let metadata = request.metadata.as_deref().unwrap_or_default();
        let find = |mime| Composite::new(metadata).find(mime);
        let route = find(mime::ROUTING).and_then(|tags| Tags::new(tags).next()).unwrap_or_default().to_owned();
        let deadline = find(Mime::Name(b"message/x.towline.deadline.v0"));
        let deadline = deadline.map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
        Self { route, deadline, data: request.data.clone() }
    }
}

type Script = Arc<dyn Fn(&Seen) -> Act + Send + Sync>;

/// Answers by the script; tells of every request, and of every one that was cancelled.
pub(crate) struct Scripted {
    script: Script,
    seen: mpsc::Sender<Seen>,
    cancelled: mpsc::Sender<()>,
    hangup: mpsc::Sender<()>,
}

/// Tells when it is dropped.
struct Tell(mpsc::Sender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

impl Scripted {
    fn act(&self, request: &Payload) -> BoxFuture<'static, Result<Payload, StreamError>> {
        let seen = Seen::new(request);
        if seen.route.starts_with("towline.Health.") {
            return future::ready(Ok(Payload::from_data("{\"status\":1}"))).boxed();
        }
        let act = (self.script)(&seen);
        self.seen.try_send(seen).unwrap();
        match act {
            Act::Answer(text) => future::ready(Ok(Payload::from_data(format!("\"{text}\"")))).boxed(),
            Act::AnswerAs(mime, data) => {
                let metadata = CompositeBuilder::new().message_mime(mime).finish();
                future::ready(Ok(Payload::new(metadata, data))).boxed()
            }
            Act::Fail(code, text) => future::ready(Err(StreamError::new(ErrorCode(code), text))).boxed(),
            Act::Hang => {
                let tell = Tell(self.cancelled.clone());
                async move {
                    let _tell = tell;
                    future::pending().await
                }
                .boxed()
            }
            Act::Hangup => {
                self.hangup.try_send(()).unwrap();
                future::pending().boxed()
            }
        }
    }
}

impl Responder for Scripted {
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        self.act(&request).map(drop).boxed()
    }

    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        self.act(&request).map(|answer| answer.map(Some)).boxed()
    }

    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        let first = self.act(&request);
        stream::once(first).chain(stream::pending()).boxed()
    }

    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        let answer = self.act(&first);
        let answer = async move {
            items.for_each(|_| future::ready(())).await;
            answer.await
        };
        stream::once(answer).boxed()
    }
}

/// A connection an app made.
pub(crate) struct Accepted {
    pub(crate) connection: Connection,
    pub(crate) setup: AcceptedSetup,
}

impl Accepted {
    pub(crate) fn application(&self) -> Value {
        self.json(mime::APPLICATION).expect("every app says who it is")
    }

    pub(crate) fn json(&self, kind: Mime<'_>) -> Option<Value> {
        let metadata = self.setup.metadata.as_deref().unwrap_or_default();
        Composite::new(metadata).find(kind).map(|content| serde_json::from_slice(content).unwrap())
    }
}

/// The broker: on a port, or one connection in memory.
pub(crate) struct Broker {
    pub(crate) address: String,
    pub(crate) accepted: mpsc::Receiver<Accepted>,
    pub(crate) seen: mpsc::Receiver<Seen>,
    pub(crate) cancelled: mpsc::Receiver<()>,
    /// Metadata pushed by the app.
    task: JoinHandle<()>,
}

impl Broker {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), None, Arc::new(script)).await
    }

    /// On a port where one was before.
    pub(crate) async fn again(address: &str, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let port = address.strip_prefix("rsocket://").unwrap().parse().unwrap();
        Self::at(port, None, Arc::new(script)).await
    }

    pub(crate) async fn refusing(text: &'static str) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Some(text), Arc::new(|_: &Seen| Act::Hang)).await
    }

    async fn at(address: SocketAddr, refusal: Option<&'static str>, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = format!("rsocket://{}", listener.local_addr().unwrap());
        let (ends, accepted, seen, cancelled) = ends(script);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                ends.clone().accept(Arc::new(TcpTransport::new(socket).unwrap()), refusal).await;
            }
        });
        Self { address, accepted, seen, cancelled, task }
    }

    /// Behind TLS, with a certificate for `localhost` and the loopback addresses.
    pub(crate) async fn secure(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tls://{}", listener.local_addr().unwrap());
        let (ends, accepted, seen, cancelled) = ends(Arc::new(script));
        let tls = ServerTls::from_pem(CERTIFICATE, KEY).unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let socket = Box::new(TcpTransport::new(socket).unwrap());
                // Who speaks no TLS or trusts another authority is gone.
                if let Ok(transport) = TlsTransport::accept(socket, &tls, BytesMut::new()).await {
                    ends.clone().accept(Arc::new(transport), None).await;
                }
            }
        });
        Self { address, accepted, seen, cancelled, task }
    }

    /// Speaks WebSocket at `/rsocket`, over TLS if it `is_secure`.
    pub(crate) async fn websocket(is_secure: bool, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = if is_secure { "wss" } else { "ws" };
        let address = format!("{name}://{}/rsocket", listener.local_addr().unwrap());
        let (ends, accepted, seen, cancelled) = ends(Arc::new(script));
        let tls = ServerTls::from_pem(CERTIFICATE, KEY).unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let mut socket: Box<dyn Transport> = Box::new(TcpTransport::new(socket).unwrap());
                if is_secure {
                    let Ok(secured) = TlsTransport::accept(socket, &tls, BytesMut::new()).await else { continue };
                    socket = Box::new(secured);
                }
                let admit = |upgrade: &Upgrade<'_>| match upgrade.path {
                    "/rsocket" => Ok(()),
                    _ => Err(Refusal::new(404, "nothing is here")),
                };
                // Who asks for another path is told so.
                if let Ok(transport) = WebSocketTransport::accept(socket, BytesMut::new(), MAX_FRAME, admit).await {
                    ends.clone().accept(Arc::new(transport), None).await;
                }
            }
        });
        Self { address, accepted, seen, cancelled, task }
    }

    /// On a Unix socket.
    #[cfg(unix)]
    pub(crate) fn local(path: &std::path::Path, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let (ends, accepted, seen, cancelled) = ends(Arc::new(script));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                ends.clone()
                    .accept(Arc::new(towline_requester::rsocket::transport::UnixTransport::new(socket)), None)
                    .await;
            }
        });
        Self { address: format!("unix://{}", path.display()), accepted, seen, cancelled, task }
    }

    /// And the other end of its one connection.
    pub(crate) fn in_memory(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> (Self, MemoryTransport) {
        let (near, far) = memory_pair("memory");
        let (ends, accepted, seen, cancelled) = ends(Arc::new(script));
        let task = tokio::spawn(ends.accept(Arc::new(far), None));
        (Self { address: String::new(), accepted, seen, cancelled, task }, near)
    }

    pub(crate) fn app(&self) -> AppBuilder {
        App::connect(&self.address)
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> Accepted {
        soon(self.accepted.recv()).await.unwrap()
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Seen {
        soon(self.seen.recv()).await.unwrap()
    }

    /// Takes no more connections.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[derive(Clone)]
struct Ends {
    script: Script,
    accepted: mpsc::Sender<Accepted>,
    seen: mpsc::Sender<Seen>,
    cancelled: mpsc::Sender<()>,
}

type Receivers = (Ends, mpsc::Receiver<Accepted>, mpsc::Receiver<Seen>, mpsc::Receiver<()>);

fn ends(script: Script) -> Receivers {
    let (accepted, accepted_at) = mpsc::channel(64);
    let (seen, seen_at) = mpsc::channel(64);
    let (cancelled, cancelled_at) = mpsc::channel(64);
    (Ends { script, accepted, seen, cancelled }, accepted_at, seen_at, cancelled_at)
}

impl Ends {
    async fn accept(self, transport: Arc<dyn Transport>, refusal: Option<&'static str>) {
        let Self { script, accepted, seen, cancelled } = self;
        let (hangup, mut hangups) = mpsc::channel(1);
        let mut setup = None;
        let connection = accept(transport, Config::default(), |from_app| {
            setup = Some(from_app);
            let responder: Arc<dyn Responder> = Arc::new(Scripted { script, seen, cancelled, hangup });
            future::ready(match refusal {
                Some(text) => Err(StreamError::new(ErrorCode::REJECTED_SETUP, text)),
                None => Ok(responder),
            })
        });
        let Ok(connection) = connection.await else { return };
        let setup = setup.expect("an accepted connection has one");
        let ending = connection.clone();
        tokio::spawn(async move {
            if hangups.recv().await.is_some() {
                ending.close(None);
            }
        });
        accepted.try_send(Accepted { connection, setup }).unwrap();
    }
}
