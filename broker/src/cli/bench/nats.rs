//! NATS by hand (text protocol 1.0): calls by reply subjects, messages and streams by subjects, on the client's side and the
//! responder's. As in RSocket all messages of one read are answered by one write.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::Write as _;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::Failure;
use super::children::{self, Child};
use super::client::Shape;
use super::rsocket::{COUNT, data};
use super::talk::{Heard, Talk};
use super::wire::Link;

const CALLS: &str = "bench.echo";
const MESSAGES: &str = "bench.message";
const STREAMS: &str = "bench.stream";
/// Further credit for a stream.
const MORE: &str = "bench.more";
/// Bytes of items written before the next look at what was read.
const ITEMS: usize = 64 * 1024;
const BUFFER: usize = 256 * 1024;

/// One line of the server, and what came with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Msg {
        subject: &'a str,
        reply: Option<&'a str>,
        payload: &'a [u8],
    },
    Ping,
    Error(&'a str),
    /// INFO, PONG, +OK.
    Other,
}

/// Reads the first whole line, and tells its length; none until more is there.
pub(super) fn read_line(bytes: &[u8]) -> Result<Option<(Line<'_>, usize)>, Failure> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let odd = || Failure::new(format!("NATS said {:?}", String::from_utf8_lossy(&bytes[..end.min(100)])));
    let line = str::from_utf8(&bytes[..end]).map_err(|_| odd())?;
    let after = end + 2;
    let Some(rest) = line.strip_prefix("MSG ") else {
        let line = match line {
            "PING" => Line::Ping,
            _ if line.starts_with("-ERR") => Line::Error(line),
            _ => Line::Other,
        };
        return Ok(Some((line, after)));
    };
    let mut words = rest.split(' ');
    let (Some(subject), Some(_sid), Some(third)) = (words.next(), words.next(), words.next()) else {
        return Err(odd());
    };
    let (reply, len) = words.next().map_or((None, third), |len| (Some(third), len));
    let len: usize = len.parse().map_err(|_| odd())?;
    let Some(payload) = bytes.get(after..after + len) else { return Ok(None) };
    let whole = after + len + 2;
    Ok((bytes.len() >= whole).then_some((Line::Msg { subject, reply, payload }, whole)))
}

pub(super) fn put_hello(out: &mut Vec<u8>, subjects: &[&str]) {
    out.extend_from_slice(
        b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\",\"protocol\":1}\r\n",
    );
    for (nth, subject) in subjects.iter().enumerate() {
        put(out, format_args!("SUB {subject} {}\r\n", nth + 1));
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes all");
}

pub(super) fn publish(out: &mut Vec<u8>, subject: &str, reply: Option<std::fmt::Arguments<'_>>, payload: &[u8]) {
    match reply {
        Some(reply) => put(out, format_args!("PUB {subject} {reply} {}\r\n", payload.len())),
        None => put(out, format_args!("PUB {subject} {}\r\n", payload.len())),
    }
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// The client's side: an inbox of its own, and in the last token of a reply subject the request's id.
#[derive(Debug)]
pub(super) struct Nats {
    kind: Kind,
    inbox: String,
    payload: Vec<u8>,
    burst: u32,
    credit: u32,
    come: Option<u64>,
    used: HashMap<u32, u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Calls,
    Messages,
    Streams,
}

impl Nats {
    fn new(kind: Kind, shape: Shape, burst: u32) -> Self {
        let inbox = format!("_INBOX.{:x}", fastrand::u64(..));
        let (payload, credit) = (data(shape.size), shape.credit);
        Self { kind, inbox, payload, burst, credit, come: None, used: HashMap::new() }
    }

    pub(super) fn calls(shape: Shape) -> Self {
        Self::new(Kind::Calls, shape, 0)
    }

    pub(super) fn messages(shape: Shape, burst: u32) -> Self {
        Self::new(Kind::Messages, shape, burst)
    }

    pub(super) fn streams(shape: Shape) -> Self {
        Self::new(Kind::Streams, shape, 0)
    }
}

impl Talk for Nats {
    fn hello(&mut self, out: &mut Vec<u8>) {
        put_hello(out, &[&format!("{}.*", self.inbox)]);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        let inbox = &self.inbox;
        match self.kind {
            Kind::Calls => publish(out, CALLS, Some(format_args!("{inbox}.{id}")), &self.payload),
            Kind::Messages => {
                (0..self.burst).for_each(|_| publish(out, MESSAGES, None, &self.payload));
                publish(out, MESSAGES, Some(format_args!("{inbox}.{id}")), COUNT);
            }
            Kind::Streams => {
                self.used.insert(id, 0);
                let asked = [self.credit.to_be_bytes(), (self.payload.len() as u32).to_be_bytes()].concat();
                publish(out, STREAMS, Some(format_args!("{inbox}.{id}")), &asked);
            }
        }
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some((line, len)) = read_line(link.inbox.unread())? else { return Ok(None) };
        let heard = match line {
            Line::Msg { subject, payload, .. } => {
                let id = subject.rsplit('.').next().and_then(|id| id.parse().ok()).unwrap_or_default();
                match self.kind {
                    Kind::Calls => Heard::Answer { id, is_right: payload.len() == self.payload.len() },
                    Kind::Messages => {
                        let come = payload.try_into().ok().map(u64::from_be_bytes);
                        let expected = self.come.map(|before| before + u64::from(self.burst));
                        let is_right = come.is_some() && (expected.is_none() || expected == come);
                        self.come = come;
                        Heard::Answer { id, is_right }
                    }
                    Kind::Streams => {
                        let used = self.used.entry(id).or_default();
                        *used += 1;
                        if *used * 2 >= self.credit {
                            let more = std::mem::take(used).to_be_bytes();
                            let asked = [&more[..], subject.as_bytes()].concat();
                            publish(&mut link.outbox, MORE, None, &asked);
                        }
                        Heard::Item { is_right: payload.len() == self.payload.len() }
                    }
                }
            }
            Line::Ping => {
                link.outbox.extend_from_slice(b"PONG\r\n");
                Heard::Other
            }
            Line::Error(text) => return Err(Failure::new(format!("NATS: {text}"))),
            Line::Other => Heard::Other,
        };
        link.inbox.consume(len);
        Ok(Some(heard))
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PING\r\n");
    }

    fn messages(&self) -> u64 {
        if self.kind == Kind::Messages { u64::from(self.burst) } else { 1 }
    }

    fn is_endless(&self) -> bool {
        self.kind == Kind::Streams
    }
}

/// A responder of its own process at this server.
pub(super) async fn start_responder(server: SocketAddr) -> Result<Child, Failure> {
    let server = server.to_string();
    Child::start("bench responder ready", &["bench", "responder", "--die-with-stdin", "--nats", &server]).await
}

/// Serves at this server until it is gone.
pub(super) async fn serve(server: SocketAddr) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("responder at NATS {server}: {e}"));
    let stream = TcpStream::connect(server).await.map_err(|e| failed(&e))?;
    let mut responder = Responder {
        link: Link::new(stream, BUFFER).map_err(|e| failed(&e))?,
        come: 0,
        streams: HashMap::new(),
        is_known: false,
        server,
    };
    put_hello(&mut responder.link.outbox, &[CALLS, MESSAGES, STREAMS, MORE]);
    // Its answer says that the subscriptions before it are in force.
    responder.link.outbox.extend_from_slice(b"PING\r\n");
    poll_fn(|cx| responder.poll_serve(cx)).await.map_err(|e| failed(&e))
}

