//! Relay A: two hops, one write per read, and nothing in between. What the broker is measured against. On one thread: a
//! second one moved the rate at 8x32 and 64x1 by no more than the noise (paired medians 0.88 to 1.17) and cost CPU at 8x32.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use clap::Args;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::Failure;
use super::children::{self, Child};

/// One read takes what a connection with 32 requests of 4 KB has outstanding; with 64 KB that shape lost a fifth.
const BUFFER: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct YardstickArgs {
    /// Where each accepted connection is pumped to
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// End when standard input closes
    #[arg(long)]
    die_with_stdin: bool,
}

/// A yardstick of its own process in front of `to`.
pub(super) async fn start(to: SocketAddr) -> Result<Child, Failure> {
    let to = to.to_string();
    Child::start("bench yardstick ready", &["bench", "yardstick", "--die-with-stdin", "--to", &to]).await
}

/// Serves until it is killed.
pub(super) async fn run(args: YardstickArgs) -> Result<(), Failure> {
    let listener = children::listen("yardstick", args.listen, args.die_with_stdin).await?;
    accept(listener, args.to).await
}

async fn accept(listener: TcpListener, to: SocketAddr) -> Result<(), Failure> {
    loop {
        let (client, _) = listener.accept().await.map_err(|e| Failure::new(format!("yardstick: accept: {e}")))?;
        tokio::spawn(relay(client, to));
    }
}

async fn relay(client: TcpStream, to: SocketAddr) {
    match open(&client, to).await {
        Ok(upstream) => {
            let (client_read, client_write) = client.into_split();
            let (upstream_read, upstream_write) = upstream.into_split();
            tokio::spawn(pump(client_read, upstream_write));
            tokio::spawn(pump(upstream_read, client_write));
        }
        Err(e) => eprintln!("yardstick: connect {to}: {e}"),
    }
}

async fn open(client: &TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    let upstream = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    Ok(upstream)
}

/// One direction, until either side is gone; dropping the writing half passes the end on.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let Ok(len) = read(&mut from, &mut buffer).await else { return };
        if len == 0 || write_all(&mut to, &buffer[..len]).await.is_err() {
            return;
        }
    }
}

async fn read(from: &mut OwnedReadHalf, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut room = ReadBuf::new(buffer);
        Pin::new(&mut *from).poll_read(cx, &mut room).map_ok(|()| room.filled().len())
    })
    .await
}

async fn write_all(to: &mut OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = poll_fn(|cx| Pin::new(&mut *to).poll_write(cx, bytes)).await?;
        bytes = &bytes[len..];
    }
    Ok(())
}
