//! What a topic says of each message that is published: read for every one of them without a lock, and side by side in
//! memory, where the rest of its configuration takes several lines of the cache.

use crate::mq::settings::TopicRest;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use towline_service_api::builtin::Durability;

/// See the module. Follows [`TopicRest`].
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Bytes a message has at most; no frame holds as many as this can say.
    max_bytes: AtomicU32,
    /// Milliseconds it lives if it does not say; 0: for ever.
    ttl: AtomicU64,
    /// Bytes by which depth or retention are limited; 0: by none.
    kept_bytes: AtomicU64,
    durability: AtomicU8,
    is_paused: AtomicBool,
    is_deleted: AtomicBool,
}

impl Rules {
    pub(super) fn new(rest: &TopicRest) -> Self {
        let rules = Self::default();
        rules.set(rest);
        rules
    }

    pub(super) fn set(&self, rest: &TopicRest) {
        let config = &rest.config;
        let kept = config.max_depth_bytes.unwrap_or_default().max(config.retention_bytes.unwrap_or_default());
        let level = match config.durability.unwrap_or_default() {
            Durability::Memory => 0,
            Durability::Os => 1,
            Durability::Disk => 2,
        };
        let max_bytes = config.max_message_bytes.and_then(|max| max.try_into().ok());
        self.max_bytes.store(max_bytes.unwrap_or(u32::MAX), Ordering::Relaxed);
        self.ttl.store(config.ttl_ms.unwrap_or_default(), Ordering::Relaxed);
        self.kept_bytes.store(kept, Ordering::Relaxed);
        self.durability.store(level, Ordering::Relaxed);
        self.is_paused.store(rest.paused, Ordering::Relaxed);
    }

    /// Bytes of a message at most.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed).into()
    }

    /// Milliseconds a message lives that does not say.
    pub(super) fn ttl(&self) -> Option<u64> {
        Some(self.ttl.load(Ordering::Relaxed)).filter(|ttl| *ttl > 0)
    }

    /// Bytes by which depth or retention are limited; 0: by none.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn durability(&self) -> Durability {
        match self.durability.load(Ordering::Relaxed) {
            0 => Durability::Memory,
            1 => Durability::Os,
            _ => Durability::Disk,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    /// The topic is gone.
    pub(super) fn end(&self) {
        self.is_deleted.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::SeqCst)
    }
}
