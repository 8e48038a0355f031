//! Redis by hand (RESP 2): XADD to a stream for each topic, pipelined; its answers come in order.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{ASKED_WITHIN, Topics, name};
use crate::cli::bench::Failure;
use crate::cli::bench::client::{self, Shape};
use crate::cli::bench::rsocket::data;
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::wire::Link;

/// Commands in turn, and what their answers begin with.
#[derive(Debug)]
pub(super) struct Redis {
    commands: Vec<Vec<u8>>,
    next: usize,
    expected: u8,
    sent: VecDeque<u32>,
}

impl Redis {
    pub(super) fn publish(shape: Shape, topics: Topics) -> Self {
        let body = data(shape.size);
        let add = |nth| command(&[b"XADD", name(nth).as_bytes(), b"*", b"b", &body]);
        let next = fastrand::usize(..topics.count);
        Self { commands: (0..topics.count).map(add).collect(), next, expected: b'$', sent: VecDeque::new() }
    }
}

/// Streams with nothing in them.
pub(super) async fn clear(server: SocketAddr, topics: Topics) -> Result<(), Failure> {
    let commands: Vec<_> = (0..topics.count).map(|nth| command(&[b"DEL", name(nth).as_bytes()])).collect();
    let total = commands.len();
    let talk = Redis { commands, next: 0, expected: b':', sent: VecDeque::new() };
    client::exchange(server, (total.min(64), total as u64), ASKED_WITHIN, talk).await
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    command
}

impl Talk for Redis {
    fn hello(&mut self, _: &mut Vec<u8>) {}

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        out.extend_from_slice(&self.commands[self.next]);
        self.next = if self.next + 1 == self.commands.len() { 0 } else { self.next + 1 };
        self.sent.push_back(id);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some((kind, len)) = read_answer(link.inbox.unread())? else { return Ok(None) };
        link.inbox.consume(len);
        Ok(Some(Heard::Answer { id: self.sent.pop_front().unwrap_or_default(), is_right: kind == self.expected }))
    }

    fn keep_alive(&mut self, _: &mut Vec<u8>) {}
}

/// The kind of the first whole answer and its length; none until more is there.
pub(super) fn read_answer(bytes: &[u8]) -> Result<Option<(u8, usize)>, Failure> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(&bytes[1..end]);
    let after = end + 2;
    let whole = match bytes[0] {
        b':' | b'+' => after,
        b'$' => {
            let len = line.parse::<i64>().map_err(|_| Failure::new(format!("Redis said ${line}")))?;
            after + usize::try_from(len).map_or(0, |len| len + 2)
        }
        _ => return Err(Failure::new(format!("Redis: {}{line}", char::from(bytes[0])))),
    };
    Ok((bytes.len() >= whole).then_some((bytes[0], whole)))
}
