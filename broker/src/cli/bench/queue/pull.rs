//! What a consumer says to each side: to our broker, to JetStream, to RabbitMQ.

use super::amqp::{self, Frame, put_method, read_frame, text};
use super::jetstream::STREAM;
use super::member::{Consume, Got};
use super::ours::{CHANNEL, put_channel};
use super::pack::{number, put_map, put_number, put_text, value_of};
use super::{name, rabbitmq};
use crate::cli::bench::Failure;
use crate::cli::bench::nats::{Line, publish, put_hello, read_line};
use crate::cli::bench::requests::{REQUEST_N, put_payload, put_request_n, requested};
use crate::cli::bench::rsocket::{hello, refuse};
use crate::cli::bench::wire::{self, Link};

pub(super) const GROUP: &str = "bench";

/// A window of messages that were asked for: half of it is asked for again whenever half is used.
#[derive(Debug)]
struct Window {
    size: u32,
    used: u32,
}

impl Window {
    fn new(size: usize) -> Self {
        Self { size: size as u32, used: 0 }
    }

    /// One is used; how many are to be asked for.
    fn take(&mut self) -> Option<u32> {
        self.used += 1;
        (self.used * 2 >= self.size).then(|| std::mem::take(&mut self.used))
    }
}

/// A channel of `consume`.
#[derive(Debug)]
pub(super) struct Channel {
    topic: String,
    window: Window,
    /// Settles that may be said.
    credit: u64,
    /// Taken, and what is settled of it.
    last: Option<u64>,
}

impl Channel {
    pub(super) fn new(topic: &str, window: usize) -> Self {
        Self { topic: topic.to_owned(), window: Window::new(window), credit: 0, last: None }
    }

    /// What one frame says.
    pub(super) fn hear_frame(&mut self, frame: &wire::Frame<'_>, out: &mut Vec<u8>) -> Result<Got, Failure> {
        Ok(match frame.kind {
            wire::PAYLOAD => {
                let offset = frame.data().and_then(|data| value_of(data, "offset")).and_then(number);
                self.last = Some(offset.ok_or_else(|| Failure::new("a delivery without an offset"))?);
                if let Some(more) = self.window.take() {
                    put_request_n(out, CHANNEL, more);
                }
                Got::Message
            }
            REQUEST_N => {
                self.credit += u64::from(requested(frame.body));
                self.settle(out);
                Got::Other
            }
            wire::KEEPALIVE if frame.has(wire::RESPOND) => {
                wire::answer_keepalive(out, frame);
                Got::Other
            }
            wire::KEEPALIVE => Got::Answer,
            wire::ERROR => return Err(refuse(frame)),
            _ => Got::Other,
        })
    }

    /// Something may be settled: then the group is there.
    pub(super) fn has_credit(&self) -> bool {
        self.credit > 0
    }
}

impl Consume for Channel {
    fn hello(&mut self, out: &mut Vec<u8>) {
        hello(out);
        let mut arguments = Vec::new();
        put_map(&mut arguments, 3);
        for (key, value) in [("topic", &self.topic[..]), ("group", GROUP)] {
            put_text(&mut arguments, key);
            put_text(&mut arguments, value);
        }
        put_text(&mut arguments, "options");
        put_map(&mut arguments, 2);
        put_text(&mut arguments, "start");
        put_text(&mut arguments, "earliest");
        put_text(&mut arguments, "maxInFlight");
        put_number(&mut arguments, u64::from(self.window.size));
        put_channel(out, "consume", self.window.size, &arguments);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Got>, Failure> {
        let Link { inbox, outbox, .. } = link;
        inbox.next_frame()?.map(|frame| self.hear_frame(&frame, outbox)).transpose()
    }

    /// Without credit it waits for some.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if self.credit == 0 {
            return;
        }
        if let Some(last) = self.last.take() {
            self.credit -= 1;
            let mut item = Vec::new();
            put_map(&mut item, 1);
            put_text(&mut item, "ackTo");
            put_number(&mut item, last);
            put_payload(out, CHANNEL, wire::NEXT, &item);
        }
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        wire::put_keepalive(out, true, b"");
    }
}

