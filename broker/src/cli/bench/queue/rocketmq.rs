//! RocketMQ by hand (its remoting protocol, headers in JSON as its Java client sends them): messages to the queues of a topic
//! in turn.
//!
//! ```text
//!  u32 length of the rest | u8 how the header is written, u24 its length | header | body
//! ```

use serde::Deserialize;
use serde_json::json;

use super::{Topics, name};
use crate::cli::bench::Failure;
use crate::cli::bench::client::Shape;
use crate::cli::bench::rsocket::data;
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::wire::Link;

/// SEND_MESSAGE_V2, whose fields have names of one letter.
const SEND: u16 = 310;
/// Topics that are not there are made like this one, with so many queues.
const LIKE: &str = "TBW102";
const QUEUES: usize = 4;
/// Other codes say that a message is not synced, or not stored.
const SUCCESS: i32 = 0;
/// Before the header.
const LENGTHS: usize = 8;

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
        let header = |nth: usize| {
            let fields = json!({
                "a": "bench", "b": name(nth / QUEUES), "c": LIKE, "d": QUEUES.to_string(), "e": (nth % QUEUES).to_string(),
                "f": "0", "g": "0", "h": "0", "i": "", "j": "0", "k": "false", "l": "0", "m": "false",
            });
            format!(r#"{{"code":{SEND},"extFields":{fields},"flag":0,"language":"OTHER","version":0,"opaque":"#)
        };
        let count = topics.count * QUEUES;
        Self { headers: (0..count).map(header).collect(), next: fastrand::usize(..count), body: data(shape.size) }
    }
}

impl Talk for RocketMq {
    fn hello(&mut self, _: &mut Vec<u8>) {}

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        let header = format!("{}{id}}}", self.headers[self.next]);
        self.next = if self.next + 1 == self.headers.len() { 0 } else { self.next + 1 };
        let rest = LENGTHS - 4 + header.len() + self.body.len();
        out.extend_from_slice(&(rest as u32).to_be_bytes());
        // In JSON: a zero before the length.
        out.extend_from_slice(&(header.len() as u32).to_be_bytes());
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&self.body);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some((answer, len)) = read_answer(link.inbox.unread())? else { return Ok(None) };
        link.inbox.consume(len);
        let Answer { code, opaque, remark } = answer;
        match code {
            SUCCESS => Ok(Some(Heard::Answer { id: opaque, is_right: true })),
            _ => Err(Failure::new(format!("RocketMQ: {code} {}", remark.unwrap_or_default()))),
        }
    }

    fn keep_alive(&mut self, _: &mut Vec<u8>) {}
}

/// What is read of the header of an answer.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) opaque: u32,
    #[serde(default)]
    pub(super) remark: Option<String>,
}

/// The first whole answer and its length; none until more is there.
pub(super) fn read_answer(bytes: &[u8]) -> Result<Option<(Answer, usize)>, Failure> {
    let Some((lengths, rest)) = bytes.split_first_chunk::<LENGTHS>() else { return Ok(None) };
    let [a, b, c, d, _, high, middle, low] = *lengths;
    let whole = 4 + u32::from_be_bytes([a, b, c, d]) as usize;
    if bytes.len() < whole {
        return Ok(None);
    }
    let header = rest.get(..u32::from_be_bytes([0, high, middle, low]) as usize);
    let answer = header.and_then(|header| serde_json::from_slice(header).ok());
    answer.map(|answer| Some((answer, whole))).ok_or_else(|| Failure::new("RocketMQ's answer has no such header"))
}
