//! JetStream by hand: published with a reply subject, one acknowledgement each.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ASKED_WITHIN, Topics, name};
use crate::cli::bench::Failure;
use crate::cli::bench::client::{self, Shape};
use crate::cli::bench::nats::{Line, publish, put_hello, read_line};
use crate::cli::bench::rsocket::data;
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::wire::Link;

pub(super) const STREAM: &str = "bench";

/// Messages to subjects in turn.
#[derive(Debug)]
pub(super) struct JetStream {
    inbox: String,
    subjects: Vec<String>,
    next: usize,
    payload: Vec<u8>,
    /// What an answer that is right holds.
    expected: &'static str,
}

impl JetStream {
    pub(super) fn publish(shape: Shape, topics: Topics) -> Self {
        let subjects = (0..topics.count).map(subject).collect();
        Self::new(subjects, fastrand::usize(..topics.count), data(shape.size), "\"seq\":")
    }

    fn new(subjects: Vec<String>, next: usize, payload: Vec<u8>, expected: &'static str) -> Self {
        Self { inbox: format!("_INBOX.{:x}", fastrand::u64(..)), subjects, next, payload, expected }
    }
}

fn subject(topic: usize) -> String {
    format!("{STREAM}.{}", name(topic))
}

/// A stream with nothing in it.
pub(super) async fn create(server: SocketAddr) -> Result<(), Failure> {
    // It may not be there.
    let _ = ask(server, &format!("STREAM.DELETE.{STREAM}"), &json!({}), "").await;
    let stream = json!({"name": STREAM, "subjects": [format!("{STREAM}.>")], "storage": "file", "retention": "limits", "num_replicas": 1});
    ask(server, &format!("STREAM.CREATE.{STREAM}"), &stream, "\"created\"").await
}

/// A durable pull consumer from the first message on.
pub(super) async fn create_consumer(server: SocketAddr, consumer: &str, pending: usize) -> Result<(), Failure> {
    let config = json!({
        "durable_name": consumer, "ack_policy": "explicit", "deliver_policy": "all", "max_ack_pending": pending,
    });
    let body = json!({"stream_name": STREAM, "config": config});
    ask(server, &format!("CONSUMER.DURABLE.CREATE.{STREAM}.{consumer}"), &body, "\"created\"").await
}

/// One request of its administration; `expected` is in an answer that is right.
pub(super) async fn ask(server: SocketAddr, what: &str, body: &Value, expected: &'static str) -> Result<(), Failure> {
    let talk = JetStream::new(vec![format!("$JS.API.{what}")], 0, body.to_string().into_bytes(), expected);
    let outcome = client::exchange(server, (1, 1), ASKED_WITHIN, talk).await;
    outcome.map_err(|e| Failure::new(format!("{what}: {e}")))
}

impl Talk for JetStream {
    fn hello(&mut self, out: &mut Vec<u8>) {
        put_hello(out, &[&format!("{}.*", self.inbox)]);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        publish(out, &self.subjects[self.next], Some(format_args!("{}.{id}", self.inbox)), &self.payload);
        self.next = if self.next + 1 == self.subjects.len() { 0 } else { self.next + 1 };
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some((line, len)) = read_line(link.inbox.unread())? else { return Ok(None) };
        let heard = match line {
            Line::Msg { subject, payload, .. } => {
                let id = subject.rsplit('.').next().and_then(|id| id.parse().ok()).unwrap_or_default();
                let text = str::from_utf8(payload).unwrap_or_default();
                let is_right = text.contains(self.expected) && !text.contains("\"error\"");
                if !is_right && !self.expected.is_empty() {
                    return Err(Failure::new(format!("JetStream: {text}")));
                }
                Heard::Answer { id, is_right: true }
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
}