struct Responder {
    link: Link,
    come: u64,
    /// Reply subject, credit and size of an item.
    streams: HashMap<String, (u32, Vec<u8>)>,
    is_known: bool,
    server: SocketAddr,
}

impl Responder {
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let produced = self.produce();
            ready!(self.link.poll_flush(cx))?;
            match self.link.poll_read(cx) {
                Poll::Ready(read) => read?,
                Poll::Pending if produced => continue,
                Poll::Pending => return Poll::Pending,
            }
            while self.hear()? {}
        }
    }

    fn hear(&mut self) -> Result<bool, Failure> {
        let Link { inbox, outbox, .. } = &mut self.link;
        let Some((line, len)) = read_line(inbox.unread())? else { return Ok(false) };
        match line {
            Line::Msg { subject: CALLS, reply: Some(reply), payload } => publish(outbox, reply, None, payload),
            Line::Msg { subject: MESSAGES, reply: Some(reply), payload: COUNT } => {
                publish(outbox, reply, None, &self.come.to_be_bytes());
            }
            Line::Msg { subject: MESSAGES, .. } => self.come += 1,
            Line::Msg { subject: STREAMS, reply: Some(reply), payload } => {
                let (credit, rest) = payload.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
                let size = rest.first_chunk().map_or(0, |size| u32::from_be_bytes(*size));
                self.streams.insert(reply.to_owned(), (u32::from_be_bytes(*credit), data(size as usize)));
            }
            Line::Msg { subject: MORE, payload, .. } => {
                let (more, reply) = payload.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
                let stream = str::from_utf8(reply).ok().and_then(|reply| self.streams.get_mut(reply));
                stream.into_iter().for_each(|(credit, _)| *credit += u32::from_be_bytes(*more));
            }
            Line::Ping => outbox.extend_from_slice(b"PONG\r\n"),
            Line::Error(text) => return Err(Failure::new(text)),
            Line::Other if !self.is_known && inbox.unread().starts_with(b"PONG") => {
                self.is_known = true;
                children::announce("responder", self.server);
            }
            Line::Msg { .. } | Line::Other => {}
        }
        inbox.consume(len);
        Ok(true)
    }

    /// Writes items for which there is credit; whether there were any.
    fn produce(&mut self) -> bool {
        let outbox = &mut self.link.outbox;
        let before = outbox.len();
        for (reply, (credit, item)) in &mut self.streams {
            while *credit > 0 && outbox.len() < ITEMS {
                *credit -= 1;
                publish(outbox, reply, None, item);
            }
        }
        outbox.len() > before
    }
}
