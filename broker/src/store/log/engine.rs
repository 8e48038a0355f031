//! The engine as others see it: a [`Store`] on its own threads.

use super::certainty::Certainty;
use super::core::{Core, Counts, Settings, Signal};
use super::disk::Disk;
use super::disk::real::RealDisk;
use super::front::Front;
use super::fsck::FolderError;
use super::keeper::{FILLED, Keeper, is_full};
use super::recover::{self, Opened};
use super::sealed::Directories;
use super::survey::Survey;
use super::threads::Threads;
use crate::store::{
    Batch, Durability, GroupId, GroupView, Limits, Offset, Op, Page, Stats, Store, StoreError, Ticket, Tickets,
    TopicId, TopicView,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A folder that cannot be read is tried so often again: what could not be read is never taken for what is not there.
const TRIES: u32 = 2;

/// The embedded engine.
#[derive(Debug)]
pub struct Log {
    core: Arc<Core>,
    threads: Threads,
}

impl Log {
    /// Opens a data folder, recovers it, and starts the threads that write, sync and keep it.
    pub(crate) fn open(disk: Arc<dyn Disk>, settings: Settings) -> io::Result<Self> {
        let mut tries = 0..TRIES;
        let core = loop {
            match Core::open(disk.clone(), settings.clone()) {
                Err(error) if tries.next().is_some() && error.kind() != io::ErrorKind::Unsupported => {
                    tracing::warn!(%error, "the data folder could not be opened, it is tried again");
                }
                opened => break Arc::new(opened?),
            }
        };
        let threads = Threads::start(&core);
        Ok(Self { core, threads })
    }

    /// Opens a data folder of the system's, and makes it if it is missing: see [`Log`].
    ///
    /// # Errors
    /// Another process has it, the system refuses, or it was written by another version.
    pub fn open_folder(folder: &Path, settings: Settings) -> Result<Self, FolderError> {
        let disk = RealDisk::open(folder)?;
        let needed = settings.segment >> 20;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => FolderError::Full { folder: folder.to_owned(), needed },
            _ => FolderError::Disk { folder: folder.to_owned(), error },
        };
        Self::open(Arc::new(disk), settings).map_err(failed)
    }
}

impl Core {
    /// Surveys a folder, writes what a recovery has to, and is ready to take batches. Nothing runs by itself yet.
    ///
    /// # Errors
    /// What the disk says, if not even a look at the folder is possible: of that nothing is known then, and nothing changed.
    pub(crate) fn open(disk: Arc<dyn Disk>, settings: Settings) -> io::Result<Self> {
        let directories = Arc::new(Directories::new(settings.directories));
        let survey = Survey::of(&*disk, &directories)?;
        let mut seeds = fastrand::Rng::with_seed(settings.seed);
        let opened = recover::recover(&*disk, survey, &settings, &mut seeds)?;
        let Opened { survey, catalog, writer, synced } = opened;
        let keeper = Keeper::new(survey.snapshots.clone(), survey.spares.clone());
        match recover::clean(&*disk, &survey) {
            Err(error) if is_full(&error) => tracing::warn!(%error, "the data folder could not be cleaned"),
            cleaned => cleaned?,
        }
        let counts = Counts::default();
        counts.cut.store(survey.cut_bytes(), Ordering::Relaxed);
        counts.damaged.store(survey.damage_count(), Ordering::Relaxed);
        let front = Front::new(survey.state, survey.sealed.keys().copied().collect(), settings.group_max);
        Ok(Self {
            front: Mutex::new(front),
            writer: Mutex::new(writer),
            catalog: Mutex::new(catalog),
            certainty: Mutex::new(Certainty::new(synced)),
            keeper: Mutex::new(keeper),
            ranges: Mutex::default(),
            next: Mutex::new(None),
            counts,
            answers: Mutex::default(),
            to_write: Signal::default(),
            to_sync: Signal::default(),
            to_keep: Signal::default(),
            sealed: Signal::default(),
            is_poisoned: AtomicBool::new(false),
            unread: Mutex::default(),
            uptime: AtomicU64::new(0),
            sealable: AtomicU64::new(0),
            awaited: AtomicU64::new(FILLED),
            changed: AtomicU64::new(0),
            ids: AtomicU64::new(survey.next_id),
            seeds: Mutex::new(seeds),
            directories,
            disk,
            settings,
        })
    }

