//! The remoting protocol of RocketMQ and what is built on it, by hand: headers in JSON, as its Java client sends them.
//!
//! ```text
//!  u32 length of the rest | u8 how the header is written, u24 its length | header | body
//! ```

use std::fmt::{Arguments, Write as _};

use serde::Deserialize;
use serde_json::Value;

use super::Failure;

/// SEND_MESSAGE_V2: see [`message_fields`].
pub(super) const SEND: u16 = 310;
/// Of an answer; others say what was not done.
pub(super) const SUCCESS: i32 = 0;
/// Topics that are not there are made like this one.
pub(super) const LIKE: &str = "TBW102";
/// The queues of a topic.
pub(super) const QUEUES: usize = 4;
/// Before the header.
const LENGTHS: usize = 8;

/// A request or an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command<'a> {
    pub(super) header: Header,
    pub(super) body: &'a [u8],
}

/// What is read of a header.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Header {
    /// What is asked for, or how it went.
    pub(super) code: i32,
    /// The request's, and of its answer.
    pub(super) opaque: u32,
    #[serde(default)]
    flag: u32,
    #[serde(default)]
    pub(super) remark: Option<String>,
    /// Texts by name.
    #[serde(default, rename = "extFields")]
    pub(super) fields: Value,
}

impl Header {
    pub(super) fn is_answer(&self) -> bool {
        self.flag & 1 != 0
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// What is said if it is not what was hoped for.
    pub(super) fn refused(&self, who: &str) -> Failure {
        Failure::new(format!("{who}: {} {}", self.code, self.remark.as_deref().unwrap_or_default()))
    }
}

/// The fields of a message to be stored (version 2, whose fields have names of one letter).
pub(super) fn message_fields(producer: &str, topic: &str, queue: usize, properties: &str) -> Value {
    serde_json::json!({
        "a": producer, "b": topic, "c": LIKE, "d": QUEUES.to_string(), "e": queue.to_string(), "f": "0", "g": "0", "h": "0",
        "i": properties, "j": "0", "k": "false", "l": "0", "m": "false",
    })
}

/// A request's header up to its id, which comes last.
pub(super) fn header_before_id(code: u16, fields: &Value) -> String {
    format!(r#"{{"code":{code},"extFields":{fields},"flag":0,"language":"OTHER","version":0,"opaque":"#)
}

pub(super) fn put_command(out: &mut Vec<u8>, header: Arguments<'_>, body: &[u8]) {
    let mut text = String::new();
    text.write_fmt(header).expect("a String takes all");
    let rest = LENGTHS - 4 + text.len() + body.len();
    out.extend_from_slice(&(rest as u32).to_be_bytes());
    // In JSON: a zero before the length.
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(body);
}

/// The first whole command and its length; none until more is there.
pub(super) fn read_command(bytes: &[u8]) -> Result<Option<(Command<'_>, usize)>, Failure> {
    let Some((lengths, rest)) = bytes.split_first_chunk::<LENGTHS>() else { return Ok(None) };
    let [a, b, c, d, _, high, middle, low] = *lengths;
    let whole = 4 + u32::from_be_bytes([a, b, c, d]) as usize;
    if bytes.len() < whole {
        return Ok(None);
    }
    let parts = whole
        .checked_sub(LENGTHS)
        .and_then(|len| rest[..len].split_at_checked(u32::from_be_bytes([0, high, middle, low]) as usize));
    let command = parts.and_then(|(header, body)| Some(Command { header: serde_json::from_slice(header).ok()?, body }));
    command.map(|command| Some((command, whole))).ok_or_else(|| Failure::new("a command has no such header"))
}
