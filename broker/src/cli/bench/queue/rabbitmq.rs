//! RabbitMQ as a publisher sees it: quorum queues, persistent messages, publisher confirms.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::amqp::{self, Frame, Id, put_frame, put_method, read_frame, text};
use super::{ASKED_WITHIN, Topics, name};
use crate::cli::bench::Failure;
use crate::cli::bench::client::{self, Shape};
use crate::cli::bench::rsocket::data;
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::wire::Link;

pub(super) const HELLO: &[u8] = b"AMQP\0\0\x09\x01";
/// Basic properties: the delivery mode is there, and says persistent.
const PERSISTENT: [u8; 3] = [0x10, 0, 2];

/// Messages to queues in turn; or, of an administration, methods in turn.
#[derive(Debug)]
pub(super) struct RabbitMq {
    requests: Vec<Vec<u8>>,
    next: usize,
    is_open: bool,
    /// Publisher confirms, or the method that answers each request.
    answer: Option<Id>,
    /// Until the channel is open.
    held: Vec<u32>,
    /// Not confirmed yet, from this delivery tag on; 0: confirmed out of turn.
    sent: VecDeque<u32>,
    first: u64,
    /// Confirmed, and not told yet.
    confirmed: VecDeque<u32>,
}

impl RabbitMq {
    pub(super) fn publish(shape: Shape, topics: Topics) -> Self {
        let body = data(shape.size);
        let message = |nth| {
            let mut out = Vec::new();
            put_method(&mut out, amqp::PUBLISH, &[&[0; 2], &text(""), &text(&name(nth)), &[0]]);
            let len = (body.len() as u64).to_be_bytes();
            put_frame(&mut out, amqp::HEADER, 1, &[&[0, 60, 0, 0][..], &len, &PERSISTENT].concat());
            put_frame(&mut out, amqp::BODY, 1, &body);
            out
        };
        Self { next: fastrand::usize(..topics.count), ..Self::new((0..topics.count).map(message).collect(), None) }
    }

    fn new(requests: Vec<Vec<u8>>, answer: Option<Id>) -> Self {
        let (held, sent, confirmed) = Default::default();
        Self { requests, next: 0, is_open: false, answer, held, sent, first: 1, confirmed }
    }

    fn send(&mut self, out: &mut Vec<u8>, id: u32) {
        out.extend_from_slice(&self.requests[self.next]);
        self.next = if self.next + 1 == self.requests.len() { 0 } else { self.next + 1 };
        self.sent.push_back(id);
    }

    fn confirm(&mut self, tag: u64, is_multiple: bool) {
        let Some(at) = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else { return };
        let from = if is_multiple { 0 } else { at };
        for place in self.sent.range_mut(from..self.sent.len().min(at + 1)) {
            if *place != 0 {
                self.confirmed.push_back(std::mem::take(place));
            }
        }
        while self.sent.front() == Some(&0) {
            self.sent.pop_front();
            self.first += 1;
        }
    }

    fn hear_method(&mut self, out: &mut Vec<u8>, id: Id, arguments: &[u8]) -> Result<(), Failure> {
        if amqp::open_further(out, id, arguments)? {
            if self.answer.is_none() {
                put_method(out, amqp::CONFIRM, &[&[0]]);
            }
            self.is_open = self.answer.is_some();
        }
        match id {
            amqp::CONFIRM_OK => self.is_open = true,
            amqp::ACK => self.confirm(amqp::tag(arguments), arguments.get(8) == Some(&1)),
            amqp::NACK => return Err(Failure::new("RabbitMQ does not confirm a message")),
            id if Some(id) == self.answer => self.confirm(self.first, false),
            _ => {}
        }
        if self.is_open {
            std::mem::take(&mut self.held).into_iter().for_each(|id| self.send(out, id));
        }
        Ok(())
    }
}

/// Quorum queues with nothing in them.
pub(super) async fn declare(server: SocketAddr, count: usize) -> Result<(), Failure> {
    let of = |id: Id, behind: &[u8]| -> Vec<Vec<u8>> {
        let request = |nth| {
            let mut out = Vec::new();
            put_method(&mut out, id, &[&[0; 2], &text(&name(nth)), behind]);
            out
        };
        (0..count).map(request).collect()
    };
    let kind = [text("x-queue-type"), b"S".to_vec(), amqp::long(b"quorum")].concat();
    let is_durable = 2;
    let declared = [&[is_durable][..], &amqp::long(&kind)].concat();
    for (requests, answer) in
        [(of(amqp::DELETE, &[0]), amqp::DELETE_OK), (of(amqp::DECLARE, &declared), amqp::DECLARE_OK)]
    {
        let talk = RabbitMq::new(requests, Some(answer));
        client::exchange(server, (1, count as u64), ASKED_WITHIN, talk).await?;
    }
    Ok(())
}

impl Talk for RabbitMq {
    fn hello(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(HELLO);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        if self.is_open { self.send(out, id) } else { self.held.push(id) }
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        if let Some(id) = self.confirmed.pop_front() {
            return Ok(Some(Heard::Answer { id, is_right: true }));
        }
        let Link { inbox, outbox, .. } = link;
        let Some((frame, len)) = read_frame(inbox.unread())? else { return Ok(None) };
        if let Frame::Method(id, arguments) = frame {
            self.hear_method(outbox, id, arguments)?;
        }
        inbox.consume(len);
        Ok(Some(Heard::Other))
    }

    fn keep_alive(&mut self, _: &mut Vec<u8>) {}
}
