//! All topics, by name.

use super::by_name::ByName;
use super::dispatcher::Dispatcher;
use super::settings::{self, TopicRest};
use super::shared::Shared;
use super::topic::{Topic, to_settings};
use super::{names, refusal};
use crate::metrics::QueueMeters;
use crate::store::{Batch, Durability, Op, Store, TopicId};
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use towline_service_api::builtin::{Durability as Level, QueueError, TopicConfig};

/// The broker's own entry that says that the last stop was a clean one.
const CLEAN: &[u8] = b"mq/clean";
/// How often topics are looked at for what they need not keep.
const LOOK: Duration = Duration::from_secs(1);
/// How often longer dead letters are kept than messages.
const DEAD_LETTERS_KEPT: u64 = 7;

/// Gaps that are recorded at once.
const GAPS: usize = 1_000;

/// What bounds all topics together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the volume the data is on.
    pub volume: u64,
    /// Bytes received and not yet confirmed.
    pub intake: usize,
    /// Bytes read ahead for consumers.
    pub ahead: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(super) shared: Arc<Shared>,
    topics: RwLock<ByName>,
    /// One at a time creates and deletes.
    changing: tokio::sync::Mutex<()>,
    limits: Limits,
    is_closed: AtomicBool,
}

impl Queues {
    /// What a store holds.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        meters: Arc<QueueMeters>,
        limits: Limits,
    ) -> Result<Arc<Self>, QueueError> {
        let is_clean = store.entry(TopicId::BROKER, CLEAN).is_some();
        let mut suspects = HashMap::new();
        for id in store.topics() {
            if let Some(view) = store.topic(id).filter(|_| !is_clean) {
                suspects.insert(id, view.head);
            }
        }
        let shared = Shared::new(store, meters, suspects, limits);
        if is_clean {
            let op = Op::Remove { topic: TopicId::BROKER, key: Bytes::from_static(CLEAN) };
            let batch = Batch { ops: vec![op], now: shared.clock.now() };
            let refused = |error| refusal::of_store("", error);
            let ticket = shared.store.append(batch, Durability::Disk).map_err(refused)?;
            ticket.receipt.await.map_err(refused)?;
        }
        let mut topics = ByName::default();
        for id in shared.store.topics() {
            let settings = shared.store.topic(id).and_then(|view| view.settings);
            let settings = settings.unwrap_or_else(|| to_settings(&format!("lost-{}", id.0), &TopicRest::default()));
            let topic = Topic::open(&shared, id, &settings);
            topics.insert(topic);
        }
        if !is_clean {
            find_gaps(&shared, topics.iter()).await?;
        }
        let topics = RwLock::new(topics);
        let queues =
            Self { shared, topics, changing: tokio::sync::Mutex::default(), limits, is_closed: AtomicBool::new(false) };
        let queues = Arc::new(queues);
        queues.shared.belongs_to(Arc::downgrade(&queues));
        for waiting in queues.list(&format!("{}scheduled.", names::RESERVED)) {
            let of = waiting.rest().scheduled_of;
            let topic = queues.all().into_iter().find(|topic| Some(topic.id.0) == of);
            if let Some(topic) = topic {
                queues.schedule_of(&topic).await?;
            }
        }
        tokio::spawn(keep(Arc::downgrade(&queues)));
        Ok(queues)
    }

    /// One topic.
    ///
    /// # Errors
    /// `unknown-topic`.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        let unknown = || QueueError::UnknownTopic { topic: name.to_owned() };
        self.topics.read().get(name).cloned().ok_or_else(unknown)
    }

    /// Topics in the order of their names, up to one that is not there.
    pub(crate) fn topics<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<Topic>> {
        let all = self.topics.read();
        let found = all.get_all(names);
        found.into_iter().cloned().collect()
    }

    /// Topics whose names start so, by name.
    pub(crate) fn list(&self, prefix: &str) -> Vec<Arc<Topic>> {
        let mut topics = self.all();
        topics.retain(|topic| topic.name.starts_with(prefix));
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    /// Every topic, in no order.
    fn all(&self) -> Vec<Arc<Topic>> {
        self.topics.read().iter().cloned().collect()
    }

    /// Creates a topic, unless it is there.
    ///
    /// # Errors
    /// `topic-exists` with another configuration, `invalid-name`, or what the store says.
    pub(crate) async fn create(&self, name: &str, config: &TopicConfig) -> Result<Arc<Topic>, QueueError> {
        names::check_topic(name)?;
        if let Some(why) = settings::topic_objection(config) {
            return Err(refusal::invalid_options(why));
        }
        let _one = self.changing.lock().await;
        if let Ok(topic) = self.topic(name) {
            return match settings::topic_differs(config, &topic.config()) {
                None => Ok(topic),
                Some(differs) => Err(QueueError::TopicExists { topic: name.to_owned(), differs: differs.to_owned() }),
            };
        }
        let config = settings::filled(config, self.limits.volume);
        self.make(name, TopicRest { config, ..TopicRest::default() }).await
    }

    /// Creates a topic that is not there.
    pub(super) async fn make(&self, name: &str, rest: TopicRest) -> Result<Arc<Topic>, QueueError> {
        let id = TopicId(self.shared.store.fresh_id());
        let settings = to_settings(name, &rest);
        let refused = |error| refusal::of_store(name, error);
        let op = Op::PutTopic { topic: id, settings: settings.clone() };
        let batch = Batch { ops: vec![op], now: self.shared.clock.now() };
        self.shared.store.append(batch, Durability::Disk).map_err(refused)?.receipt.await.map_err(refused)?;
        let topic = Topic::open(&self.shared, id, &settings);
        self.topics.write().insert(topic.clone());
        Ok(topic)
    }

    /// A topic of the broker's own, made by `rest` if it is not there.
    pub(super) async fn ensure(&self, name: &str, rest: impl FnOnce() -> TopicRest) -> Result<Arc<Topic>, QueueError> {
        if let Ok(topic) = self.topic(name) {
            return Ok(topic);
        }
        let _one = self.changing.lock().await;
        if let Ok(topic) = self.topic(name) {
            return Ok(topic);
        }
        self.make(name, rest()).await
    }

    /// Where the dead letters of a group go.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn dead_letters(&self, topic: &str, group: &str) -> Result<Arc<Topic>, QueueError> {
        let config = self.topic(topic)?.config();
        let rest = || {
            let config = TopicConfig {
                retention_ms: config.retention_ms.map(|age| age.saturating_mul(DEAD_LETTERS_KEPT)),
                durability: Some(config.durability.unwrap_or_default().max(Level::Os)),
                keep_until_acked: Some(false),
                ..settings::filled(&TopicConfig::default(), 0)
            };
            TopicRest { config, ..TopicRest::default() }
        };
        self.ensure(&names::dead_letter(topic, group), rest).await
    }

    /// Changes what is given of a topic's configuration.
    ///
    /// # Errors
    /// `unknown-topic`, `topic-exists` if durability is to change, or what the store says.
    pub(crate) async fn alter(&self, name: &str, config: &TopicConfig) -> Result<Arc<Topic>, QueueError> {
        if let Some(why) = settings::topic_objection(config) {
            return Err(refusal::invalid_options(why));
        }
        let _one = self.changing.lock().await;
        let topic = self.topic(name)?;
        let rest = topic.rest();
        if config.durability.is_some() && config.durability != rest.config.durability {
            return Err(QueueError::TopicExists { topic: name.to_owned(), differs: "durability".to_owned() });
        }
        topic.set(TopicRest { config: settings::over(config, &rest.config), ..rest }).await?;
        Ok(topic)
    }

    /// Stops or resumes publishing to a topic.
    ///
    /// # Errors
    /// `unknown-topic`, or what the store says.
    pub(crate) async fn pause(&self, name: &str, paused: bool) -> Result<(), QueueError> {
        let _one = self.changing.lock().await;
        let topic = self.topic(name)?;
        let rest = topic.rest();
        topic.set(TopicRest { paused, ..rest }).await
    }

    /// Removes a topic with all it has.
    ///
    /// # Errors
    /// `unknown-topic`, or what the store says.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), QueueError> {
        let _one = self.changing.lock().await;
        let topic = self.topic(name)?;
        self.topics.write().remove(name);
        topic.end();
        let mut ops = vec![Op::DeleteTopic(topic.id)];
        if let Some(scheduled) = self.topics.write().remove(&super::schedule::name_of(topic.id)) {
            scheduled.end();
            ops.push(Op::DeleteTopic(scheduled.id));
        }
        topic.commit(ops).await
    }

    /// Hands nothing over any more: members end well, and may settle what they have.
    pub(crate) fn finish(&self) {
        self.all().iter().flat_map(|topic| topic.groups()).for_each(|group| group.finish());
    }

    /// Records everything, so that the next start knows exactly what was handed over, and closes the store.
    pub(crate) async fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let closed = || QueueError::Rpc(towline_service_api::RpcError::canceled("this broker is shutting down"));
        let topics = self.all();
        let groups: Vec<Arc<Dispatcher>> = topics.iter().flat_map(|topic| topic.groups()).collect();
        topics.iter().for_each(|topic| topic.end_schedule());
        groups.iter().for_each(|group| group.end(closed()));
        let mut is_clean = true;
        for group in &groups {
            is_clean &= group.flush().await.is_ok();
        }
        if is_clean {
            let op = Op::Put { topic: TopicId::BROKER, key: CLEAN.into(), value: Bytes::new() };
            let batch = Batch { ops: vec![op], now: self.shared.clock.now() };
            if let Ok(ticket) = self.shared.store.append(batch, Durability::Disk) {
                let _ = ticket.receipt.await;
            }
        }
        self.shared.store.close().await;
    }
}

