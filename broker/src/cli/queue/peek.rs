//! `towline peek`: messages of a topic, without consuming them.

use super::broker::{BrokerArgs, refused};
use super::messages;
use crate::cli::{Failure, print};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = "At most 1 MiB of messages are shown at once.
Example: towline peek orders --from 100 --max 10")]
pub(in crate::cli) struct PeekArgs {
    /// Name of the topic
    topic: String,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Which messages.
#[derive(Debug, Args)]
pub(super) struct RangeArgs {
    /// The first offset to look at [default: the oldest]
    #[arg(long, value_name = "OFFSET")]
    pub(super) from: Option<u64>,
    /// Messages to show [default: 100]
    #[arg(long, value_name = "N")]
    pub(super) max: Option<u32>,
}

pub(in crate::cli) fn run(args: &PeekArgs) -> Result<ExitCode, Failure> {
    let PeekArgs { topic, range, broker } = args;
    let found = broker.topics(async |topics| {
        topics.peek(topic.clone(), range.from, range.max).await.map_err(|error| refused(topic, error))
    })?;
    print(&messages::list(&found, broker.output))
}
