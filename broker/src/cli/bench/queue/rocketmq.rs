//! What a publisher says to RocketMQ: messages to the queues of a topic in turn.

use super::{Topics, name};
use crate::cli::bench::Failure;
use crate::cli::bench::client::Shape;
use crate::cli::bench::remoting::{QUEUES, SEND, SUCCESS, header_before_id, message_fields, put_command, read_command};
use crate::cli::bench::rsocket::data;
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::wire::Link;

/// Messages to the queues of all topics in turn.
#[derive(Debug)]
pub(super) struct RocketMq {
    /// Headers up to the id of the request.
    headers: Vec<String>,
    next: usize,
    body: Vec<u8>,
}

impl RocketMq {
    pub(super) fn publish(shape: Shape, topics: Topics) -> Self {
        let header =
            |nth: usize| header_before_id(SEND, &message_fields("bench", &name(nth / QUEUES), nth % QUEUES, ""));
        let count = topics.count * QUEUES;
        Self { headers: (0..count).map(header).collect(), next: fastrand::usize(..count), body: data(shape.size) }
    }
}

impl Talk for RocketMq {
    fn hello(&mut self, _: &mut Vec<u8>) {}

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        put_command(out, format_args!("{}{id}}}", self.headers[self.next]), &self.body);
        self.next = if self.next + 1 == self.headers.len() { 0 } else { self.next + 1 };
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some((answer, len)) = read_command(link.inbox.unread())? else { return Ok(None) };
        let header = answer.header;
        link.inbox.consume(len);
        match header.code {
            SUCCESS => Ok(Some(Heard::Answer { id: header.opaque, is_right: true })),
            // Not synced, or not stored.
            _ => Err(header.refused("RocketMQ")),
        }
    }

    fn keep_alive(&mut self, _: &mut Vec<u8>) {}
}
