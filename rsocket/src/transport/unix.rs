use super::socket::socket_transport;
use std::io;
use std::path::Path;
use tokio::net::UnixStream;

/// A connection over a Unix socket: the bytes are those of TCP.
#[derive(Debug)]
pub struct UnixTransport {
    stream: UnixStream,
    peer: String,
}

impl UnixTransport {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// If there is none, nobody listens, or this user may not write to it.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path).await?;
        Ok(Self { stream, peer: format!("unix://{}", path.display()) })
    }

    /// Takes a connected socket. Its peer is a process of this machine: the system says whose, and on most also which.
    pub fn new(stream: UnixStream) -> Self {
        let peer = match stream.peer_cred() {
            Ok(cred) => match cred.pid() {
                Some(pid) => format!("unix socket, uid {}, pid {pid}", cred.uid()),
                None => format!("unix socket, uid {}", cred.uid()),
            },
            Err(_unknown) => "unix socket".to_owned(),
        };
        Self { stream, peer }
    }

    /// None: its path says nothing outside this machine's file system, or there is no path.
    fn address(_stream: &UnixStream) -> Option<String> {
        None
    }
}

socket_transport!(UnixTransport);
