//! The data folder: opened at the start if there is something in it, else when the first topic is created.
//!
//! A broker that only relays makes no files.

use super::names;
use super::queues::Limits;
use super::{Queues, Topic};
use crate::config::Data;
use crate::metrics::QueueMeters;
use crate::store::{Log, LogSettings, Stats, Store};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use towline_service_api::builtin::QueueError;

/// Of the broker's budget this part may be read ahead for consumers.
const AHEAD_PART: usize = 8;

/// Where the topics of a broker are.
#[derive(Debug)]
pub(crate) struct Folder {
    config: Data,
    /// Bytes that are read ahead for consumers.
    ahead: usize,
    meters: Arc<QueueMeters>,
    /// Where topics do what they do by themselves.
    runtime: Handle,
    queues: OnceCell<Arc<Queues>>,
}

/// The data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotOpened(String);

impl Folder {
    /// `budget`: what the broker may hold for others, of which some may be read ahead for consumers.
    pub(crate) fn new(config: &Data, budget: usize, meters: Arc<QueueMeters>, runtime: Handle) -> Self {
        Self { config: config.clone(), ahead: budget / AHEAD_PART, meters, runtime, queues: OnceCell::new() }
    }

    /// Opens it, if it is there.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub(crate) async fn open_existing(&self) -> Result<(), NotOpened> {
        let is_there = std::fs::read_dir(&self.config.directory).is_ok_and(|mut files| files.next().is_some());
        if is_there {
            self.open().await?;
        }
        Ok(())
    }

    async fn open(&self) -> Result<&Arc<Queues>, NotOpened> {
        let (config, ahead, meters) = (self.config.clone(), self.ahead, self.meters.clone());
        let open = async move {
            let path = config.directory.clone();
            let settings = LogSettings { watermark: config.keep_free as u64, ..LogSettings::default() };
            let opened = tokio::task::spawn_blocking(move || Log::open_folder(&path, settings)).await;
            let log = opened.map_err(|e| NotOpened(e.to_string()))?.map_err(|e| NotOpened(e.to_string()))?;
            let limits = Limits { volume: volume(&config.directory), intake: config.publish_budget, ahead };
            let queues = Queues::open(Arc::new(log) as Arc<dyn Store>, meters, limits);
            queues.await.map_err(|error| NotOpened(error.to_string()))
        };
        let open = async { self.runtime.spawn(open).await.map_err(|e| NotOpened(e.to_string()))? };
        self.queues.get_or_try_init(|| open).await
    }

    pub(crate) fn meters(&self) -> &QueueMeters {
        &self.meters
    }

    /// Appends the series of topics and groups, for whoever scrapes.
    pub(crate) fn render(&self, out: &mut String) {
        if let Some(queues) = self.queues.get() {
            queues.render(out);
        }
    }

    /// How many topics there are, and how the store is.
    pub(crate) fn stats(&self) -> Option<(usize, Stats)> {
        let queues = self.queues.get()?;
        Some((queues.list("").len(), queues.shared.store.stats()))
    }

    /// The topics, if there are any.
    pub(crate) fn queues(&self) -> Option<&Arc<Queues>> {
        self.queues.get()
    }

    /// A topic that is not the broker's own.
    ///
    /// # Errors
    /// `unknown-topic`, `forbidden`.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        self.queues_for(name)?.topic(name)
    }

    /// Such topics in the order of their names, up to one that is refused.
    pub(crate) fn topics<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<Topic>> {
        let theirs = names.take_while(|name| names::check_is_theirs(name).is_ok());
        self.queues.get().map_or_else(Vec::new, |queues| queues.topics(theirs))
    }

    /// The topics, for whoever names one of them that is not the broker's own.
    ///
    /// # Errors
    /// `unknown-topic`, `forbidden`.
    pub(crate) fn queues_for(&self, topic: &str) -> Result<&Arc<Queues>, QueueError> {
        names::check_is_theirs(topic)?;
        self.queues.get().ok_or_else(|| QueueError::UnknownTopic { topic: topic.to_owned() })
    }

    /// The topics, in a folder that is made if it is not there.
    ///
    /// # Errors
    /// `store-failed`.
    pub(crate) async fn made(&self) -> Result<&Arc<Queues>, QueueError> {
        self.open().await.map_err(|error| QueueError::StoreFailed { why: error.to_string() })
    }

    /// Hands nothing over any more.
    pub(crate) fn finish(&self) {
        if let Some(queues) = self.queues.get() {
            queues.finish();
        }
    }

    /// Records everything and closes the store.
    pub(crate) async fn close(&self) {
        if let Some(queues) = self.queues.get() {
            queues.close().await;
        }
    }
}

/// Bytes of the volume that a folder is on, or a terabyte if the system does not say.
fn volume(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(1 << 40, |volume| volume.f_blocks.saturating_mul(volume.f_frsize))
}
