//! What a load on the store is.

use std::fmt;

use clap::ValueEnum;
use serde_json::{Value, json};
use towline::store::Durability;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) tasks: usize,
    /// Messages each task has on their way.
    pub(super) in_flight: usize,
    pub(super) topics: usize,
    /// Bytes of a message.
    pub(super) size: usize,
    pub(super) level: Level,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    Os,
    Disk,
}

impl Level {
    pub(super) fn durability(self) -> Durability {
        match self {
            Self::Os => Durability::Os,
            Self::Disk => Durability::Disk,
        }
    }
}

impl Shape {
    pub(super) fn json(self) -> Value {
        let level = if self.level == Level::Os { "os" } else { "disk" };
        json!({
            "tasks": self.tasks, "in_flight": self.in_flight, "topics": self.topics, "size": self.size, "durability": level,
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tasks, in_flight, topics, size, level } = self;
        let level = if *level == Level::Os { "os" } else { "disk" };
        write!(f, "{tasks}x{in_flight}, {topics} topic(s), {size} B, {level}")
    }
}

/// `8x32`, for clap.
pub(super) fn load(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('x').and_then(|(tasks, each)| Some((tasks.parse().ok()?, each.parse().ok()?)));
    parts
        .filter(|(tasks, each)| (1..=10_000).contains(tasks) && (1..=1_000_000).contains(each))
        .ok_or_else(|| "tasks and messages on their way, as in 8x32".to_owned())
}
