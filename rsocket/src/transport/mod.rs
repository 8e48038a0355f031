//! What carries frames: non-blocking reads and writes of a byte stream, and waiting for either.
//!
//! A [`Transport`] has one reader and one writer at a time; its owner sees to that. Nothing here spawns a task,
//! and sockets buffer nothing: what they do not take stays in the [`Batch`]. A layer such as TLS holds a bounded number of
//! bytes, see [`has_unsent`](Transport::has_unsent).

mod batch;
mod memory;
mod socket;
mod tcp;
mod tls;
#[cfg(unix)]
mod unix;
pub mod websocket;

pub use batch::Batch;
pub use memory::{MemoryTransport, memory_pair};
pub use tcp::TcpTransport;
pub use tls::{ClientTls, ServerTls, TlsError, TlsTransport};
#[cfg(unix)]
pub use unix::UnixTransport;
pub use websocket::WebSocketTransport;

use bytes::BytesMut;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// A connected byte stream in non-blocking form.
pub trait Transport: Send + Sync + 'static {
    /// Ready once a read may succeed; one task waits at a time.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready once a write may succeed; one task waits at a time.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends what is there, at most the free capacity of `into` for sockets; `Ok(0)` is the end of the stream, `Ok(n)`
    /// tells the bytes read, which a layer need not hand out one for one.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there yet; anything else ends the connection.
    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize>;

    /// Writes from the front of the batch and removes what was taken; returns the number of bytes taken.
    ///
    /// # Errors
    /// `WouldBlock` if nothing can be taken now, or nothing more of what is unsent; anything else ends the connection.
    fn try_write(&self, batch: &mut Batch) -> io::Result<usize>;

    /// Bytes were taken from a batch, or are the transport's own (a PONG, a TLS alert), and the socket has not taken them:
    /// whoever writes goes on with `try_write`, an empty batch will do. Reading may bring this about.
    fn has_unsent(&self) -> bool {
        false
    }

    /// Bytes that were read and cannot be handed out yet, because what they belong to is not complete.
    fn held(&self) -> usize {
        0
    }

    /// Ends this side's direction: the peer sees the end of the stream, and what it sends meanwhile can still be read. A
    /// transport without halves ends both.
    fn finish(&self) {
        self.shutdown();
    }

    /// Ends both directions; the peer sees the end of the stream, a waiting reader of this side wakes.
    fn shutdown(&self);

    /// The peer's address, for people.
    fn peer(&self) -> String;

    /// The address of this end as a client writes it, such as `tcp://127.0.0.1:9999`; none if no client could.
    fn local(&self) -> Option<String> {
        None
    }
}

/// Waits until a read may succeed.
///
/// # Errors
/// If the transport is gone.
pub async fn readable(transport: &dyn Transport) -> io::Result<()> {
    poll_fn(|cx| transport.poll_readable(cx)).await
}

/// Waits until a write may succeed.
///
/// # Errors
/// If the transport is gone.
pub async fn writable(transport: &dyn Transport) -> io::Result<()> {
    poll_fn(|cx| transport.poll_writable(cx)).await
}

/// Writes all of a batch, and what the transport itself has to say.
///
/// # Errors
/// If the transport is gone.
pub async fn write_all(transport: &dyn Transport, batch: &mut Batch) -> io::Result<()> {
    while !batch.is_empty() || transport.has_unsent() {
        match transport.try_write(batch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable(transport).await?,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Reads after which what still comes is not waited for.
const READS: usize = 16;

/// Reads what is there: closing a socket with unread bytes would take back what was written.
fn discard(transport: &dyn Transport) {
    let mut bytes = BytesMut::new();
    for _ in 0..READS {
        bytes.clear();
        bytes.reserve(16 * 1024);
        if !matches!(transport.try_read(&mut bytes), Ok(1..)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