/// Looks in every topic for what a recovery has left out, and records all of it at once.
async fn find_gaps(shared: &Shared, topics: impl Iterator<Item = &Arc<Topic>>) -> Result<(), QueueError> {
    let mut ops = Vec::new();
    for topic in topics {
        match topic.find_gap().await {
            Ok(op) => ops.extend(op),
            // Until the next start its depth counts more than there is.
            Err(error) => tracing::warn!(topic = &*topic.name, %error, "what a recovery left out is not known"),
        }
    }
    for ops in ops.chunks(GAPS) {
        let batch = Batch { ops: ops.to_vec(), now: shared.clock.now() };
        let refused = |error| refusal::of_store("", error);
        shared.store.append(batch, Durability::Disk).map_err(refused)?.receipt.await.map_err(refused)?;
    }
    Ok(())
}

/// Lets topics give up what they need not keep, until nobody uses them any more.
async fn keep(queues: std::sync::Weak<Queues>) {
    loop {
        let Some(all) = queues.upgrade().filter(|all| !all.is_closed.load(Ordering::SeqCst)) else { return };
        let shared = all.shared.clone();
        // One sync is for all of them.
        let mut given_up = Vec::new();
        for topic in all.all() {
            match topic.keep().await {
                Ok(receipt) => given_up.extend(receipt),
                Err(error) => {
                    tracing::debug!(topic = &*topic.name, %error, "what a topic need not keep is not given up yet");
                }
            }
        }
        drop(all);
        for receipt in given_up {
            if let Err(error) = receipt.await {
                tracing::debug!(%error, "what topics need not keep is perhaps not given up");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shared.is_crowded.notified() => {}
        }
    }
}
