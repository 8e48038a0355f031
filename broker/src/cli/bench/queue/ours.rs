//! Our broker as a publisher sees it, by frames built by hand: calls of `publish`, and a channel of `publishMany`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::pack::{put_bytes, put_map, put_number, put_text};
use super::{ASKED_WITHIN, DIGITS, FILLED_WITHIN, FILLING, Topics, name};
use crate::cli::bench::Failure;
use crate::cli::bench::client::{self, Shape};
use crate::cli::bench::requests::{REQUEST_N, put_payload, requested};
use crate::cli::bench::rsocket::{Template, data, hear_rest, hello};
use crate::cli::bench::talk::{Heard, Talk};
use crate::cli::bench::wire::{self, Link};

pub(super) const REQUEST_CHANNEL: u8 = 0x07;
/// Of the one channel of a connection.
pub(super) const CHANNEL: u32 = 1;
/// Receipts are bounded by what is in flight.
const ANY: u32 = 0x7FFF_FFFF;
const MESSAGE_PACK: &[u8] = b"\x14application/x-msgpack";
const JSON: &[u8] = &[0x80 | 0x05];
/// A receipt of a stored message: a map of five entries.
const STORED: u8 = 0x85;
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// Of a group without messages, in its status.
const NO_DEPTH: &[u8] = b"\"depth\":0,";

/// The route of a method of these services, and the type of its arguments.
fn metadata(route: &str, of: &[u8]) -> Vec<u8> {
    let mut metadata = Vec::new();
    wire::put_entry(&mut metadata, 0x7E, &[&[route.len() as u8], route.as_bytes()].concat());
    wire::put_entry(&mut metadata, 0x7A, of);
    metadata
}

/// REQUEST_CHANNEL to a method of `towline.Queue`.
pub(super) fn put_channel(out: &mut Vec<u8>, method: &str, credit: u32, arguments: &[u8]) {
    let metadata = metadata(&format!("towline.Queue.{method}"), MESSAGE_PACK);
    Template::new(REQUEST_CHANNEL, &credit.to_be_bytes(), &metadata, arguments, 0).put(out, CHANNEL);
}

fn put_message(out: &mut Vec<u8>, body: &[u8]) {
    put_map(out, 1);
    put_text(out, "body");
    put_bytes(out, body);
}

/// A call of `publish` with a message of this body.
pub(super) fn publish_of(topic: &str, body: &[u8]) -> Template {
    let mut arguments = Vec::new();
    put_map(&mut arguments, 2);
    put_text(&mut arguments, "topic");
    put_text(&mut arguments, topic);
    put_text(&mut arguments, "message");
    put_message(&mut arguments, body);
    let metadata = metadata("towline.Queue.publish", MESSAGE_PACK);
    Template::new(wire::REQUEST_RESPONSE, b"", &metadata, &arguments, 0)
}

/// Calls of `publish`, their topics in turn. One template is for all of them: as many as there are topics would push what
/// others work on out of the cores' caches.
#[derive(Debug)]
pub(super) struct Publish {
    calls: Calls,
    /// Where the topic's number stands.
    number: usize,
    topics: usize,
    next: usize,
}

impl Publish {
    pub(super) fn new(shape: Shape, topics: Topics) -> Self {
        let template = publish_of(&name(0), &data(shape.size));
        let number = template.find(name(0).as_bytes()).expect("it was put there") + name(0).len() - DIGITS;
        let calls = Calls { templates: vec![template], next: 0 };
        Self { calls, number, topics: topics.count, next: fastrand::usize(..topics.count) }
    }
}

impl Talk for Publish {
    fn hello(&mut self, out: &mut Vec<u8>) {
        self.calls.hello(out);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        let at = out.len() + self.number;
        self.calls.request(out, id);
        let mut rest = self.next;
        for digit in out[at..at + DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.next = if self.next + 1 == self.topics { 0 } else { self.next + 1 };
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        self.calls.hear(link)
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        self.calls.keep_alive(out);
    }
}

/// Calls one after the other, each answered at once.
#[derive(Debug)]
pub(super) struct Calls {
    templates: Vec<Template>,
    next: usize,
}

impl Calls {
    /// Messages to one topic.
    pub(super) fn publish(topic: &str, size: usize) -> Self {
        Self { templates: vec![publish_of(topic, &data(size))], next: 0 }
    }
}

impl Talk for Calls {
    fn hello(&mut self, out: &mut Vec<u8>) {
        hello(out);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        self.templates[self.next].put(out, id);
        self.next = if self.next + 1 == self.templates.len() { 0 } else { self.next + 1 };
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some(frame) = link.inbox.next_frame()? else { return Ok(None) };
        Ok(Some(match frame.kind {
            wire::PAYLOAD => {
                let is_right = frame.has(wire::NEXT | wire::COMPLETE) && frame.data().is_some();
                Heard::Answer { id: frame.stream_id, is_right }
            }
            _ => hear_rest(&frame, &mut link.outbox)?,
        }))
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        wire::put_keepalive(out, true, b"");
    }
}

/// Items of one channel of `publishMany`, as many as there is credit for; receipts come in their order.
#[derive(Debug)]
pub(super) struct PublishMany {
    topic: String,
    item: Vec<u8>,
    credit: u64,
    /// Waiting for credit.
    held: VecDeque<u32>,
    /// Sent and without a receipt.
    sent: VecDeque<u32>,
}

impl PublishMany {
    pub(super) fn new(shape: Shape, topics: Topics) -> Self {
        let mut message = Vec::new();
        put_message(&mut message, &data(shape.size));
        let mut item = Vec::new();
        put_payload(&mut item, CHANNEL, wire::NEXT, &message);
        let topic = name(fastrand::usize(..topics.count));
        Self { topic, item, credit: 0, held: VecDeque::new(), sent: VecDeque::new() }
    }

