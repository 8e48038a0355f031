//! Sockets that accept connections.

use crate::config::ListenAddress;
use rsocket::transport::{TcpTransport, Transport, UnixTransport};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// Connections that may wait to be accepted: room for a burst.
const BACKLOG: i32 = 4096;

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Listening,
    scheme: &'static str,
    /// Plaintext is never answered.
    pub is_secure: bool,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Opens it. The file of a Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// If the system refuses, or somebody listens there already.
    pub(crate) fn bind(address: &ListenAddress) -> io::Result<Self> {
        let socket = match address {
            ListenAddress::Tcp(address)
            | ListenAddress::Tls(address)
            | ListenAddress::Ws(address)
            | ListenAddress::Wss(address) => Listening::Tcp(tcp(*address)?),
            ListenAddress::Unix(path) => Listening::Unix(unix(path)?, path.clone()),
        };
        Ok(Self { socket, scheme: address.scheme(), is_secure: address.is_secure() })
    }

    /// Where it really listens, as clients write it.
    pub(crate) fn address(&self) -> io::Result<String> {
        Ok(match &self.socket {
            Listening::Tcp(listener) => format!("{}://{}", self.scheme, listener.local_addr()?),
            Listening::Unix(_, path) => format!("unix://{}", path.display()),
        })
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Transport>> {
        Ok(match &self.socket {
            Listening::Tcp(listener) => Box::new(TcpTransport::new(listener.accept().await?.0)?),
            Listening::Unix(listener, _) => Box::new(UnixTransport::new(listener.accept().await?.0)),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listening::Unix(_, path) = &self.socket {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        let nobody = std::os::unix::net::UnixStream::connect(path);
        if nobody.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(socket.into())
}
