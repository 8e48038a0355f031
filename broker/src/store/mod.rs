//! What durable topics are kept in: nothing that was confirmed is lost.
//!
//! ```text
//!  batch      what is appended at once: messages, progress of groups, changes        error   why it was not
//!  record     what both become when they are written                             wire      numbers and texts in bytes
//!  state      topics, groups, entries as pure machines that replay records          by_topic  a map
//!  memory     an engine without a disk          log/     the embedded engine: one log is the truth
//!  conformance                                  the suite every engine passes
//! ```
//! Invariant: a batch is kept whole or not at all, and in the order in which batches were appended; what a receipt says was
//! reached, was reached.

mod batch;
mod by_topic;
pub mod conformance;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod log;
mod memory;
mod record;
mod state;
mod wire;

pub use batch::{Batch, Dedup, Hand, Op, Placed, Progress, Publish, Run, TopicSettings};
pub use error::StoreError;
pub use ids::{Durability, GroupId, Offset, TopicId};
pub use log::{Log, LogSettings, fsck};
pub use memory::MemoryStore;

use futures::future::BoxFuture;
use std::fmt;
use tokio::sync::oneshot;

/// Where messages and the progress of their groups are kept.
///
/// All methods may be called from any task. `now` is wall-clock time in milliseconds since 1970, given by the caller.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Adds a batch to what is committed next: it is kept whole or not at all. Offsets are assigned at once, in the order of
    /// the calls; the receipt says when the durability of the batch is reached.
    ///
    /// `durability` is the least; a topic's own may be stronger. [`Durability::Disk`] is what changes of topics and groups want.
    ///
    /// # Errors
    /// A batch that cannot be kept is refused whole, before anything of it is: see [`StoreError`].
    fn append(&self, batch: Batch, durability: Durability) -> Result<Ticket, StoreError>;

    /// The same of several operations of which each is a batch of its own, in their order: each is kept or refused by itself,
    /// and one receipt says when all that are kept are as durable as they have to be. Nothing else comes between them. That
    /// they are written is asked for by [`Store::commit`].
    fn append_each(&self, ops: &[Op], now: u64, durability: Durability) -> Tickets;

    /// Sees to it that what was appended becomes as durable as asked. The caller may have to write it, so it holds no lock.
    fn commit(&self);

    /// Messages of a topic from an offset on, in their order; only those whose durability is reached.
    ///
    /// # Errors
    /// [`StoreError::UnknownTopic`], [`StoreError::Unreadable`] (to be tried again), [`StoreError::Failed`].
    fn read(&self, topic: TopicId, from: Offset, limits: Limits) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// The first offset whose message is as young as `time` (milliseconds since 1970), or the head.
    ///
    /// # Errors
    /// As [`Store::read`].
    fn offset_at(&self, topic: TopicId, time: u64) -> BoxFuture<'_, Result<Offset, StoreError>>;

    /// What is known of a topic, what is not yet confirmed included.
    fn topic(&self, topic: TopicId) -> Option<TopicView>;

    /// What is known of a group, as the last [`Op::Progress`] left it.
    fn group(&self, topic: TopicId, group: GroupId) -> Option<GroupView>;

    /// Every topic there is.
    fn topics(&self) -> Vec<TopicId>;

    /// The value of an entry of a topic ([`TopicId::BROKER`] for the broker's own), see [`Op::Put`].
    fn entry(&self, topic: TopicId, key: &[u8]) -> Option<bytes::Bytes>;

    /// The entries of a topic whose keys start so, in the order of their keys.
    fn entries(&self, topic: TopicId, prefix: &[u8]) -> Vec<(bytes::Bytes, bytes::Bytes)>;

    /// An id no topic or group has had.
    fn fresh_id(&self) -> u64;

    /// How it is.
    fn stats(&self) -> Stats;

    /// Commits what is open, syncs, and ends: what is appended later is refused with [`StoreError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// An appended batch on its way.
#[derive(Debug)]
pub struct Ticket {
    /// Where each [`Op::Publish`] of the batch is, in their order.
    pub placed: Vec<Placed>,
    /// Comes when it is kept as durably as asked, or cannot be.
    pub receipt: Receipt,
}

/// Appended operations on their way.
#[derive(Debug)]
pub struct Tickets {
    /// For each where it is, if it is [`Op::Publish`], or why it is not kept.
    pub placed: Vec<Result<Option<Placed>, StoreError>>,
    /// Comes when all that are kept are kept as durably as asked, or cannot be; at once if none is. It tells the least
    /// durability that was reached.
    pub receipt: Receipt,
}

/// The confirmation of what was appended: the durability that was reached. Dropping it takes nothing back.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<Durability, StoreError>>);

impl Receipt {
    /// A receipt, and what an engine answers it by.
    pub fn pair() -> (oneshot::Sender<Result<Durability, StoreError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// What became of it, if that is decided.
    pub fn try_get(&mut self) -> Option<Result<Durability, StoreError>> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(StoreError::Closed)),
        }
    }
}

impl Future for Receipt {
    type Output = Result<Durability, StoreError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|outcome| outcome.unwrap_or(Err(StoreError::Closed)))
    }
}

/// How much one read may bring: at least one message, however large.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages.
    pub messages: usize,
    /// Bytes of their contents.
    pub bytes: usize,
}

/// One message as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in its topic.
    pub offset: Offset,
    /// When it was appended, milliseconds since 1970; never less than that of the message before.
    pub timestamp: u64,
    /// What [`Publish::content`] was.
    pub content: bytes::Bytes,
}

/// What one read brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their offsets; offsets may be missing between them.
    pub messages: Vec<Stored>,
    /// Offsets whose bytes are damaged: nothing will ever be read there.
    pub damaged: Vec<Offset>,
    /// Where to go on. What is below it and not in `messages` or `damaged`, is not there (any more).
    pub next: Offset,
}

/// A topic as the store sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// As last set, nothing if the record that created the topic is damaged (it is kept all the same).
    pub settings: Option<TopicSettings>,
    /// The oldest offset that is kept, see [`Op::Trim`].
    pub floor: Offset,
    /// The offset the next message gets.
    pub head: Offset,
    /// Up to here (exclusive) messages can be read.
    pub visible: Offset,
    /// The topic's groups.
    pub groups: Vec<GroupId>,
}

/// A group as the store sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// As last set, nothing if the record that created the group is damaged.
    pub settings: Option<Vec<u8>>,
    /// The first offset that was never handed over.
    pub next: Offset,
    /// What is below `next` and not settled.
    pub holes: Vec<Hand>,
    /// True if its state could not be read and is the oldest message kept: see `towline fsck --repair`.
    pub is_lost: bool,
}

/// Figures of a store, for metrics and `towline store stat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Topics there are.
    pub topics: usize,
    /// Bytes the files take, preallocated ones included.
    pub disk_bytes: u64,
    /// Bytes a volume has left, see `storage-full`.
    pub free_bytes: u64,
    /// Commit groups written, and how many messages they held.
    pub groups_written: u64,
    /// See [`Stats::groups_written`].
    pub messages_written: u64,
    /// Sync rounds that ended well.
    pub syncs: u64,
    /// Messages that were lost to damage, as far as they are known one by one, and ranges of the log that were.
    pub damaged: u64,
    /// Bytes the last opening left out, because they were never confirmed `disk`.
    pub cut_bytes: u64,
    /// True once a write or a sync failed: nothing is confirmed any more, a restart recovers.
    pub is_poisoned: bool,
    /// True below the watermark of free space.
    pub is_full: bool,
}
