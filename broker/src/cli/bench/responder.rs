//! The thin responder: echoes every REQUEST_RESPONSE, all frames of one read with one write.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use clap::Args;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval_at};

use super::Failure;
use super::children::{self, Child};
use super::wire::{self, Frame, Link};

const BUFFER: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct ResponderArgs {
    /// Register at this broker instead of listening
    #[arg(long)]
    broker: Option<SocketAddr>,
    #[arg(long, default_value = "127.0.0.1:0", conflicts_with = "broker")]
    listen: SocketAddr,
    /// Answer by the library and a generated server instead of by hand
    #[arg(long, requires = "broker")]
    proxies: bool,
    /// End when standard input closes
    #[arg(long)]
    die_with_stdin: bool,
}

/// A responder of its own process that clients and the yardstick connect to.
pub(super) async fn start_listening() -> Result<Child, Failure> {
    Child::start("bench responder ready", &["bench", "responder", "--die-with-stdin"]).await
}

/// A responder of its own process, registered at `broker`.
pub(super) async fn start_at(broker: SocketAddr) -> Result<Child, Failure> {
    let broker = broker.to_string();
    Child::start("bench responder ready", &["bench", "responder", "--die-with-stdin", "--broker", &broker]).await
}

/// Serves until it is killed; behind a broker, until the broker closes the connection.
pub(super) async fn run(args: ResponderArgs) -> Result<(), Failure> {
    match args.broker {
        None => accept(children::listen("responder", args.listen, args.die_with_stdin).await?).await,
        Some(broker) => {
            if args.die_with_stdin {
                children::die_with_stdin();
            }
            if args.proxies {
                return super::proxies::serve(broker).await;
            }
            register(broker).await.map_err(|e| Failure::new(format!("responder at the broker {broker}: {e}")))
        }
    }
}

async fn accept(listener: TcpListener) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await.map_err(|e| Failure::new(format!("responder: accept: {e}")))?;
        let link = Link::new(stream, BUFFER).map_err(|e| Failure::new(format!("responder: {e}")))?;
        tokio::spawn(serve_client(link));
    }
}

async fn serve_client(mut link: Link) {
    // A client that hangs up has all it wants.
    let Err(_hung_up) = poll_fn(|cx| poll_serve(&mut link, cx, &mut |_| {})).await;
}

async fn register(broker: SocketAddr) -> Result<(), Failure> {
    let stream = TcpStream::connect(broker).await.map_err(|e| Failure::new(format!("connect: {e}")))?;
    let mut link = Link::new(stream, BUFFER).map_err(|e| Failure::new(e.to_string()))?;
    wire::put_setup(&mut link.outbox, "bench-responder", fastrand::u128(..), true);
    // The answer says that the broker has taken the SETUP before it.
    wire::put_keepalive(&mut link.outbox, true, b"");
    let mut is_registered = false;
    let mut keepalive = interval_at(Instant::now() + wire::KEEPALIVE_EVERY, wire::KEEPALIVE_EVERY);
    loop {
        let on_keepalive = &mut |frame: &Frame<'_>| {
            if !is_registered && !frame.has(wire::RESPOND) {
                is_registered = true;
                children::announce("responder", broker);
            }
        };
        tokio::select! {
            biased;
            ended = poll_fn(|cx| poll_serve(&mut link, cx, on_keepalive)) => match ended { Err(failure) => return Err(failure) },
            _ = keepalive.tick() => wire::put_keepalive(&mut link.outbox, true, b""),
        }
    }
}

/// Serves one connection for ever, that is to its failure. Reads only when all answers are written: a peer that does not
/// read is not read from.
fn poll_serve(
    link: &mut Link,
    cx: &mut Context<'_>,
    on_keepalive: &mut impl FnMut(&Frame<'_>),
) -> Poll<Result<std::convert::Infallible, Failure>> {
    loop {
        ready!(link.poll_flush(cx))?;
        ready!(link.poll_read(cx))?;
        while let Some(frame) = link.inbox.next_frame()? {
            match frame.kind {
                wire::REQUEST_RESPONSE => wire::put_answer(&mut link.outbox, frame.stream_id, echoed(&frame)?),
                wire::KEEPALIVE => {
                    wire::answer_keepalive(&mut link.outbox, &frame);
                    on_keepalive(&frame);
                }
                wire::ERROR if frame.stream_id == 0 => return Poll::Ready(Err(Failure::new(frame.error_text()))),
                // SETUP needs no answer, CANCEL comes too late, the rest is not asked of this responder.
                _ => {}
            }
        }
    }
}

fn echoed<'a>(frame: &Frame<'a>) -> Result<&'a [u8], Failure> {
    if frame.has(wire::FOLLOWS) {
        return Err(Failure::new("a request came in fragments: choose a smaller --size"));
    }
    frame.data().ok_or_else(|| Failure::new("the metadata of a request overruns its frame"))
}
