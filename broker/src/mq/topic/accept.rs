//! Publishing: what is checked before a message is stored, and how its publisher hears of it.

use super::Topic;
use super::intake::Intake;
use crate::mq::message::Content;
use crate::mq::shared::Hold;
use crate::mq::{names, refusal, settings};
use crate::store::{self, Batch, Dedup, Op, Placed, Publish, Receipt, StoreError};
use bytes::Bytes;
use std::sync::Arc;
use towline_service_api::builtin::{Confirmation, Durability, Message, OnFull, QueueError, TopicConfig};

/// The most a message may be scheduled ahead, in milliseconds.
const AHEAD: u64 = 400 * 24 * 60 * 60 * 1000;
/// Headers of one message.
const HEADERS: usize = 64;

/// A message that was checked, as it is stored.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) content: Bytes,
    pub(crate) dedup: Option<Dedup>,
    /// The producer's own words, for errors.
    producer: Option<(String, u64)>,
    /// The id it can be cancelled by, and when it is to be delivered.
    pub(crate) id: Option<String>,
    pub(crate) due: Option<u64>,
}

/// Messages on their way to the disk. Dropped, they are stored all the same.
#[derive(Debug)]
pub(crate) struct Accepted {
    topic: Arc<Topic>,
    pub(crate) placed: Vec<Placed>,
    receipt: Option<Receipt>,
    timestamp: u64,
    started: tokio::time::Instant,
    _hold: Hold,
}

impl Topic {
    /// Reads a message.
    ///
    /// # Errors
    /// `invalid-message`, `too-large`.
    pub(crate) fn read(&self, message: Message) -> Result<Incoming, QueueError> {
        let now = self.shared.clock.now();
        let (max, ttl) = {
            let config = &self.rest.read().config;
            (config.max_message_bytes.unwrap_or(u64::MAX), config.ttl_ms.filter(|ttl| *ttl > 0))
        };
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
        if content.len() as u64 > max {
            let (topic, bytes) = (self.name.to_string(), content.len() as u64);
            return Err(QueueError::TooLarge { topic, bytes, limit: max });
        }
        Ok(Incoming { content, dedup, producer, id, due })
    }

    /// A message that was refused by [`Self::read`] uses up its sequence, so that its producer can go on.
    pub(crate) fn skip(&self, producer: Option<String>, sequence: Option<u64>) {
        let (Some(producer), Some(sequence)) = (producer, sequence) else { return };
        let op = Op::Skip { topic: self.id, producer: digest(&producer), sequence };
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
        if self.rest.read().paused {
            return Err(QueueError::TopicPaused { topic: self.name.to_string() });
        }
        Ok(())
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
        self.check_open()?;
        let asked = {
            let rest = self.rest.read();
            let own = rest.config.durability.unwrap_or_default();
            match durability {
                Some(asked) if own == Durability::Memory && asked != own => {
                    return Err(refusal::invalid_message("a topic in memory stores nothing: leave durability out"));
                }
                asked => settings::stored(asked.unwrap_or(own).max(own)),
            }
        };
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let hold = self.shared.hold(messages.len(), bytes)?;
        let (count, mut producer) = (messages.len() as u64, None);
        let publish = |message: Incoming| {
            producer = producer.take().or(message.producer);
            Op::Publish(Publish { topic: self.id, content: message.content, dedup: message.dedup })
        };
        let ops: Vec<Op> = messages.into_iter().map(publish).collect();
        let timestamp = self.shared.clock.now();
        let mut intake = self.intake.lock();
        self.check_depth(&mut intake, count, bytes as u64)?;
        let ticket = self.shared.store.append(Batch { ops, now: timestamp }, asked).map_err(|error| match error {
            StoreError::SequenceGap { expected } => {
                let (producer, sequence) = producer.unwrap_or_default();
                QueueError::SequenceGap { producer, sequence, expected }
            }
            error => refusal::of_store(&self.name, error),
        })?;
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
        Ok(Accepted {
            topic: self.clone(),
            placed: ticket.placed,
            receipt: Some(ticket.receipt),
            timestamp,
            started: tokio::time::Instant::now(),
            _hold: hold,
        })
    }

    /// Refuses what a full topic does not take. How much may come before it can be full, is worked out now and then.
    fn check_depth(&self, intake: &mut Intake, messages: u64, bytes: u64) -> Result<(), QueueError> {
        if intake.allowance.is_none_or(|(left, left_bytes)| left < messages || left_bytes < bytes) {
            let config = self.config();
            let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
            let limits = (limit(config.max_depth_messages), limit(config.max_depth_bytes));
            if limits == (None, None) {
                intake.allowance = Some((u64::MAX, u64::MAX));
                return Ok(());
            }
            let floor = self.shared.store.topic(self.id).map_or(0, |view| view.floor);
            let (depth, depth_bytes) = self.depth(intake, floor);
            let left = limits.0.map_or(u64::MAX, |limit| limit.saturating_sub(depth));
            let left_bytes = limits.1.map_or(u64::MAX, |limit| limit.saturating_sub(depth_bytes));
            intake.allowance = Some((left, left_bytes));
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
        let offset = |placed: &Placed| match placed {
            Placed::At(offset) => Some(*offset),
            Placed::Duplicate(offset) => *offset,
        };
        self.placed.iter().map(offset).collect()
    }

    /// Waits until all are as durable as asked.
    ///
    /// # Errors
    /// What the store says: what became of them is in doubt then.
    pub(crate) async fn reached(mut self) -> Result<store::Durability, QueueError> {
        let reached = match &mut self.receipt {
            Some(receipt) => receipt.await,
            None => Err(StoreError::Closed),
        };
        self.receipt = None;
        let meters = &self.topic.shared.meters;
        let reached = reached.map_err(|error| refusal::of_store(&self.topic.name, error))?;
        meters.confirm_seconds.record(self.started.elapsed().as_secs_f64());
        self.topic.published();
        Ok(reached)
    }

    /// The same of one message.
    ///
    /// # Errors
    /// As [`Self::reached`].
    pub(crate) async fn confirmed(self) -> Result<Confirmation, QueueError> {
        let (topic, timestamp) = (self.topic.name.to_string(), self.timestamp);
        let (offset, duplicate) = match self.placed.first() {
            Some(Placed::At(offset)) => (Some(*offset), false),
            Some(Placed::Duplicate(offset)) => (*offset, true),
            None => (None, false),
        };
        let durability = settings::shown(self.reached().await?);
        Ok(Confirmation { topic, offset, timestamp, durability, duplicate, due: None })
    }
}

impl Drop for Accepted {
    /// Its publisher has gone; the groups are to hear of it all the same.
    fn drop(&mut self) {
        if let Some(receipt) = self.receipt.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let topic = self.topic.clone();
            runtime.spawn(async move {
                if receipt.await.is_ok() {
                    topic.published();
                }
            });
        }
    }
}

/// What a producer, or an id, is known by.
fn digest(text: &str) -> u128 {
    let bytes = sha1_smol::Sha1::from(text).digest().bytes();
    bytes[..16].iter().fold(0, |all, byte| all << 8 | u128::from(*byte))
}
