//! Publishing: what is checked before a message is stored, and how its publisher hears of it.

use super::Topic;
use super::awaited::Awaited;
use super::intake::Intake;
use crate::mq::message::Content;
use crate::mq::shared::Hold;
use crate::mq::{names, refusal, settings};
use crate::store::{self, Batch, Dedup, Op, Placed, Publish, StoreError};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use towline_service_api::builtin::{Durability, Message, OnFull, QueueError, TopicConfig};

/// The most a message may be scheduled ahead, in milliseconds.
const AHEAD: u64 = 400 * 24 * 60 * 60 * 1000;
/// Headers of one message.
const HEADERS: usize = 64;

/// A message that was checked, as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) content: Bytes,
    /// Apart, as most have nothing of it.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug)]
struct Rare {
    dedup: Option<Dedup>,
    /// The producer's own words, for errors.
    producer: Option<(String, u64)>,
    id: Option<String>,
    due: Option<u64>,
}

impl Incoming {
    pub(crate) fn dedup(&self) -> Option<Dedup> {
        self.rare.as_ref()?.dedup
    }

    /// Whose it is, and its sequence.
    pub(super) fn producer(&self) -> Option<(String, u64)> {
        self.rare.as_ref()?.producer.clone()
    }

    /// The id it can be cancelled by.
    pub(crate) fn id(&self) -> Option<&String> {
        self.rare.as_ref()?.id.as_ref()
    }

    /// When it is to be delivered, if not now.
    pub(crate) fn due(&self) -> Option<u64> {
        self.rare.as_ref()?.due
    }
}

/// Messages on their way to the disk. Dropped, they are stored all the same.
#[derive(Debug)]
pub(crate) struct Accepted {
    topic: Arc<Topic>,
    placed: Vec<Placed>,
    receipt: Awaited,
    _hold: Hold,
}

