//! What a topic gives up: by age, by size, by count, or because somebody said so.

use super::Topic;
use crate::mq::refusal;
use crate::mq::settings::limit;
use crate::store::{Limits, Offset, Op, Receipt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use towline_service_api::builtin::{OnFull, QueueError, TopicConfig};

impl Topic {
    /// Gives up what retention says, but for what groups need, unless they are to be passed over. If it did, the receipt of
    /// that.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn keep(self: &Arc<Self>) -> Result<Option<Receipt>, QueueError> {
        if self.keeps_all() {
            return Ok(None);
        }
        let Some(view) = self.shared.store.topic(self.id) else { return Ok(None) };
        for group in self.groups() {
            group.look_at_oldest(view.visible).await;
        }
        self.given_up.store(view.floor, Ordering::Relaxed);
        let config = self.config();
        let mut to = view.floor;
        if let Some(age) = limit(config.retention_ms) {
            to = to.max(self.older_than(age, view.floor, view.visible).await?);
        }
        to = to.max(self.too_much(limit(config.retention_messages), limit(config.retention_bytes)));
        let needed = self.groups().iter().map(|group| group.next()).min();
        if config.keep_until_acked == Some(true) {
            to = to.min(needed.unwrap_or(to));
        }
        if config.on_full == Some(OnFull::DropOldest) {
            to = to.max(self.overflow(view.floor, &config));
        }
        self.trim(view.floor, to.min(view.visible)).await
    }

    /// Nothing is given up, and no group is to be looked at: seen without a look at the store, as most topics are most of the
    /// time.
    fn keeps_all(&self) -> bool {
        // No other lock is taken under this one.
        let (age, messages, bytes, on_full) = {
            let config = &self.rest.read().config;
            let bytes = limit(config.retention_bytes);
            (limit(config.retention_ms), limit(config.retention_messages), bytes, config.on_full)
        };
        let is_looked_up = || self.age_due.load(Ordering::Relaxed) > self.shared.clock.now();
        let too_old = || self.aged_to.load(Ordering::Relaxed);
        let given_up = self.given_up.load(Ordering::Relaxed);
        on_full != Some(OnFull::DropOldest)
            && (age.is_none() || is_looked_up() && too_old() <= given_up)
            && self.too_much(messages, bytes) <= given_up
            && self.groups.read().is_empty()
    }

    /// Up to here there are more messages, or bytes, than retention allows.
    fn too_much(&self, messages: Option<u64>, bytes: Option<u64>) -> Offset {
        let messages = messages.map(|messages| self.intake.lock().offset_of_last_messages(messages));
        let bytes = bytes.map(|bytes| self.intake.lock().offset_of_last(bytes));
        messages.max(bytes).unwrap_or_default()
    }

    /// The first offset that is younger than `age`; looked up only once another message can be older.
    async fn older_than(&self, age: u64, floor: Offset, visible: Offset) -> Result<Offset, QueueError> {
        let now = self.shared.clock.now();
        if self.age_due.load(Ordering::Relaxed) > now {
            // What was too old then, and could not be given up, still is.
            return Ok(floor.max(self.aged_to.load(Ordering::Relaxed)));
        }
        // What comes later is no older than now.
        let (mut to, mut due) = (floor, now.saturating_add(age));
        if floor < visible {
            let mut oldest = self.time_of_first(to).await?;
            if oldest.is_some_and(|time| time.saturating_add(age) <= now) {
                let found = self.shared.store.offset_at(self.id, now.saturating_sub(age)).await;
                to = found.map_err(|error| refusal::of_store(&self.name, error))?;
                oldest = self.time_of_first(to).await?;
            }
            due = oldest.map_or(due, |time| time.saturating_add(age));
        }
        // Unless it was set to something else meanwhile.
        let rest = self.rest.read();
        if rest.config.retention_ms == Some(age) {
            self.age_due.store(due.max(now + 1), Ordering::Relaxed);
            self.aged_to.store(to, Ordering::Relaxed);
        }
        Ok(to)
    }

    /// When the first message from an offset on was stored that can be read.
    async fn time_of_first(&self, mut from: Offset) -> Result<Option<u64>, QueueError> {
        loop {
            let page = self.shared.store.read(self.id, from, Limits { messages: 1, bytes: 1 }).await;
            let page = page.map_err(|error| refusal::of_store(&self.name, error))?;
            match page.messages.first() {
                Some(stored) => return Ok(Some(stored.timestamp)),
                None if page.next <= from => return Ok(None),
                // What is damaged is passed over: what is behind it has an age, too.
                None => from = page.next,
            }
        }
    }

    /// Where a topic that drops its oldest messages is to begin.
    fn overflow(&self, floor: Offset, config: &TopicConfig) -> Offset {
        // A little more than has to be, so that not every message makes room for itself alone.
        let limit = |of: Option<u64>| limit(of).map(|limit| limit - limit / 16);
        let intake = self.intake.lock();
        let (depth, depth_bytes) = self.depth(&intake, floor);
        let mut to = floor;
        if let Some(limit) = limit(config.max_depth_messages).filter(|limit| depth > *limit) {
            to = to.max(intake.offset_of_last_messages(limit));
        }
        if let Some(limit) = limit(config.max_depth_bytes).filter(|limit| depth_bytes > *limit) {
            to = to.max(intake.offset_of_last(limit));
        }
        to
    }

    /// Gives up what is below `to`; groups that have not settled it go on behind it.
    async fn trim(&self, floor: Offset, to: Offset) -> Result<Option<Receipt>, QueueError> {
        if to <= floor {
            return Ok(None);
        }
        for group in self.groups().iter().filter(|group| group.next() < to) {
            let removed = group.give_up(to);
            self.shared.meters.removed_unacked.increment(removed);
            group.flush().await?;
        }
        let mut ops = vec![Op::Trim { topic: self.id, to }];
        {
            let mut intake = self.intake.lock();
            ops.extend(intake.trim(self.id, to));
            intake.look_again();
        }
        self.begin_commit(ops).map(Some)
    }

    /// Removes all messages there are, whoever needs them; about how many.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn purge(&self) -> Result<u64, QueueError> {
        let unknown = || QueueError::UnknownTopic { topic: self.name.to_string() };
        let view = self.shared.store.topic(self.id).ok_or_else(unknown)?;
        for group in self.groups() {
            group.seek(view.head).await?;
        }
        let mut ops = vec![Op::Trim { topic: self.id, to: view.head }];
        {
            let mut intake = self.intake.lock();
            ops.extend(intake.trim(self.id, view.head));
            intake.look_again();
        }
        self.commit(ops).await?;
        Ok(view.head - view.floor)
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::{QueueMeters, recorder};
    use crate::mq::Queues;
    use crate::mq::queues::Limits;
    use crate::store::MemoryStore;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::sleep;
    use towline_service_api::builtin::{ConsumeOptions, Message, Start, TopicConfig};

    async fn queues() -> Arc<Queues> {
        let (store, meters) = (Arc::new(MemoryStore::new()), Arc::new(QueueMeters::new(&recorder())));
        let limits = Limits { volume: 1 << 30, intake: 1 << 20, ahead: 1 << 20 };
        Queues::open(store, meters, limits).await.expect("a store")
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_is_passed_over_while_nothing_is_too_much_or_too_old_and_it_has_no_group() {
        let queues = queues().await;
        let config = TopicConfig { retention_messages: Some(2), ..TopicConfig::default() };
        let topic = queues.create("orders", &config).await.expect("made");
        let publish = async || {
            let message = topic.read(Message::text("x")).expect("a message");
            topic.accept(vec![message], None).expect("taken").reached().await.expect("stored");
        };
        assert!(!topic.keeps_all(), "it was never looked at");
        let looked_at = || sleep(Duration::from_secs(3));
        looked_at().await;
        assert!(topic.keeps_all());
        for _ in 0..2 {
            publish().await;
        }
        assert!(topic.keeps_all(), "there is room for two");
        publish().await;
        assert!(!topic.keeps_all(), "one is too much");
        looked_at().await;
        assert_eq!((topic.status().floor, topic.keeps_all()), (1, true));
        topic.ensure_group("billing", &ConsumeOptions::default()).await.expect("made");
        assert!(!topic.keeps_all(), "its oldest message is looked at");
        topic.delete_group("billing").await.expect("deleted");
        assert!(topic.keeps_all());
        sleep(Duration::from_secs(72 * 3_600)).await;
        looked_at().await;
        assert_eq!((topic.status().floor, topic.keeps_all()), (3, true), "all were too old");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_too_old_while_a_group_needed_it_goes_once_none_does() {
        const MINUTE: Duration = Duration::from_secs(60);
        const AGE: u64 = 10 * 60 * 1000;
        let queues = queues().await;
        let topic = queues
            .create("orders", &TopicConfig { retention_ms: Some(AGE), ..TopicConfig::default() })
            .await
            .expect("made");
        let options = ConsumeOptions { start: Some(Start::Earliest), ..ConsumeOptions::default() };
        topic.ensure_group("billing", &options).await.expect("made");
        let publish = async || {
            let message = topic.read(Message::text("x")).expect("a message");
            topic.accept(vec![message], None).expect("taken").reached().await.expect("stored");
        };
        publish().await;
        sleep(9 * MINUTE).await;
        publish().await;
        sleep(2 * MINUTE).await;
        assert_eq!(topic.status().floor, 0, "the group needs it");
        topic.delete_group("billing").await.expect("deleted");
        sleep(Duration::from_secs(3)).await;
        assert_eq!(topic.status().floor, 1, "the other one is young");
        sleep(9 * MINUTE).await;
        assert_eq!(topic.status().floor, 2);
    }
}
