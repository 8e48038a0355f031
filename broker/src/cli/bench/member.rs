//! One thin connection, plain or inside TLS.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::net::TcpStream;
use towline_rsocket::transport::{Batch, ClientTls, TcpTransport, TlsTransport, Transport};

use super::Failure;
use super::wire::{Inbox, Link};

/// The name a certificate for these runs is for.
const HOST: &str = "localhost";

/// Frames in, frames out. TLS is the library's: a handshake is not built by hand.
pub(super) enum Member {
    Plain(Link),
    Secure(Box<Secure>),
}

/// The same as a [`Link`], over TLS.
pub(super) struct Secure {
    transport: TlsTransport,
    inbox: Inbox,
    outbox: Vec<u8>,
    batch: Batch,
    plaintext: BytesMut,
}

/// Whom to trust: `ca.pem` in a folder that holds `server.pem` and `server.key` for the broker, too.
pub(super) fn trust(folder: &Path) -> Result<ClientTls, Failure> {
    let path = folder.join("ca.pem");
    let roots = std::fs::read(&path).map_err(|e| Failure::new(format!("read {}: {e}", path.display())))?;
    ClientTls::with_roots_pem(&roots).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

impl Member {
    /// Connects, with TLS if there is somebody to trust; both buffers start with this capacity.
    pub(super) async fn connect(
        address: SocketAddr,
        tls: Option<&ClientTls>,
        capacity: usize,
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("connect {address}: {e}"));
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let Some(tls) = tls else { return Link::new(stream, capacity).map(Self::Plain).map_err(failed) };
        let inner = Box::new(TcpTransport::new(stream).map_err(failed)?);
        let transport = TlsTransport::connect(inner, tls, HOST).await.map_err(failed)?;
        Ok(Self::Secure(Box::new(Secure {
            transport,
            inbox: Inbox::new(capacity),
            outbox: Vec::with_capacity(capacity),
            batch: Batch::default(),
            plaintext: BytesMut::new(),
        })))
    }

    /// What the next flush writes.
    pub(super) fn outbox(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(link) => &mut link.outbox,
            Self::Secure(secure) => &mut secure.outbox,
        }
    }

    /// What was read, and what the next flush writes.
    pub(super) fn parts(&mut self) -> (&mut Inbox, &mut Vec<u8>) {
        match self {
            Self::Plain(link) => (&mut link.inbox, &mut link.outbox),
            Self::Secure(secure) => (&mut secure.inbox, &mut secure.outbox),
        }
    }

    /// One read of what is there; an end of the stream is a failure.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Self::Plain(link) => link.poll_read(cx),
            Self::Secure(secure) => secure.poll_read(cx),
        }
    }

    /// Writes all of the outbox.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Self::Plain(link) => link.poll_flush(cx),
            Self::Secure(secure) => secure.poll_flush(cx),
        }
    }
}

impl Secure {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let failed = |e| Failure::new(format!("read: {e}"));
        loop {
            self.plaintext.clear();
            match self.transport.try_read(&mut self.plaintext) {
                Ok(0) => return Poll::Ready(Err(Failure::new("the peer closed the connection"))),
                Ok(_) => break,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    ready!(self.transport.poll_readable(cx)).map_err(failed)?;
                }
                Err(e) => return Poll::Ready(Err(failed(e))),
            }
        }
        let mut rest = &self.plaintext[..];
        while !rest.is_empty() {
            let room = self.inbox.room();
            let len = room.len().min(rest.len());
            room[..len].copy_from_slice(&rest[..len]);
            self.inbox.filled(len);
            rest = &rest[len..];
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let failed = |e| Failure::new(format!("write: {e}"));
        if !self.outbox.is_empty() {
            self.batch.push(BytesMut::from(&self.outbox[..]));
            self.outbox.clear();
        }
        while !self.batch.is_empty() || self.transport.has_unsent() {
            match self.transport.try_write(&mut self.batch) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    ready!(self.transport.poll_writable(cx)).map_err(failed)?;
                }
                Err(e) => return Poll::Ready(Err(failed(e))),
            }
        }
        Poll::Ready(Ok(()))
    }
}