impl Topic {
    /// Reads a message.
    ///
    /// # Errors
    /// `invalid-message`, `too-large`.
    pub(crate) fn read(&self, message: Message) -> Result<Incoming, QueueError> {
        let now = self.shared.clock.now();
        let (max, ttl) = self.bounds();
        let Message { body, text, json, content_type, key, tag, headers, id, producer, sequence, .. } = message;
        let (body, stored_type) = match (body, text, json) {
            (Some(body), None, None) => (body.0, None),
            (None, Some(text), None) => (text.into(), Some("text/plain")),
            (None, None, Some(json)) => (json.0, Some("application/json")),
            _ => return Err(refusal::invalid_message("it has exactly one of body, text and json")),
        };
        let content_type = content_type.or_else(|| stored_type.map(str::to_owned));
        let too_long =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.is_empty() || text.len() > names::ID);
        if too_long(&id) || too_long(&producer) || too_long(&key) || too_long(&tag) || too_long(&content_type) {
            return Err(refusal::invalid_message("contentType, id, producer, key and tag have 1 to 128 bytes each"));
        }
        if headers.len() > HEADERS {
            return Err(refusal::invalid_message("it has more than 64 headers"));
        }
        let (dedup, producer) = match (&id, producer, sequence) {
            (None, Some(producer), Some(sequence)) => {
                (Some(Dedup::Sequence { producer: digest(&producer), sequence }), Some((producer, sequence)))
            }
            (Some(id), None, None) => (Some(Dedup::Id(digest(id))), None),
            (None, None, None) => (None, None),
            _ => return Err(refusal::invalid_message("it has an id, or a producer with its sequence, or neither")),
        };
        let due = match (message.deliver_at, message.delay_ms) {
            (Some(_), Some(_)) => return Err(refusal::invalid_message("it has deliverAt or delayMs, not both")),
            (Some(at), None) => Some(at),
            (None, delay) => delay.map(|delay| now.saturating_add(delay)),
        };
        if due.is_some_and(|due| due > now + AHEAD) {
            return Err(refusal::invalid_message("it is scheduled more than 400 days ahead"));
        }
        let due = due.filter(|due| *due > now);
        let expires = message.ttl_ms.or(ttl).map(|ttl| due.unwrap_or(now).saturating_add(ttl));
        let content = Content { content_type, key, tag, id: id.clone(), expires, headers, body }.encode();
        self.check_size(&content, max)?;
        let is_plain = id.is_none() && dedup.is_none() && due.is_none();
        let rare = (!is_plain).then(|| Box::new(Rare { dedup, producer, id, due }));
        Ok(Incoming { content, rare })
    }

    /// Reads a message that is a body and nothing else; its bytes are those of the buffer.
    ///
    /// # Errors
    /// `too-large`.
    pub(crate) fn read_body(&self, body: &[u8], buffer: &mut BytesMut) -> Result<Incoming, QueueError> {
        let (max, ttl) = self.bounds();
        let expires = ttl.map(|ttl| self.shared.clock.now().saturating_add(ttl));
        let content = Content::encode_body(body, expires, buffer);
        self.check_size(&content, max)?;
        Ok(Incoming { content, rare: None })
    }

    /// Bytes a message has at most, and milliseconds it lives, if it does not say.
    fn bounds(&self) -> (u64, Option<u64>) {
        (self.rules.max_bytes(), self.rules.ttl())
    }

    fn check_size(&self, content: &Bytes, max: u64) -> Result<(), QueueError> {
        let bytes = content.len() as u64;
        if bytes > max { Err(QueueError::TooLarge { topic: self.name.to_string(), bytes, limit: max }) } else { Ok(()) }
    }

    /// A message that [`Self::read`] refused uses up its sequence all the same, so that its producer can go on. What came
    /// before it has to be stored.
    pub(crate) fn skip(&self, producer: &str, sequence: u64) {
        let op = Op::Skip { topic: self.id, producer: digest(producer), sequence };
        let batch = Batch { ops: vec![op], now: self.shared.clock.now() };
        // It is before whatever the producer sends next, as it is in the log.
        let _ = self.shared.store.append(batch, store::Durability::Memory);
    }

    /// Whether anything may be published.
    ///
    /// # Errors
    /// `topic-paused`, `unknown-topic`.
    pub(crate) fn check_open(&self) -> Result<(), QueueError> {
        self.check_alive()?;
        if self.rules.is_paused() { Err(self.paused()) } else { Ok(()) }
    }

    fn paused(&self) -> QueueError {
        QueueError::TopicPaused { topic: self.name.to_string() }
    }

    /// What its messages are stored as, if anything may be published, and this much is asked for.
    ///
    /// # Errors
    /// `topic-paused`, `unknown-topic`, `invalid-message`.
    pub(super) fn admit(&self, asked: Option<Durability>) -> Result<store::Durability, QueueError> {
        self.check_alive()?;
        let own = self.rules.durability();
        match asked {
            _ if self.rules.is_paused() => Err(self.paused()),
            Some(asked) if own == Durability::Memory && asked != own => {
                Err(refusal::invalid_message("a topic in memory stores nothing: leave durability out"))
            }
            asked => Ok(settings::stored(asked.unwrap_or(own).max(own))),
        }
    }

    /// Stores messages, in the order of the calls; all of them or none.
    ///
    /// # Errors
    /// `topic-paused`, `topic-full`, `sequence-gap`, REJECTED, or what the store says.
    pub(crate) fn accept(
        self: &Arc<Self>,
        messages: Vec<Incoming>,
        durability: Option<Durability>,
    ) -> Result<Accepted, QueueError> {
        let asked = self.admit(durability)?;
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let hold = self.shared.hold(messages.len(), bytes)?;
        let (count, mut producer) = (messages.len() as u64, None);
        let publish = |message: Incoming| {
            producer = producer.take().or(message.producer());
            Op::Publish(Publish { topic: self.id, dedup: message.dedup(), content: message.content })
        };
        let ops: Vec<Op> = messages.into_iter().map(publish).collect();
        let mut intake = self.intake.lock();
        self.check_depth(&mut intake, count, bytes as u64)?;
        let batch = Batch { ops, now: self.shared.clock.now() };
        let refused = |error| self.refused(error, producer);
        let ticket = self.shared.store.append(batch, asked).map_err(refused)?;
        let first = ticket.placed.iter().find_map(|placed| match placed {
            Placed::At(offset) => Some(*offset),
            Placed::Duplicate(_) => None,
        });
        if let Some(first) = first {
            let new = ticket.placed.iter().filter(|placed| matches!(placed, Placed::At(_))).count() as u64;
            self.add(&mut intake, first, new, bytes as u64);
        }
        drop(intake);
        self.shared.meters.published.increment(count);
        let receipt = Awaited::new(ticket.receipt, vec![self.clone()], ticket.placed.len());
        Ok(Accepted { topic: self.clone(), placed: ticket.placed, receipt, _hold: hold })
    }

    /// What the store says of a message, or of a batch with this producer.
    pub(super) fn refused(&self, error: StoreError, producer: Option<(String, u64)>) -> QueueError {
        match error {
            StoreError::SequenceGap { expected } => {
                let (producer, sequence) = producer.unwrap_or_default();
                QueueError::SequenceGap { producer, sequence, expected }
            }
            error => refusal::of_store(&self.name, error),
        }
    }

    /// Refuses what a full topic does not take. How much may come before it can be full, is worked out now and then.
    pub(super) fn check_depth(&self, intake: &mut Intake, messages: u64, bytes: u64) -> Result<(), QueueError> {
        if !intake.allows(messages, bytes) {
            let config = self.config();
            let limits = (settings::limit(config.max_depth_messages), settings::limit(config.max_depth_bytes));
            if limits == (None, None) {
                intake.allow(u64::MAX, u64::MAX);
                return Ok(());
            }
            let floor = self.shared.store.topic(self.id).map_or(0, |view| view.floor);
            let (depth, depth_bytes) = self.depth(intake, floor);
            let left = limits.0.map_or(u64::MAX, |limit| limit.saturating_sub(depth));
            let left_bytes = limits.1.map_or(u64::MAX, |limit| limit.saturating_sub(depth_bytes));
            intake.allow(left, left_bytes);
            if left < messages || left_bytes < bytes {
                return self.full(&config, (depth, depth_bytes), limits, left < messages);
            }
        }
        Ok(())
    }

    fn full(
        &self,
        config: &TopicConfig,
        depth: (u64, u64),
        limits: (Option<u64>, Option<u64>),
        is_by_count: bool,
    ) -> Result<(), QueueError> {
        if config.on_full == Some(OnFull::DropOldest) {
            self.shared.is_crowded.notify_one();
            return Ok(());
        }
        self.shared.meters.full.increment(1);
        let topic = self.name.to_string();
        let (depth, limit, unit) = match is_by_count {
            true => (depth.0, limits.0, "messages"),
            false => (depth.1, limits.1, "bytes"),
        };
        Err(QueueError::TopicFull { topic, depth, limit: limit.unwrap_or_default(), unit: unit.to_owned() })
    }
}

impl Accepted {
    /// The place of each message, where it is known.
    pub(crate) fn offsets(&self) -> Vec<Option<u64>> {
        self.placed.iter().map(|placed| place(placed).0).collect()
    }

    /// Waits until all are as durable as asked.
    ///
    /// # Errors
    /// What the store says: what became of them is in doubt then.
    pub(crate) async fn reached(self) -> Result<(), QueueError> {
        let Self { topic, receipt, .. } = self;
        receipt.await.map(drop).map_err(|error| refusal::of_store(&topic.name, error))
    }
}

/// The offset of a message, where it is known, and whether it was there already.
pub(super) fn place(placed: &Placed) -> (Option<u64>, bool) {
    match placed {
        Placed::At(offset) => (Some(*offset), false),
        Placed::Duplicate(offset) => (*offset, true),
    }
}

/// What a producer, or an id, is known by.
fn digest(text: &str) -> u128 {
    let bytes = sha1_smol::Sha1::from(text).digest().bytes();
    bytes[..16].iter().fold(0, |all, byte| all << 8 | u128::from(*byte))
}
