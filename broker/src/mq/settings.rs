//! What topics and groups are set to: with every default filled in, as it is stored, and where two differ.

use super::group::Rules;
use crate::store;
use serde::{Deserialize, Serialize};
use towline_service_api::builtin::{ConsumeOptions, Durability, GroupMode, OnFull, TopicConfig};

const HOUR: u64 = 60 * 60 * 1000;
const MIB: u64 = 1 << 20;

/// Limits of what may be asked for.
const MESSAGE_MAX: u64 = 8 * MIB;
const ATTEMPTS_MAX: u32 = 1_000;
const IN_FLIGHT_MAX: u32 = 65_536;
const HOLES: usize = 100_000;

/// A topic's settings in the store's `rest`, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TopicRest {
    pub config: TopicConfig,
    pub paused: bool,
    /// Of a topic of the broker's own: whose scheduled messages it holds.
    pub scheduled_of: Option<u64>,
}

/// A group's settings in the store, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GroupRest {
    pub name: String,
    pub options: ConsumeOptions,
}

/// A limit that is one: 0 is none.
pub(crate) fn limit(limit: Option<u64>) -> Option<u64> {
    limit.filter(|limit| *limit > 0)
}

/// A configuration with every field set.
pub(crate) fn filled(config: &TopicConfig, disk: u64) -> TopicConfig {
    TopicConfig {
        durability: config.durability.or(Some(Durability::Disk)),
        retention_ms: config.retention_ms.or(Some(72 * HOUR)),
        retention_bytes: config.retention_bytes.or(Some(0)),
        retention_messages: config.retention_messages.or(Some(0)),
        keep_until_acked: config.keep_until_acked.or(Some(true)),
        max_depth_messages: config.max_depth_messages.or(Some(0)),
        max_depth_bytes: config.max_depth_bytes.or(Some(disk / 10)),
        on_full: config.on_full.or(Some(OnFull::Reject)),
        max_message_bytes: config.max_message_bytes.or(Some(4 * MIB)),
        ttl_ms: config.ttl_ms.or(Some(0)),
        dedup_window_ms: config.dedup_window_ms.or(Some(2 * 60 * 1000)),
    }
}

/// `config`, and where it says nothing, `other`.
pub(crate) fn over(config: &TopicConfig, other: &TopicConfig) -> TopicConfig {
    TopicConfig {
        durability: config.durability.or(other.durability),
        retention_ms: config.retention_ms.or(other.retention_ms),
        retention_bytes: config.retention_bytes.or(other.retention_bytes),
        retention_messages: config.retention_messages.or(other.retention_messages),
        keep_until_acked: config.keep_until_acked.or(other.keep_until_acked),
        max_depth_messages: config.max_depth_messages.or(other.max_depth_messages),
        max_depth_bytes: config.max_depth_bytes.or(other.max_depth_bytes),
        on_full: config.on_full.or(other.on_full),
        max_message_bytes: config.max_message_bytes.or(other.max_message_bytes),
        ttl_ms: config.ttl_ms.or(other.ttl_ms),
        dedup_window_ms: config.dedup_window_ms.or(other.dedup_window_ms),
    }
}

/// The first field of `asked` that `there` has another value of.
pub(crate) fn topic_differs(asked: &TopicConfig, there: &TopicConfig) -> Option<&'static str> {
    macro_rules! first {
        ($($field:ident $name:literal),*) => {
            $(if asked.$field.is_some() && asked.$field != there.$field { return Some($name) })*
        };
    }
    first!(durability "durability", retention_ms "retentionMs", retention_bytes "retentionBytes",
        retention_messages "retentionMessages", keep_until_acked "keepUntilAcked",
        max_depth_messages "maxDepthMessages", max_depth_bytes "maxDepthBytes", on_full "onFull",
        max_message_bytes "maxMessageBytes", ttl_ms "ttlMs", dedup_window_ms "dedupWindowMs");
    None
}

