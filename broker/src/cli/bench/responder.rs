//! The thin responder: echoes every request-response, counts fire-and-forgets, sends items as credit allows; all frames of
//! one read are answered by one write.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use clap::Args;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};

use super::children::{self, Child};
use super::client::Shape;
use super::queue::queued;
use super::requests::{CANCEL, REQUEST_N, REQUEST_STREAM, put_payload, requested};
use super::rsocket::{self, COUNT, REQUEST_FNF};
use super::wire::{self, Frame, Link};
use super::{Failure, defibus, nats};

const BUFFER: usize = 256 * 1024;
/// Bytes of items written before the next look at what was read.
const ITEMS: usize = 64 * 1024;
/// Services one connection registers: the names of more do not fit a SETUP of the usual size.
pub(super) const SERVICES: usize = 400;

#[derive(Debug, Args)]
pub(super) struct ResponderArgs {
    /// Register at this broker instead of listening
    #[arg(long)]
    broker: Option<SocketAddr>,
    /// Subscribe at this NATS server instead of listening
    #[arg(long, conflicts_with = "broker")]
    nats: Option<SocketAddr>,
    /// Consume at this DeFiBus broker instead of listening
    #[arg(long, conflicts_with_all = ["broker", "nats"])]
    defibus: Option<SocketAddr>,
    #[arg(long, default_value = "127.0.0.1:0", conflicts_with_all = ["broker", "nats", "defibus"])]
    listen: SocketAddr,
    /// Answer by the library and a generated server instead of by hand
    #[arg(long, requires = "broker")]
    proxies: bool,
    /// Take requests out of a durable topic
    #[arg(long, requires = "broker", conflicts_with = "proxies")]
    queued: bool,
    #[command(flatten)]
    crew: Crew,
    /// End when standard input closes
    #[arg(long)]
    die_with_stdin: bool,
}

/// How many connections register what, and how they answer.
#[derive(Debug, Clone, Copy, Args)]
struct Crew {
    /// Services that are registered
    #[arg(long, default_value_t = 1)]
    services: usize,
    /// Services that one connection registers
    #[arg(long, default_value_t = SERVICES)]
    services_each: usize,
    /// Instances of each
    #[arg(long, default_value_t = 1)]
    instances: usize,
    /// Bytes of an answer's fragment; 0: no fragments
    #[arg(long, default_value_t = 0)]
    fragment: usize,
}

fn arguments(shape: Shape) -> [String; 3] {
    let Shape { services, instances, fragment, .. } = shape;
    [format!("--services={services}"), format!("--instances={instances}"), format!("--fragment={fragment}")]
}

/// A responder of its own process that clients and the yardstick connect to.
pub(super) async fn start_listening(shape: Shape) -> Result<Child, Failure> {
    let fixed = ["bench", "responder", "--die-with-stdin"].map(str::to_owned);
    Child::start("bench responder ready", &[&fixed[..], &arguments(shape)].concat()).await
}

/// A responder of its own process, registered at `broker` by connections of so many services each.
pub(super) async fn start_at(broker: SocketAddr, shape: Shape, each: usize) -> Result<Child, Failure> {
    let (broker, each) = (broker.to_string(), each.to_string());
    let fixed = ["bench", "responder", "--die-with-stdin", "--broker", &broker, "--services-each", &each];
    let fixed = fixed.map(str::to_owned);
    Child::start("bench responder ready", &[&fixed[..], &arguments(shape)].concat()).await
}

/// Serves until it is killed; behind a broker, until the broker closes a connection.
pub(super) async fn run(args: ResponderArgs) -> Result<(), Failure> {
    if args.die_with_stdin && [args.broker, args.nats, args.defibus].iter().any(Option::is_some) {
        children::die_with_stdin();
    }
    match (args.broker, args.nats, args.defibus) {
        (Some(broker), ..) if args.proxies => super::proxies::serve(broker).await,
        (Some(broker), ..) if args.queued => queued::serve(broker).await,
        (Some(broker), ..) => register(broker, args.crew)
            .await
            .map_err(|e| Failure::new(format!("responder at the broker {broker}: {e}"))),
        (None, Some(server), _) => nats::serve(server).await,
        (None, None, Some(broker)) => defibus::serve(broker).await,
        (None, None, None) => {
            accept(children::listen("responder", args.listen, args.die_with_stdin).await?, args.crew.fragment).await
        }
    }
}

async fn accept(listener: TcpListener, fragment: usize) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await.map_err(|e| Failure::new(format!("responder: accept: {e}")))?;
        let link = Link::new(stream, BUFFER).map_err(|e| Failure::new(format!("responder: {e}")))?;
        let mut server = Server::new(link, fragment);
        tokio::spawn(async move {
            // A client that hangs up has all it wants.
            let Err(_hung_up) = poll_fn(|cx| server.poll_serve(cx, &mut || ())).await;
        });
    }
}

/// Registers everything, says so, and serves until the first connection ends.
async fn register(broker: SocketAddr, crew: Crew) -> Result<(), Failure> {
    let services: Vec<String> = rsocket::services(crew.services).collect();
    let mut connections = JoinSet::new();
    for _ in 0..crew.instances {
        for part in services.chunks(crew.services_each) {
            let (known, is_known) = tokio::sync::oneshot::channel();
            connections.spawn(serve_at(broker, part.to_vec(), crew.fragment, known));
            // One after the other: a thousand that say the same at once would measure something else.
            if is_known.await.is_err() {
                let ended = connections.join_next().await;
                return ended.map_or(Ok(()), |ended| ended.map_err(|e| Failure::new(e.to_string()))?);
            }
        }
    }
    children::announce("responder", broker);
    connections.join_next().await.map_or(Ok(()), |ended| ended.map_err(|e| Failure::new(e.to_string()))?)
}

