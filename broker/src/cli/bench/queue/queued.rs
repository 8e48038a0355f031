//! Calls by way of a durable topic: a request is a message that says which service its answer goes to. It is stored and synced; a
//! member of a group takes it, answers by a fire-and-forget to that service, and settles it.
//!
//! ```text
//!  requester -- publish --> topic -- consume --> responder -- fire-and-forget to `bench.Answer..` --> requester
//!
//!  body and answer: u32 the request's id | data         body, before both: u8 length, service
//! ```

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at};

use super::member::{Consume, Got};
use super::ours::{self, publish_of};
use super::pack::{bytes, value_of};
use super::pull::{Channel, GROUP};
use super::{Level, Topics};
use crate::cli::bench::Failure;
use crate::cli::bench::children::{self, Child};
use crate::cli::bench::client::Shape;
use crate::cli::bench::requests::put_fnf;
use crate::cli::bench::rsocket::{REQUEST_FNF, Template, data, hear_rest};
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::wire::{self, Link};

const TOPIC: &str = "bench-calls";
/// Requests that are taken and not settled.
const WINDOW: usize = 1024;
const BUFFER: usize = 256 * 1024;

/// The requester's side.
#[derive(Debug)]
pub(in crate::cli::bench) struct Queued {
    /// Where its answers go.
    service: String,
    template: Template,
    /// Where the id stands.
    at: usize,
    size: usize,
}

impl Queued {
    pub(in crate::cli::bench) fn calls(shape: Shape) -> Self {
        let service = format!("bench.Answer{:016x}", fastrand::u64(..));
        let head = [&[service.len() as u8], service.as_bytes()].concat();
        let template = publish_of(TOPIC, &[&head[..], &[0; 4], &data(shape.size)].concat());
        let at = template.find(&head).expect("it was put there") + head.len();
        Self { service, template, at, size: shape.size }
    }
}

impl Talk for Queued {
    fn hello(&mut self, out: &mut Vec<u8>) {
        wire::put_setup(out, "bench-requester", fastrand::u128(..), [&self.service[..]]);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        let at = out.len() + self.at;
        self.template.put(out, id);
        out[at..at + 4].copy_from_slice(&id.to_be_bytes());
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Link { inbox, outbox, .. } = link;
        let Some(frame) = inbox.next_frame()? else { return Ok(None) };
        Ok(Some(match frame.kind {
            REQUEST_FNF => {
                let answer = frame.data().and_then(|data| data.split_first_chunk());
                let (id, data) = answer.ok_or_else(|| Failure::new("an answer without an id"))?;
                Heard::Answer { id: u32::from_be_bytes(*id), is_right: data.len() == self.size }
            }
            // A receipt, too: it is stored.
            _ => hear_rest(&frame, outbox)?,
        }))
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        wire::put_keepalive(out, true, b"");
    }
}

/// A responder of its own process at this broker.
pub(in crate::cli::bench) async fn start_responder(broker: SocketAddr) -> Result<Child, Failure> {
    let broker = broker.to_string();
    Child::start("bench responder ready", &["bench", "responder", "--die-with-stdin", "--broker", &broker, "--queued"])
        .await
}

/// Serves at this broker until it is gone.
pub(in crate::cli::bench) async fn serve(broker: SocketAddr) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("responder at the broker {broker}: {e}"));
    let topics = Topics { count: 1, level: Level::Disk, is_pipelined: false, backlog: 0 };
    ours::create(broker, &[TOPIC.to_owned()], topics).await?;
    let stream = TcpStream::connect(broker).await.map_err(|e| failed(&e))?;
    let link = Link::new(stream, BUFFER).map_err(|e| failed(&e))?;
    let mut responder = Responder { link, channel: Channel::new(TOPIC, WINDOW), next: 3, is_known: false, broker };
    responder.channel.hello(&mut responder.link.outbox);
    let mut keepalive = interval_at(Instant::now() + wire::KEEPALIVE_EVERY, wire::KEEPALIVE_EVERY);
    loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| responder.poll_serve(cx)) => return ended.map_err(|e| failed(&e)),
            _ = keepalive.tick() => wire::put_keepalive(&mut responder.link.outbox, true, b""),
        }
    }
}

/// Waits until all requests that came are settled; a failure if some are not.
pub(in crate::cli::bench) async fn settled(broker: SocketAddr) -> Result<(), Failure> {
    ours::settled(broker, TOPIC, GROUP).await
}

struct Responder {
    link: Link,
    channel: Channel,
    /// The stream of the next answer.
    next: u32,
    is_known: bool,
    broker: SocketAddr,
}

impl Responder {
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            ready!(self.link.poll_flush(cx))?;
            ready!(self.link.poll_read(cx))?;
            self.hear()?;
        }
    }

    fn hear(&mut self) -> Result<(), Failure> {
        let Self { link: Link { inbox, outbox, .. }, channel, next, is_known, broker } = self;
        while let Some(frame) = inbox.next_frame()? {
            if channel.hear_frame(&frame, outbox)? == Got::Message {
                let body = frame.data().and_then(|data| value_of(data, "body")).and_then(bytes);
                let (service, answer) =
                    body.and_then(split).ok_or_else(|| Failure::new("a request without a service"))?;
                put_fnf(outbox, *next, service, answer);
                *next = if *next == 0x7FFF_FFFF { 3 } else { *next + 2 };
            } else if channel.has_credit() && !*is_known {
                *is_known = true;
                children::announce("responder", *broker);
            }
        }
        channel.settle(outbox);
        Ok(())
    }
}

/// Which service a request wants its answer at, and that.
pub(super) fn split(body: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = body.split_first()?;
    let (service, answer) = rest.split_at_checked(usize::from(*len))?;
    Some((str::from_utf8(service).ok()?, answer))
}
