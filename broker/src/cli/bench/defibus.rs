//! DeFiBus by hand (on the protocol of RocketMQ): its `request`, on the requester's side and the responder's. A request is a
//! message in a topic that says who asks; the responder pulls it and sends the answer, as a message again, and the broker
//! pushes that to the requester. As in RSocket all that one read brought is answered by one write.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::Failure;
use super::children::{self, Child};
use super::client::Shape;
use super::remoting::{
    Command, LIKE, QUEUES, SEND, SUCCESS, header_before_id, message_fields, put_command, read_command,
};
use super::rsocket::data;
use super::talk::{Heard, Talk};
use super::wire::Link;

const WHO: &str = "DeFiBus";
/// The broker is to be of this cluster: where answers go to is called after it.
const CLUSTER: &str = "bench";
const TOPIC: &str = "bench-calls";
const GROUP: &str = "bench";
const RESPONDER: &str = "127.0.0.1@bench-responder";

const PULL: u16 = 11;
const MAKE_TOPIC: u16 = 17;
const NEXT_OFFSET: u16 = 30;
const HEARTBEAT: u16 = 34;
const SEND_ANSWER: u16 = 403;
/// What the broker pushes.
const ANSWER: i32 = 400;
/// Of a pull: nothing came, ask at once, another offset.
const ASK_AGAIN: [i32; 3] = [19, 20, 21];

const ASKED_AS: &str = "RR_REQUEST_UNIQ_ID";
const ANSWER_TO: &str = "REPLY_TO";
/// The broker keeps a pull for which there is nothing for so many milliseconds.
const WAIT_MS: u32 = 15_000;
/// Messages of one pull, as its client asks for.
const BATCH: u32 = 32;
const BUFFER: usize = 256 * 1024;

/// A message's properties, written one after the other.
fn properties(of: &[(&str, &str)]) -> String {
    of.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect()
}

pub(super) fn property<'a>(all: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = all.split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
    pairs.find_map(|(name, value)| (name == wanted).then_some(value))
}

/// The requester's side.
#[derive(Debug)]
pub(super) struct DeFiBus {
    /// By which the broker knows whom to push the answer to.
    client: String,
    queue: usize,
    payload: Vec<u8>,
}

impl DeFiBus {
    pub(super) fn calls(shape: Shape) -> Self {
        let client = format!("127.0.0.1@{:x}", fastrand::u64(..));
        Self { client, queue: fastrand::usize(..QUEUES), payload: data(shape.size) }
    }
}

impl Talk for DeFiBus {
    fn hello(&mut self, _: &mut Vec<u8>) {}

    fn request(&mut self, out: &mut Vec<u8>, id: u32) {
        self.queue = (self.queue + 1) % QUEUES;
        let asked = id.to_string();
        let properties =
            properties(&[("msgType", "persistent"), ("TTL", "10000"), (ANSWER_TO, &self.client), (ASKED_AS, &asked)]);
        let header = header_before_id(SEND, &message_fields("bench", TOPIC, self.queue, &properties));
        put_command(out, format_args!("{header}{id}}}"), &self.payload);
    }

    fn hear(&mut self, link: &mut Link) -> Result<Option<Heard>, Failure> {
        let Some((Command { header, body }, len)) = read_command(link.inbox.unread())? else { return Ok(None) };
        let heard = match header.code {
            ANSWER => {
                let asked = header.field("properties").and_then(|all| property(all, ASKED_AS));
                let id = asked.and_then(|id| id.parse().ok()).unwrap_or_default();
                Heard::Answer { id, is_right: body.len() == self.payload.len() }
            }
            // The request is stored.
            SUCCESS => Heard::Other,
            _ => return Err(header.refused(WHO)),
        };
        link.inbox.consume(len);
        Ok(Some(heard))
    }

    fn keep_alive(&mut self, _: &mut Vec<u8>) {}
}

/// A responder of its own process at this broker.
pub(super) async fn start_responder(broker: SocketAddr) -> Result<Child, Failure> {
    let broker = broker.to_string();
    Child::start("bench responder ready", &["bench", "responder", "--die-with-stdin", "--defibus", &broker]).await
}

/// Serves at this broker until it is gone.
pub(super) async fn serve(broker: SocketAddr) -> Result<(), Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("responder at {WHO} {broker}: {e}"));
    let stream = TcpStream::connect(broker).await.map_err(|e| failed(&e))?;
    let link = Link::new(stream, BUFFER).map_err(|e| failed(&e))?;
    let mut responder = Responder { link, offsets: [0; QUEUES], waiting: 0, broker };
    responder.make_topic();
    poll_fn(|cx| responder.poll_serve(cx)).await.map_err(|e| failed(&e))
}

/// What is asked of the broker; its number is the id of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Topic,
    Membership,
    AnswerSent,
    /// Where a queue goes on.
    Offset(usize),
    Messages(usize),
}

impl Asked {
    fn number(self) -> usize {
        match self {
            Self::Topic => 0,
            Self::Membership => 1,
            Self::AnswerSent => 2,
            Self::Offset(queue) => 3 + queue,
            Self::Messages(queue) => 3 + QUEUES + queue,
        }
    }

    fn of(number: u32) -> Self {
        match number as usize {
            0 => Self::Topic,
            1 => Self::Membership,
            2 => Self::AnswerSent,
            offset if offset < 3 + QUEUES => Self::Offset(offset - 3),
            messages => Self::Messages((messages - 3 - QUEUES).min(QUEUES - 1)),
        }
    }
}

