//! What carries the frames of a connection: TCP, TLS, a Unix socket, a WebSocket.

use futures::{SinkExt, StreamExt};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use towline::config::ListenAddress;
use towline_rsocket::ReadBuffer;
use towline_rsocket::frame::{LENGTH, MAX_FRAME};
use towline_rsocket::transport::{Batch, ClientTls, TcpTransport, TlsTransport, Transport, readable, write_all};

/// Who signed the certificate that [`Process`](super::Process) shows.
const AUTHORITY: &[u8] = include_bytes!("../../rsocket/tests/fixtures/ca.pem");

/// How a peer reaches the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Tcp,
    Unix,
    WebSocket,
}

impl Carrier {
    /// An address nobody else listens on.
    pub(super) fn listen(self) -> ListenAddress {
        static SOCKETS: AtomicU32 = AtomicU32::new(0);
        let text = match self {
            Self::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Self::WebSocket => "ws://127.0.0.1:0".to_owned(),
            // Short: the system takes some hundred bytes.
            Self::Unix => {
                let nth = SOCKETS.fetch_add(1, Ordering::Relaxed);
                format!("unix://{}/{}-{nth}.sock", env!("CARGO_TARGET_TMPDIR"), std::process::id())
            }
        };
        text.parse().expect("this broker listens on it")
    }
}

/// A stream of bytes.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Duplex for T {}

/// An open connection. Frames are written and read in the form a byte stream carries them, whatever carries these.
#[derive(Debug)]
pub(super) enum Socket {
    /// Each frame behind its 24-bit length.
    Stream(Box<dyn Duplex>),
    /// Each frame a binary message, without a length.
    Messages(Box<WebSocketStream<TcpStream>>),
    /// As in a stream, inside TLS.
    Secure(Box<TlsTransport>),
}

impl Socket {
    /// Connects to `unix://path`, `ws://host:port`, `tls://host:port`, or a TCP address without a scheme.
    pub(super) async fn connect(address: &str) -> io::Result<Self> {
        if let Some(path) = address.strip_prefix("unix://") {
            return Ok(Self::Stream(Box::new(UnixStream::connect(path).await?)));
        }
        if let Some(address) = address.strip_prefix("tls://") {
            let tls = ClientTls::with_roots_pem(AUTHORITY).map_err(io::Error::other)?;
            let socket = Box::new(TcpTransport::connect(address).await?);
            return Ok(Self::Secure(Box::new(TlsTransport::connect(socket, &tls, "localhost").await?)));
        }
        let stream = TcpStream::connect(address.trim_start_matches("ws://")).await?;
        Self::over(address, stream).await
    }

    /// The kernel keeps little of what is not read.
    pub(super) async fn connect_narrow(address: &str) -> io::Result<Self> {
        if address.starts_with("unix://") {
            return Self::connect(address).await;
        }
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(16 * 1024)?;
        let to = address.trim_start_matches("ws://").parse().expect("an address");
        Self::over(address, socket.connect(to).await?).await
    }

    async fn over(address: &str, stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        if !address.starts_with("ws://") {
            return Ok(Self::Stream(Box::new(stream)));
        }
        let (socket, _) = tokio_tungstenite::client_async(address, stream).await.map_err(io::Error::other)?;
        Ok(Self::Messages(Box::new(socket)))
    }

    /// Writes frames; to a byte stream also parts of them.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let socket = match self {
            Self::Stream(stream) => return stream.write_all(bytes).await,
            Self::Secure(secure) => {
                let mut batch = Batch::default();
                batch.push(bytes.into());
                return write_all(&**secure, &mut batch).await;
            }
            Self::Messages(socket) => socket,
        };
        while !bytes.is_empty() {
            let len = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
            let (frame, rest) = bytes[LENGTH..].split_at_checked(len).expect("messages carry whole frames");
            socket.feed(Message::binary(frame.to_vec())).await.map_err(io::Error::other)?;
            bytes = rest;
        }
        socket.flush().await.map_err(io::Error::other)
    }

    /// Appends what comes next; 0 bytes at the end of the connection, however it ended. May be cancelled.
    pub(super) async fn read(&mut self, buffer: &mut ReadBuffer) -> usize {
        let socket = match self {
            Self::Stream(stream) => return stream.read_buf(buffer.space()).await.unwrap_or(0),
            Self::Secure(secure) => loop {
                let is_open = readable(&**secure).await.is_ok();
                match secure.try_read(buffer.space()) {
                    Err(error) if is_open && error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read.unwrap_or(0),
                }
            },
            Self::Messages(socket) => socket,
        };
        loop {
            match socket.next().await {
                Some(Ok(Message::Binary(frame))) => {
                    assert!(frame.len() <= MAX_FRAME, "a frame of {} bytes", frame.len());
                    let space = buffer.space();
                    space.extend_from_slice(&(frame.len() as u32).to_be_bytes()[1..]);
                    space.extend_from_slice(&frame);
                    return LENGTH + frame.len();
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                None | Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return 0,
                // Not even a CLOSE: the end all the same.
                Some(Err(Error::Io(_) | Error::Protocol(_))) => return 0,
                other => panic!("the broker sent {other:?}"),
            }
        }
    }
}

/// Makes a test of each promise, an `async fn(Carrier)` of this module, over one carrier.
macro_rules! over {
    ($name:ident, $carrier:ident, $($promise:ident)+) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    super::$promise($crate::harness::Carrier::$carrier).await;
                }
            )+
        }
    };
}

/// Tests of these promises over every carrier.
macro_rules! over_all {
    ($($promise:ident),+ $(,)?) => {
        $crate::harness::over!(tcp, Tcp, $($promise)+);
        $crate::harness::over!(unix, Unix, $($promise)+);
        $crate::harness::over!(web_socket, WebSocket, $($promise)+);
    };
}

/// Tests of these promises over the carriers that are streams of bytes.
macro_rules! over_streams {
    ($($promise:ident),+ $(,)?) => {
        $crate::harness::over!(tcp, Tcp, $($promise)+);
        $crate::harness::over!(unix, Unix, $($promise)+);
    };
}

pub(crate) use {over, over_all, over_streams};
