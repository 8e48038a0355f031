use super::{Batch, Transport};
use bytes::BytesMut;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::net::{TcpStream, ToSocketAddrs};

/// Bytes the kernel may hold unsent per socket, so that what is queued last can still go first.
const NOTSENT_LOWAT: u32 = 128 * 1024;
/// Chunks given to one vectored write.
const SLICES: usize = 64;

/// A TCP connection.
#[derive(Debug)]
pub struct TcpTransport {
    stream: TcpStream,
    peer: String,
}

impl TcpTransport {
    /// Connects.
    ///
    /// # Errors
    /// If the name does not resolve or nobody answers.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        Self::new(TcpStream::connect(address).await?)
    }

    /// Takes a connected socket: no delay, and at most 128 KiB unsent in the kernel.
    ///
    /// # Errors
    /// If the socket is dead already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        SockRef::from(&stream).set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
        let peer = stream.peer_addr()?.to_string();
        Ok(Self { stream, peer })
    }
}

impl Transport for TcpTransport {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.stream.poll_read_ready(cx)))
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(self.stream.poll_write_ready(cx)))
    }

    fn try_read(&self, into: &mut BytesMut) -> io::Result<usize> {
        // A read that fills less than it was given has emptied the socket; saying so saves the read that would only
        // find that out (the event is edge-triggered, so what comes later is a new one).
        let room = into.capacity() - into.len();
        let mut short = None;
        let read = self.stream.try_io(Interest::READABLE, || match self.stream.try_read_buf(into)? {
            read if read > 0 && read < room => {
                short = Some(read);
                Err(io::ErrorKind::WouldBlock.into())
            }
            read => Ok(read),
        });
        short.map_or(read, Ok)
    }

    fn try_write(&self, batch: &mut Batch) -> io::Result<usize> {
        let written = if let Some(chunk) = batch.single() {
            self.stream.try_write(chunk)?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = batch.slices(&mut slices);
            self.stream.try_write_vectored(&slices[..filled])?
        };
        batch.advance(written);
        Ok(written)
    }

    fn shutdown(&self) {
        // A socket that is gone already needs no shutdown.
        let _ = SockRef::from(&self.stream).shutdown(std::net::Shutdown::Both);
    }

    fn peer(&self) -> String {
        self.peer.clone()
    }
}
