//! The embedded engine as a target of load.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::{Duration, Instant, sleep};
use towline::store::{Batch, Durability, Log, LogSettings, Op, Publish, Receipt, Stats, Store, TopicId, TopicSettings};

use super::load::Target;
use super::{Failure, shape::Shape};

/// How often retention looks.
const LOOK: Duration = Duration::from_millis(200);
/// Operations in one batch when topics are made or trimmed.
const MANY: usize = 500;
/// What the engine does behind the front is over if nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(600);

/// An open store and the topics in it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) log: Log,
    pub(super) topics: Vec<TopicId>,
    sent: AtomicU64,
    content: Bytes,
    durability: Durability,
    now: u64,
}

impl Engine {
    /// Opens a folder, and makes the topics if there are none.
    pub(super) async fn open(folder: &Path, shape: Shape) -> Result<Self, Failure> {
        let log = Log::open_folder(folder, LogSettings::default())
            .map_err(|e| Failure::new(format!("open the store: {e}")))?;
        let durability = shape.level.durability();
        let mut topics = log.topics();
        while topics.len() < shape.topics {
            let mut batch = Batch { ops: Vec::new(), now: now() };
            for _ in topics.len()..shape.topics.min(topics.len() + MANY) {
                let topic = TopicId(log.fresh_id());
                let settings = TopicSettings {
                    name: format!("bench-{}", topic.0),
                    durability,
                    dedup_window: 0,
                    rest: Bytes::new(),
                };
                topics.push(topic);
                batch.ops.push(Op::PutTopic { topic, settings });
            }
            append(&log, batch).await?;
        }
        let content = vec![7; shape.size].into();
        Ok(Self { log, topics, sent: AtomicU64::new(0), content, durability, now: now() })
    }

    /// Waits until what it makes ready behind the front is ready.
    pub(super) async fn settle(&self) -> Stats {
        let (mut before, mut since) = (self.log.stats(), Instant::now());
        while since.elapsed() < QUIET {
            sleep(QUIET / 10).await;
            let stats = self.log.stats();
            if stats.disk_bytes != before.disk_bytes {
                (before, since) = (stats, Instant::now());
            }
        }
        before
    }

    pub(super) fn log_stats(&self) -> Stats {
        self.log.stats()
    }

    pub(super) async fn close(&self) {
        self.log.close().await;
    }

    /// Gives up what is older than the last `keep` messages of each topic, again and again.
    pub(super) async fn retain(self: Arc<Self>, keep: u64) -> Result<(), Failure> {
        let mut floors = vec![0; self.topics.len()];
        loop {
            sleep(LOOK).await;
            let mut batch = Batch { ops: Vec::new(), now: now() };
            for (topic, floor) in self.topics.iter().zip(&mut floors) {
                let to = self.log.topic(*topic).map_or(0, |view| view.head).saturating_sub(keep);
                if to > *floor + keep / 8 {
                    *floor = to;
                    batch.ops.push(Op::Trim { topic: *topic, to });
                }
                if batch.ops.len() == MANY {
                    append(&self.log, std::mem::take(&mut batch)).await?;
                }
            }
            if !batch.ops.is_empty() {
                append(&self.log, batch).await?;
            }
        }
    }
}

impl Target for Engine {
    type Answer = Answer;

    fn send(&self) -> Result<Answer, Failure> {
        let nth = self.sent.fetch_add(1, Ordering::Relaxed);
        let topic = self.topics[(nth % self.topics.len() as u64) as usize];
        let publish = Publish { topic, content: self.content.clone(), dedup: None };
        let batch = Batch { ops: vec![Op::Publish(publish)], now: self.now };
        let ticket = self.log.append(batch, self.durability).map_err(|e| Failure::new(format!("append: {e}")))?;
        Ok(Answer(ticket.receipt))
    }
}

#[derive(Debug)]
pub(super) struct Answer(Receipt);

impl Future for Answer {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(outcome.map(|_| ()).map_err(|e| Failure::new(format!("a message is not kept: {e}"))))
    }
}

/// Appends and waits until it is synced.
pub(super) async fn append(log: &Log, batch: Batch) -> Result<(), Failure> {
    let ticket = log.append(batch, Durability::Disk).map_err(|e| Failure::new(format!("append: {e}")))?;
    ticket.receipt.await.map(drop).map_err(|e| Failure::new(format!("a batch is not kept: {e}")))
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