async fn serve_at(
    broker: SocketAddr,
    services: Vec<String>,
    fragment: usize,
    known: tokio::sync::oneshot::Sender<()>,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(broker).await.map_err(|e| Failure::new(format!("connect: {e}")))?;
    let mut link = Link::new(stream, BUFFER).map_err(|e| Failure::new(e.to_string()))?;
    wire::put_setup(&mut link.outbox, "bench-responder", fastrand::u128(..), services.iter().map(String::as_str));
    // The answer says that the broker has taken the SETUP before it.
    wire::put_keepalive(&mut link.outbox, true, b"");
    let (mut server, mut known) = (Server::new(link, fragment), Some(known));
    let mut keepalive = interval_at(Instant::now() + wire::KEEPALIVE_EVERY, wire::KEEPALIVE_EVERY);
    loop {
        let on_echo = &mut || {
            if let Some(known) = known.take() {
                // Nobody waits any more if another connection has failed.
                let _ = known.send(());
            }
        };
        tokio::select! {
            biased;
            ended = poll_fn(|cx| server.poll_serve(cx, on_echo)) => match ended { Err(failure) => return Err(failure) },
            _ = keepalive.tick() => wire::put_keepalive(&mut server.link.outbox, true, b""),
        }
    }
}

/// One connection.
struct Server {
    link: Link,
    fragment: usize,
    /// Requests whose other fragments are still to come.
    partial: HashMap<u32, Vec<u8>>,
    /// Fire-and-forgets that came.
    come: u64,
    /// Credit and item of each open stream.
    streams: HashMap<u32, (u64, Vec<u8>)>,
}

impl Server {
    fn new(link: Link, fragment: usize) -> Self {
        Self { link, fragment, partial: HashMap::new(), come: 0, streams: HashMap::new() }
    }

    /// Serves for ever, that is to its failure. Reads only when all answers are written: a peer that does not read is not
    /// read from.
    fn poll_serve(
        &mut self,
        cx: &mut Context<'_>,
        on_echo: &mut impl FnMut(),
    ) -> Poll<Result<std::convert::Infallible, Failure>> {
        loop {
            let has_produced = self.produce();
            ready!(self.link.poll_flush(cx))?;
            match self.link.poll_read(cx) {
                Poll::Ready(read) => read?,
                Poll::Pending if has_produced => continue,
                Poll::Pending => return Poll::Pending,
            }
            self.hear(on_echo)?;
        }
    }

    fn hear(&mut self, on_echo: &mut impl FnMut()) -> Result<(), Failure> {
        let Self { link: Link { inbox, outbox, .. }, fragment, partial, come, streams } = self;
        while let Some(frame) = inbox.next_frame()? {
            let id = frame.stream_id;
            match frame.kind {
                wire::REQUEST_RESPONSE if frame.has(wire::FOLLOWS) => {
                    partial.insert(id, read(&frame)?.to_vec());
                }
                wire::REQUEST_RESPONSE => match read(&frame)? {
                    COUNT => wire::put_answer(outbox, id, &come.to_be_bytes()),
                    data => put_answer(outbox, id, data, *fragment),
                },
                REQUEST_FNF => *come += u64::from(!frame.has(wire::FOLLOWS)),
                wire::PAYLOAD if !partial.is_empty() => {
                    if let Some(data) = partial.get_mut(&id) {
                        data.extend_from_slice(read(&frame)?);
                        if !frame.has(wire::FOLLOWS) {
                            let data = partial.remove(&id).unwrap_or_default();
                            put_answer(outbox, id, &data, *fragment);
                        }
                    }
                }
                // The end of a fire-and-forget.
                wire::PAYLOAD => *come += u64::from(!frame.has(wire::FOLLOWS)),
                REQUEST_STREAM => {
                    let credit = u64::from(requested(frame.body));
                    let asked = Frame { body: frame.body.get(4..).unwrap_or_default(), ..frame };
                    let size = read(&asked)?.first_chunk().map_or(0, |size| u32::from_be_bytes(*size));
                    streams.insert(id, (credit, rsocket::data(size as usize)));
                }
                REQUEST_N => {
                    let more = u64::from(requested(frame.body));
                    streams.get_mut(&id).into_iter().for_each(|(credit, _)| *credit += more);
                }
                CANCEL => drop(streams.remove(&id)),
                wire::KEEPALIVE => {
                    wire::answer_keepalive(outbox, &frame);
                    if !frame.has(wire::RESPOND) {
                        on_echo();
                    }
                }
                wire::ERROR if id == 0 => return Err(Failure::new(frame.error_text())),
                // SETUP needs no answer, the rest is not asked of this responder.
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes items for which there is credit; whether there were any.
    fn produce(&mut self) -> bool {
        let outbox = &mut self.link.outbox;
        let before = outbox.len();
        for (id, (credit, item)) in &mut self.streams {
            while *credit > 0 && outbox.len() < ITEMS {
                *credit -= 1;
                put_payload(outbox, *id, wire::NEXT, item);
            }
        }
        outbox.len() > before
    }
}

fn put_answer(out: &mut Vec<u8>, id: u32, data: &[u8], fragment: usize) {
    if fragment == 0 || data.len() <= fragment {
        return wire::put_answer(out, id, data);
    }
    let mut parts = data.chunks(fragment).peekable();
    while let Some(part) = parts.next() {
        let rest = if parts.peek().is_some() { wire::FOLLOWS } else { wire::COMPLETE };
        put_payload(out, id, wire::NEXT | rest, part);
    }
}

fn read<'a>(frame: &Frame<'a>) -> Result<&'a [u8], Failure> {
    frame.data().ok_or_else(|| Failure::new("the metadata of a request overruns its frame"))
}