/// A pull consumer of JetStream that acknowledges each message.
#[derive(Debug)]
pub(super) struct Pull {
    inbox: String,
    window: Window,
}

impl Pull {
    pub(super) fn new(window: usize) -> Self {
        Self { inbox: format!("_INBOX.{:x}", fastrand::u64(..)), window: Window::new(window) }
    }

    fn ask_for(&self, out: &mut Vec<u8>, count: u32) {
        let asked = format!("{{\"batch\":{count},\"expires\":120000000000}}");
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{GROUP}");
        publish(out, &subject, Some(format_args!("{}.1", self.inbox)), asked.as_bytes());
    }
}

impl Consume for Pull {
    fn hello(&mut self, out: &mut Vec<u8>) {
        put_hello(out, &[&format!("{}.*", self.inbox)]);
        self.ask_for(out, self.window.size);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Got>, Failure> {
        let Link { inbox, outbox, .. } = link;
        let Some((line, len)) = read_line(inbox.unread())? else { return Ok(None) };
        let got = match line {
            Line::Msg { reply: Some(reply), .. } if reply.starts_with("$JS.ACK.") => {
                publish(outbox, reply, None, b"+ACK");
                if let Some(more) = self.window.take() {
                    self.ask_for(outbox, more);
                }
                Got::Message
            }
            Line::Msg { payload, .. } => {
                return Err(Failure::new(format!("JetStream: {}", String::from_utf8_lossy(payload))));
            }
            Line::Ping => {
                outbox.extend_from_slice(b"PONG\r\n");
                Got::Other
            }
            Line::Error(text) => return Err(Failure::new(format!("NATS: {text}"))),
            Line::Other if inbox.unread().starts_with(b"PONG") => Got::Answer,
            Line::Other => Got::Other,
        };
        inbox.consume(len);
        Ok(Some(got))
    }

    /// Each is acknowledged as it is taken.
    fn settle(&mut self, _: &mut Vec<u8>) {}

    fn ask(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PING\r\n");
    }
}

/// A consumer of a RabbitMQ queue, by prefetch.
#[derive(Debug)]
pub(super) struct Prefetch {
    window: u16,
    is_asking: bool,
    tag: u64,
    settled: u64,
}

impl Prefetch {
    pub(super) fn new(window: usize) -> Self {
        Self { window: u16::try_from(window).unwrap_or(u16::MAX), is_asking: false, tag: 0, settled: 0 }
    }

    fn put_prefetch(&self, out: &mut Vec<u8>) {
        put_method(out, amqp::QOS, &[&[0; 4], &self.window.to_be_bytes(), &[0]]);
    }
}

impl Consume for Prefetch {
    fn hello(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(rabbitmq::HELLO);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Got>, Failure> {
        let Link { inbox, outbox, .. } = link;
        let Some((frame, len)) = read_frame(inbox.unread())? else { return Ok(None) };
        let got = match frame {
            Frame::Method(amqp::QOS_OK, _) if self.is_asking => Got::Answer,
            Frame::Method(amqp::QOS_OK, _) => {
                put_method(outbox, amqp::CONSUME, &[&[0; 2], &text(&name(0)), &text(""), &[0; 5]]);
                Got::Other
            }
            Frame::Method(amqp::DELIVER, arguments) => {
                let consumer = arguments.first().map_or(0, |len| usize::from(*len));
                self.tag = amqp::tag(arguments.get(1 + consumer..).unwrap_or_default());
                Got::Other
            }
            Frame::Method(id, arguments) => {
                if amqp::open_further(outbox, id, arguments)? {
                    self.put_prefetch(outbox);
                }
                Got::Other
            }
            Frame::Body(_) => Got::Message,
            Frame::Other => Got::Other,
        };
        inbox.consume(len);
        Ok(Some(got))
    }

    /// All up to the last one that is whole.
    fn settle(&mut self, out: &mut Vec<u8>) {
        if self.tag > self.settled {
            self.settled = self.tag;
            put_method(out, amqp::ACK, &[&self.tag.to_be_bytes(), &[1]]);
        }
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        self.is_asking = true;
        self.put_prefetch(out);
    }
}
