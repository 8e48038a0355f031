//! `towline bench publish` and `bench consume`: durable topics, beside a yardstick of the disk and beside other software.
//!
//! ```text
//!  publish    closed loop, confirmations counted        consume    a topic filled, then taken and settled
//!  stage      the sides: yardstick, broker, peers       member     one consumer, and the loop of many
//!  yardstick  group commit and nothing else             pull       the three protocols a consumer speaks
//!  ours  redis  jetstream  rabbitmq  rocketmq           what a publisher says in each
//!  queued     calls by way of a topic, for `bench rpc`
//!  pack  amqp                                           MessagePack and AMQP by hand
//! ```
//! Invariant: every side gets the same load from the same thin client, and only ratios of one round count.

mod amqp;
mod consume;
mod jetstream;
mod member;
mod ours;
mod pack;
mod publish;
mod pull;
pub(super) mod queued;
mod rabbitmq;
mod redis;
mod rocketmq;
mod stage;
#[cfg(test)]
mod tests;
mod yardstick;

pub(super) use consume::{ConsumeArgs, run as consume};
pub(super) use publish::{PublishArgs, run as publish};
pub(super) use yardstick::{GroupCommitArgs, run as group_commit};

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::hosted::whole;
use super::report::Output;
use stage::Peer;

/// Bytes of messages that all topics together keep while they are published to.
const KEPT: u64 = 512 << 20;

/// Where messages go, and what a confirmation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Topics {
    count: usize,
    level: Level,
    /// Over one channel of `publishMany` for each connection, where there is one.
    is_pipelined: bool,
    /// Messages in the broker's first one before the load.
    backlog: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Synced to the disk
    Disk,
    /// Handed to the operating system
    Os,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Os => "os",
        }
    }
}

impl Topics {
    /// Adds what it is to the description of a shape.
    pub(super) fn describe(self, shape: &mut Value) {
        shape["topics"] = json!(self.count);
        shape["durability"] = json!(self.level.name());
        if self.is_pipelined {
            shape["over"] = json!("publishMany");
        }
        if self.backlog > 0 {
            shape["backlog"] = json!(self.backlog);
        }
    }

    fn kept_bytes(self) -> u64 {
        if self.backlog > 0 { 0 } else { KEPT }
    }
}

/// The names of topics, subjects, streams and queues alike; all of one length.
fn name(nth: usize) -> String {
    format!("bench-{nth:0DIGITS$}")
}

/// Of the number in a name.
const DIGITS: usize = 5;

/// How often, against whom, and where the data lies.
#[derive(Debug, Args)]
struct QueueArgs {
    /// A further side that already runs: NAME=redis|jetstream|rabbitmq|rocketmq://HOST:PORT?pid=PID (repeatable)
    #[arg(long)]
    peer: Vec<Peer>,
    /// Rounds, in each of which every side is measured once
    #[arg(long, default_value_t = 5, value_parser = whole(1, 1_000))]
    rounds: u64,
    /// A folder to use; what it gets is removed afterwards [default: a new one in the current folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// A further argument for the `towline serve` that is started (repeatable)
    #[arg(long, allow_hyphen_values = true)]
    serve_arg: Vec<String>,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Messages on their way while a topic is filled.
const FILLING: usize = 256;
/// What a topic is given to be filled, by the slowest of all sides.
const FILLED_WITHIN: Duration = Duration::from_secs(300);
/// What an administration is given for one question.
const ASKED_WITHIN: Duration = Duration::from_secs(30);