    fn send_held(&mut self, out: &mut Vec<u8>) {
        while self.credit > 0
            && let Some(id) = self.held.pop_front()
        {
            self.credit -= 1;
            out.extend_from_slice(&self.item);
            self.sent.push_back(id);
        }
    }
}

impl Talk for PublishMany {
    fn hello(&mut self, out: &mut Vec<u8>) {
        hello(out);
        let mut arguments = Vec::new();
        put_map(&mut arguments, 1);
        put_text(&mut arguments, "topic");
        put_text(&mut arguments, &self.topic);
        put_channel(out, "publishMany", ANY, &arguments);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        self.held.push_back(id);
        self.send_held(out);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Link { inbox, outbox, .. } = link;
        let Some(frame) = inbox.next_frame()? else { return Ok(None) };
        Ok(Some(match frame.kind {
            wire::PAYLOAD => {
                let is_stored = frame.data().is_some_and(|data| data.first() == Some(&STORED));
                let is_right = is_stored && frame.has(wire::NEXT) && !frame.has(wire::COMPLETE);
                Heard::Answer { id: self.sent.pop_front().unwrap_or_default(), is_right }
            }
            REQUEST_N => {
                self.credit += u64::from(requested(frame.body));
                self.send_held(outbox);
                Heard::Other
            }
            _ => hear_rest(&frame, outbox)?,
        }))
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        wire::put_keepalive(out, true, b"");
    }
}

/// Calls of `towline.Topics`, all at once; a failure if one of them is refused.
pub(super) async fn ask(
    broker: SocketAddr,
    method: &str,
    arguments: impl IntoIterator<Item = Value>,
) -> Result<(), Failure> {
    let metadata = metadata(&format!("towline.Topics.{method}"), JSON);
    let request =
        |arguments: Value| Template::new(wire::REQUEST_RESPONSE, b"", &metadata, arguments.to_string().as_bytes(), 0);
    let templates: Vec<Template> = arguments.into_iter().map(request).collect();
    let total = templates.len();
    let talk = Calls { templates, next: 0 };
    let outcome = client::exchange(broker, (total.min(64), total as u64), ASKED_WITHIN, talk).await;
    outcome.map_err(|e| Failure::new(format!("towline.Topics.{method}: {e}")))
}

/// Topics that keep no more than a store under load would.
pub(super) async fn create(broker: SocketAddr, names: &[String], topics: Topics) -> Result<(), Failure> {
    let retained = topics.kept_bytes() / names.len() as u64;
    let config = json!({"durability": topics.level.name(), "retentionBytes": retained});
    ask(broker, "create", names.iter().map(|topic| json!({"topic": topic, "config": config}))).await
}

/// The topics of a run, the first with its backlog.
pub(super) async fn prepare(broker: SocketAddr, topics: Topics) -> Result<(), Failure> {
    create(broker, &(0..topics.count).map(name).collect::<Vec<_>>(), topics).await?;
    if topics.backlog == 0 {
        return Ok(());
    }
    let filling = PublishMany::new(Shape::new(1, FILLING, 128), Topics { count: 1, ..topics });
    client::exchange(broker, (FILLING, topics.backlog), FILLED_WITHIN, filling).await
}

/// What a delivery to a consumer looks like, without what it may do without.
pub(super) fn delivery(size: usize) -> Vec<u8> {
    let mut delivery = Vec::new();
    put_map(&mut delivery, 3);
    put_text(&mut delivery, "topic");
    put_text(&mut delivery, "consumed-0");
    put_text(&mut delivery, "offset");
    put_number(&mut delivery, 0);
    put_text(&mut delivery, "body");
    put_bytes(&mut delivery, &data(size));
    delivery
}

/// Waits until a group has nothing left; settles on a channel are recorded within 100 ms.
pub(super) async fn settled(broker: SocketAddr, topic: &str, group: &str) -> Result<(), Failure> {
    let metadata = metadata("towline.Topics.group", JSON);
    let arguments = json!({"topic": topic, "group": group}).to_string();
    let request = || Template::new(wire::REQUEST_RESPONSE, b"", &metadata, arguments.as_bytes(), 0);
    let end = Instant::now() + SETTLED_WITHIN;
    loop {
        let depth = Depth { inner: Calls { templates: vec![request()], next: 0 }, is_zero: Arc::default() };
        let is_zero = Arc::clone(&depth.is_zero);
        client::exchange(broker, (1, 1), ASKED_WITHIN, depth).await?;
        match is_zero.load(Ordering::Relaxed) {
            true => return Ok(()),
            false if Instant::now() > end => {
                return Err(Failure::new(format!("group {group} of {topic} has messages left after all are settled")));
            }
            false => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Asks for a group's status, and looks at its depth.
struct Depth {
    inner: Calls,
    is_zero: Arc<AtomicBool>,
}

impl Talk for Depth {
    fn hello(&mut self, out: &mut Vec<u8>) {
        self.inner.hello(out);
    }

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        self.inner.request(out, id);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let status = link.inbox.unread();
        let is_zero = status.windows(NO_DEPTH.len()).any(|part| part == NO_DEPTH);
        self.is_zero.fetch_or(is_zero, Ordering::Relaxed);
        self.inner.hear(link)
    }

    fn keep_alive(&mut self, out: &mut Vec<u8>) {
        self.inner.keep_alive(out);
    }
}
