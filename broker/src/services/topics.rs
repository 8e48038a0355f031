//! `towline.Topics`, over the topics of this broker.

use super::queue::ANSWER;
use crate::mq::{Content, Folder, Topic};
use crate::store::Limits;
use std::sync::Arc;
use towline_service_api::builtin::{
    ConsumeOptions, Delivery, GroupStatus, Purged, QueueError, Redriven, Start, TopicConfig, TopicStatus, Topics,
};

const MOST: u32 = 10_000;

/// See the module.
pub(super) struct Administration {
    folder: Arc<Folder>,
}

impl Administration {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self { folder }
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        self.queues(name)?.topic(name)
    }

    fn queues(&self, topic: &str) -> Result<&Arc<crate::mq::Queues>, QueueError> {
        self.folder.queues_for(topic)
    }
}

impl Topics for Administration {
    async fn create(&self, topic: String, config: Option<TopicConfig>) -> Result<TopicStatus, QueueError> {
        let created = self.folder.made().await?.create(&topic, &config.unwrap_or_default()).await?;
        Ok(created.status())
    }

    async fn alter(&self, topic: String, config: TopicConfig) -> Result<TopicStatus, QueueError> {
        Ok(self.queues(&topic)?.alter(&topic, &config).await?.status())
    }

    async fn get(&self, topic: String) -> Result<TopicStatus, QueueError> {
        Ok(self.topic(&topic)?.status())
    }

    async fn list(&self, prefix: Option<String>) -> Result<Vec<TopicStatus>, QueueError> {
        let Some(queues) = self.folder.queues() else { return Ok(Vec::new()) };
        let prefix = prefix.unwrap_or_default();
        let is_theirs = |topic: &&Arc<Topic>| !topic.is_the_brokers();
        Ok(queues.list(&prefix).iter().filter(is_theirs).map(|topic| topic.status()).collect())
    }

    async fn pause(&self, topic: String) -> Result<(), QueueError> {
        self.queues(&topic)?.pause(&topic, true).await
    }

    async fn resume(&self, topic: String) -> Result<(), QueueError> {
        self.queues(&topic)?.pause(&topic, false).await
    }

    async fn purge(&self, topic: String) -> Result<Purged, QueueError> {
        let removed = self.topic(&topic)?.purge().await?;
        tracing::info!(topic, removed, "a topic was purged");
        Ok(Purged { removed })
    }

    async fn delete(&self, topic: String, confirm: String) -> Result<(), QueueError> {
        if topic != confirm {
            let (what, rule) = ("confirm".to_owned(), format!("the topic's name again: {topic}"));
            return Err(QueueError::InvalidName { what, name: confirm, rule });
        }
        self.queues(&topic)?.delete(&topic).await?;
        tracing::info!(topic, "a topic was deleted");
        Ok(())
    }

    async fn groups(&self, topic: String) -> Result<Vec<GroupStatus>, QueueError> {
        let topic = self.topic(&topic)?;
        let mut all = Vec::new();
        for group in topic.groups() {
            all.push(topic.group_status(&group).await?);
        }
        Ok(all)
    }

    async fn group(&self, topic: String, group: String) -> Result<GroupStatus, QueueError> {
        let topic = self.topic(&topic)?;
        let group = topic.group(&group)?;
        topic.group_status(&group).await
    }

    async fn create_group(
        &self,
        topic: String,
        group: String,
        options: Option<ConsumeOptions>,
    ) -> Result<GroupStatus, QueueError> {
        let topic = self.topic(&topic)?;
        let group = topic.ensure_group(&group, &options.unwrap_or_default()).await?;
        topic.group_status(&group).await
    }

    async fn alter_group(
        &self,
        topic: String,
        group: String,
        options: ConsumeOptions,
    ) -> Result<GroupStatus, QueueError> {
        let topic = self.topic(&topic)?;
        let group = topic.alter_group(&group, &options).await?;
        topic.group_status(&group).await
    }

    async fn seek(&self, topic: String, group: String, to: Start) -> Result<GroupStatus, QueueError> {
        let topic = self.topic(&topic)?;
        let group = topic.seek(&group, &to).await?;
        topic.group_status(&group).await
    }

    async fn delete_group(&self, topic: String, group: String) -> Result<(), QueueError> {
        self.topic(&topic)?.delete_group(&group).await?;
        tracing::info!(topic, group, "a group was deleted");
        Ok(())
    }

    async fn peek(&self, topic: String, from: Option<u64>, max: Option<u32>) -> Result<Vec<Delivery>, QueueError> {
        let topic = self.topic(&topic)?;
        let most = max.unwrap_or(ANSWER.0).clamp(1, MOST) as usize;
        let page = topic.read_page(from.unwrap_or(0), Limits { messages: most, bytes: ANSWER.1 }).await?;
        let show = |stored: &crate::store::Stored| {
            Content::delivery(&stored.content, &topic.name, stored.offset, stored.timestamp)
        };
        Ok(page.messages.iter().map(show).collect())
    }

    async fn dead_letters(
        &self,
        topic: String,
        group: String,
        from: Option<u64>,
        max: Option<u32>,
    ) -> Result<Vec<Delivery>, QueueError> {
        let most = max.unwrap_or(ANSWER.0).clamp(1, MOST) as usize;
        self.queues(&topic)?.dead(&topic, &group, from.unwrap_or(0), most, ANSWER.1).await
    }

    async fn redrive(
        &self,
        topic: String,
        group: String,
        offsets: Option<Vec<u64>>,
        rate_per_second: Option<u32>,
    ) -> Result<Redriven, QueueError> {
        let moved = self.queues(&topic)?.redrive(&topic, &group, offsets, rate_per_second).await?;
        Ok(Redriven { moved })
    }
}