    pub(crate) fn view(&self, topic: TopicId) -> Option<TopicView> {
        let mut view = self.front.lock().state.view(topic)?;
        view.visible = self.catalog.lock().shown(topic).max(view.floor).min(view.head);
        Some(view)
    }

    pub(crate) fn stats(&self) -> Stats {
        let (topics, is_full) = {
            let front = self.front.lock();
            (front.state.len(), front.full.is_some())
        };
        let files = self.disk.list().unwrap_or_default();
        Stats {
            topics,
            disk_bytes: files.iter().map(|(_, len)| len).sum(),
            free_bytes: self.disk.free_space().unwrap_or_default(),
            groups_written: self.counts.groups.load(Ordering::Relaxed),
            messages_written: self.counts.messages.load(Ordering::Relaxed),
            syncs: self.counts.syncs.load(Ordering::Relaxed),
            damaged: self.counts.damaged.load(Ordering::Relaxed),
            cut_bytes: self.counts.cut.load(Ordering::Relaxed),
            is_poisoned: self.is_poisoned(),
            is_full,
        }
    }
}

impl Store for Log {
    fn append(&self, batch: Batch, durability: Durability) -> Result<Ticket, StoreError> {
        self.core.append(&batch, durability)
    }

    fn append_each(&self, ops: &[Op], now: u64, durability: Durability) -> Tickets {
        self.core.append_each(ops, now, durability)
    }

    fn commit(&self) {
        self.core.commit();
    }

    fn read(&self, topic: TopicId, from: Offset, limits: Limits) -> BoxFuture<'_, Result<Page, StoreError>> {
        if let Some(page) = self.core.read_recent(topic, from, limits) {
            return std::future::ready(Ok(page)).boxed();
        }
        self.on_a_thread(move |core| core.read(topic, from, limits))
    }

    fn offset_at(&self, topic: TopicId, time: u64) -> BoxFuture<'_, Result<Offset, StoreError>> {
        self.on_a_thread(move |core| core.offset_at(topic, time))
    }

    fn topic(&self, topic: TopicId) -> Option<TopicView> {
        self.core.view(topic)
    }

    fn group(&self, topic: TopicId, group: GroupId) -> Option<GroupView> {
        self.core.front.lock().state.group(topic, group)
    }

    fn topics(&self) -> Vec<TopicId> {
        self.core.front.lock().state.topics()
    }

    fn entry(&self, topic: TopicId, key: &[u8]) -> Option<bytes::Bytes> {
        self.core.front.lock().state.entry(topic, key)
    }

    fn entries(&self, topic: TopicId, prefix: &[u8]) -> Vec<(bytes::Bytes, bytes::Bytes)> {
        self.core.front.lock().state.entries(topic, prefix)
    }

    fn fresh_id(&self) -> u64 {
        self.core.front.lock().state.fresh_id()
    }

    fn stats(&self) -> Stats {
        self.core.stats()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let last = self.core.close();
        async move {
            if let Some(last) = last {
                // What it says has been told already.
                let _ = last.await;
            }
            self.threads.stop(&self.core);
            self.core.disk.release();
        }
        .boxed()
    }
}

impl Log {
    /// Reads that may wait for the disk go to a thread that may wait.
    fn on_a_thread<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Core) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let core = self.core.clone();
        let read = tokio::task::spawn_blocking(move || read(&core));
        async move { read.await.unwrap_or_else(|error| Err(StoreError::Unreadable(error.to_string()))) }.boxed()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.threads.stop(&self.core);
    }
}
