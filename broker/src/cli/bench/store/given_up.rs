//! What is given up of many messages, by the ways in which that happens, and what is live then.

use clap::ValueEnum;
use towline::store::{Batch, GroupId, Hand, Offset, Op, Progress, Run, Store, TopicId};

use super::Failure;
use super::engine::{self, Engine};

/// Operations in one batch, about.
const MANY: usize = 500;
/// One of so many topics, or messages, is kept.
const OF_TOPICS: usize = 10;
const OF_MESSAGES: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GivenUp {
    /// The older half of each topic
    Half,
    /// All of nine topics in ten
    Topics,
    /// 99 messages of each 100, between those that a group has not settled
    Between,
}

impl GivenUp {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Half => "giving up the older half, s",
            Self::Topics => "giving up nine topics in ten, s",
            Self::Between => "giving up 99 messages of each 100, s",
        }
    }

    /// Gives up what it says of topics whose messages end there: how many are live then.
    pub(super) async fn apply(self, engine: &Engine, ends: &[Offset]) -> Result<u64, Failure> {
        let (mut live, mut ops) = (0, Vec::new());
        for (nth, (topic, &end)) in engine.topics.iter().zip(ends).enumerate() {
            let trim = |to| Op::Trim { topic: *topic, to };
            live += match self {
                Self::Half => {
                    ops.push(trim(end / 2));
                    end - end / 2
                }
                Self::Topics if nth % OF_TOPICS == 0 => end,
                Self::Topics => {
                    ops.push(trim(end));
                    0
                }
                Self::Between => {
                    let group = GroupId(engine.log.fresh_id());
                    ops.extend(settled_but(*topic, group, end));
                    ops.push(trim(end));
                    end.div_ceil(OF_MESSAGES as u64)
                }
            };
            if ops.len() >= MANY {
                append(engine, std::mem::take(&mut ops)).await?;
            }
        }
        if !ops.is_empty() {
            append(engine, ops).await?;
        }
        Ok(live)
    }
}

async fn append(engine: &Engine, ops: Vec<Op>) -> Result<(), Failure> {
    engine::append(&engine.log, Batch { ops, now: engine::now() }).await
}

/// A group that has settled all messages but one of so many.
fn settled_but(topic: TopicId, group: GroupId, end: Offset) -> [Op; 2] {
    let hand = |first| Hand { run: Run { first, count: 1 }, attempt: 1, due: 0 };
    let handed = (0..end).step_by(OF_MESSAGES).map(hand).collect();
    let progress = Progress { from: 0, next: end, handed, settled: Vec::new() };
    [Op::PutGroup { topic, group, settings: bytes::Bytes::new(), start: 0 }, Op::Progress { topic, group, progress }]
}
