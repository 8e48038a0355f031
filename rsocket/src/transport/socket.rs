//! What TCP and Unix sockets have in common: tokio gives both the same methods and no trait for them.

/// Chunks given to one vectored write.
pub(super) const SLICES: usize = 64;

/// [`Transport`](super::Transport) for a type with a tokio socket `stream`, a text `peer` and a function `address`, which
/// tells a socket's own.
macro_rules! socket_transport {
    ($transport:ty) => {
        impl $crate::transport::Transport for $transport {
            fn poll_readable(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
                self.stream.poll_read_ready(cx)
            }

            fn poll_writable(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
                self.stream.poll_write_ready(cx)
            }

            fn try_read(&self, into: &mut bytes::BytesMut) -> std::io::Result<usize> {
                // A read that fills less than it was given has emptied the socket; saying so saves the read that would
                // only find that out (the event is edge-triggered, so what comes later is a new one).
                let room = into.capacity() - into.len();
                let mut short = None;
                let read =
                    self.stream.try_io(tokio::io::Interest::READABLE, || match self.stream.try_read_buf(into)? {
                        read if read > 0 && read < room => {
                            short = Some(read);
                            Err(std::io::ErrorKind::WouldBlock.into())
                        }
                        read => Ok(read),
                    });
                short.map_or(read, Ok)
            }

            fn try_write(&self, batch: &mut $crate::transport::Batch) -> std::io::Result<usize> {
                let written = if let Some(chunk) = batch.single() {
                    self.stream.try_write(chunk)?
                } else {
                    let mut slices = [std::io::IoSlice::new(&[]); $crate::transport::socket::SLICES];
                    let filled = batch.slices(&mut slices);
                    self.stream.try_write_vectored(&slices[..filled])?
                };
                batch.advance(written);
                Ok(written)
            }

            fn finish(&self) {
                // A socket that is gone already needs no end.
                let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
            }

            fn shutdown(&self) {
                // A socket that is gone already needs no shutdown.
                let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Both);
            }

            fn peer(&self) -> String {
                self.peer.clone()
            }

            fn local(&self) -> Option<String> {
                Self::address(&self.stream)
            }
        }
    };
}
pub(super) use socket_transport;
