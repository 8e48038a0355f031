use super::socket::socket_transport;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpStream, ToSocketAddrs};

/// Bytes the kernel may hold unsent per socket, so that what is queued last can still go first.
const NOTSENT_LOWAT: u32 = 128 * 1024;

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

    fn address(stream: &TcpStream) -> Option<String> {
        let local = stream.local_addr().ok()?;
        Some(format!("tcp://{}", SocketAddr::new(local.ip().to_canonical(), local.port())))
    }
}

socket_transport!(TcpTransport);