/// Why a configuration cannot be; nothing if it can.
pub(crate) fn topic_objection(config: &TopicConfig) -> Option<String> {
    if config.on_full == Some(OnFull::Wait) {
        return Some("onFull of a topic is reject or dropOldest; wait is of publishMany".to_owned());
    }
    match config.max_message_bytes {
        Some(bytes) if !(1..=MESSAGE_MAX).contains(&bytes) => Some(format!("maxMessageBytes is 1 to {MESSAGE_MAX}")),
        _ => None,
    }
}

/// What a group's options are if it has `options`, every field set that has a default.
pub(crate) fn group_filled(options: &ConsumeOptions) -> ConsumeOptions {
    ConsumeOptions {
        mode: options.mode.or(Some(GroupMode::Shared)),
        start: options.start.clone(),
        filter: options.filter.clone(),
        ack_deadline_ms: options.ack_deadline_ms.or(Some(30_000)),
        max_in_flight: options.max_in_flight.or(Some(256)),
        max_attempts: options.max_attempts.or(Some(16)),
        cursor: None,
        wait: None,
        ack: None,
    }
}

/// The first option that is asked for and that the group has another value of.
pub(crate) fn group_differs(asked: &ConsumeOptions, there: &ConsumeOptions) -> Option<&'static str> {
    macro_rules! first {
        ($($field:ident $name:literal),*) => {
            $(if asked.$field.is_some() && asked.$field != there.$field { return Some($name) })*
        };
    }
    first!(mode "mode", filter "filter", ack_deadline_ms "ackDeadlineMs", max_in_flight "maxInFlight",
        max_attempts "maxAttempts");
    None
}

/// `asked`, and where it says nothing, `there`.
pub(crate) fn group_over(asked: &ConsumeOptions, there: &ConsumeOptions) -> ConsumeOptions {
    ConsumeOptions {
        mode: there.mode,
        start: there.start.clone(),
        filter: asked.filter.clone().or_else(|| there.filter.clone()),
        ack_deadline_ms: asked.ack_deadline_ms.or(there.ack_deadline_ms),
        max_in_flight: asked.max_in_flight.or(there.max_in_flight),
        max_attempts: asked.max_attempts.or(there.max_attempts),
        cursor: None,
        wait: None,
        ack: None,
    }
}

/// Why options cannot be; nothing if they can.
pub(crate) fn group_objection(options: &ConsumeOptions) -> Option<String> {
    match options {
        ConsumeOptions { ack_deadline_ms: Some(0), .. } => Some("ackDeadlineMs is 1 or more".to_owned()),
        ConsumeOptions { max_in_flight: Some(most), .. } if !(1..=IN_FLIGHT_MAX).contains(most) => {
            Some(format!("maxInFlight is 1 to {IN_FLIGHT_MAX}"))
        }
        ConsumeOptions { max_attempts: Some(most), .. } if !(1..=ATTEMPTS_MAX).contains(most) => {
            Some(format!("maxAttempts is 1 to {ATTEMPTS_MAX}"))
        }
        _ => None,
    }
}

/// What a group with these options obeys.
pub(crate) fn rules(options: &ConsumeOptions) -> Rules {
    let options = group_filled(options);
    Rules {
        ack_deadline: options.ack_deadline_ms.unwrap_or(30_000),
        max_in_flight: options.max_in_flight.unwrap_or(256) as usize,
        max_attempts: options.max_attempts.and_then(|most| u16::try_from(most).ok()).unwrap_or(16),
        max_holes: HOLES,
    }
}

pub(crate) fn stored(durability: Durability) -> store::Durability {
    match durability {
        Durability::Memory => store::Durability::Memory,
        Durability::Os => store::Durability::Os,
        Durability::Disk => store::Durability::Disk,
    }
}

pub(crate) fn shown(durability: store::Durability) -> Durability {
    match durability {
        store::Durability::Memory => Durability::Memory,
        store::Durability::Os => Durability::Os,
        store::Durability::Disk => Durability::Disk,
    }
}