struct Responder {
    link: Link,
    /// Where each queue goes on.
    offsets: [u64; QUEUES],
    /// Queues that are waited at.
    waiting: usize,
    broker: SocketAddr,
}

impl Responder {
    fn put(&mut self, what: Asked, code: u16, fields: &Value, body: &[u8]) {
        let (header, id) = (header_before_id(code, fields), what.number());
        put_command(&mut self.link.outbox, format_args!("{header}{id}}}"), body);
    }

    fn make_topic(&mut self) {
        let queues = QUEUES.to_string();
        let fields = json!({
            "topic": TOPIC, "defaultTopic": LIKE, "readQueueNums": queues, "writeQueueNums": queues, "perm": "6",
            "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
        });
        self.put(Asked::Topic, MAKE_TOPIC, &fields, b"");
    }

    fn join(&mut self) {
        let subscription = json!({
            "topic": TOPIC, "subString": "*", "expressionType": "TAG", "subVersion": 0, "classFilterMode": false,
            "tagsSet": [], "codeSet": [],
        });
        let member = json!({
            "groupName": GROUP, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "unitMode": false, "subscriptionDataSet": [subscription],
        });
        let said = json!({ "clientID": RESPONDER, "consumerDataSet": [member], "producerDataSet": [] });
        self.put(Asked::Membership, HEARTBEAT, &json!({}), said.to_string().as_bytes());
    }

    /// Asks for messages, and settles those before.
    fn pull(&mut self, queue: usize) {
        let offset = self.offsets[queue].to_string();
        let fields = json!({
            "consumerGroup": GROUP, "topic": TOPIC, "queueId": queue.to_string(), "queueOffset": offset, "sysFlag": "3",
            "commitOffset": offset, "maxMsgNums": BATCH.to_string(), "suspendTimeoutMillis": WAIT_MS.to_string(),
            "subVersion": "0", "expressionType": "TAG",
        });
        self.put(Asked::Messages(queue), PULL, &fields, b"");
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            ready!(self.link.poll_flush(cx))?;
            ready!(self.link.poll_read(cx))?;
            while self.hear()? {}
        }
    }

    fn hear(&mut self) -> Result<bool, Failure> {
        let Some((Command { header, body }, len)) = read_command(self.link.inbox.unread())? else { return Ok(false) };
        let come = if header.code == SUCCESS { messages(body) } else { Ok(Vec::new()) };
        self.link.inbox.consume(len);
        if !header.is_answer() {
            // Who else is in the group.
            return Ok(true);
        }
        let number = |name: &str| header.field(name).and_then(|value| value.parse().ok());
        match (Asked::of(header.opaque), header.code) {
            (Asked::Messages(queue), code) if code == SUCCESS || ASK_AGAIN.contains(&code) => {
                self.offsets[queue] = number("nextBeginOffset").ok_or_else(|| header.refused(WHO))?;
                come?.into_iter().for_each(|message| self.answer(message));
                self.pull(queue);
            }
            (Asked::Topic, SUCCESS) => self.join(),
            (Asked::Membership, SUCCESS) => {
                for queue in 0..QUEUES {
                    let fields = json!({ "topic": TOPIC, "queueId": queue.to_string() });
                    self.put(Asked::Offset(queue), NEXT_OFFSET, &fields, b"");
                }
            }
            (Asked::Offset(queue), SUCCESS) => {
                self.offsets[queue] = number("offset").ok_or_else(|| header.refused(WHO))?;
                self.pull(queue);
                self.waiting += 1;
                if self.waiting == QUEUES {
                    children::announce("responder", self.broker);
                }
            }
            (Asked::AnswerSent, SUCCESS) => {}
            _ => return Err(header.refused(WHO)),
        }
        Ok(true)
    }

    fn answer(&mut self, Message { body, properties: asked }: Message) {
        let of = |name| property(&asked, name).unwrap_or_default();
        let properties =
            properties(&[("msgType", "reply"), ("TTL", "10000"), (ANSWER_TO, of(ANSWER_TO)), (ASKED_AS, of(ASKED_AS))]);
        let fields = message_fields("bench-responder", &format!("{CLUSTER}-rr-reply-topic"), 0, &properties);
        self.put(Asked::AnswerSent, SEND_ANSWER, &fields, &body);
    }
}

/// What is read of a stored message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) body: Vec<u8>,
    pub(super) properties: String,
}

/// Messages as they are stored, one after the other.
///
/// ```text
///  u32 length of all | 80 bytes: places, times, hosts | u32 length, body | u8 length, topic | u16 length, properties
/// ```
pub(super) fn messages(mut bytes: &[u8]) -> Result<Vec<Message>, Failure> {
    let cut = || Failure::new(format!("a message of {WHO} is cut"));
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = bytes.first_chunk().map(|len| u32::from_be_bytes(*len) as usize);
        let (one, rest) = len.and_then(|len| bytes.split_at_checked(len)).ok_or_else(cut)?;
        found.push(message(one).ok_or_else(cut)?);
        bytes = rest;
    }
    Ok(found)
}

fn message(one: &[u8]) -> Option<Message> {
    let (len, rest) = one.get(84..)?.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    let (len, rest) = rest.split_first()?;
    let (len, rest) = rest.get(usize::from(*len)..)?.split_first_chunk()?;
    let properties = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
    Some(Message { body: body.to_vec(), properties: str::from_utf8(properties).ok()?.to_owned() })
}
