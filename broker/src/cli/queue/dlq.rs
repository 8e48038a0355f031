//! `towline dlq`: the messages a group could not handle, and back with them.

use super::broker::{BrokerArgs, refused};
use super::messages;
use super::peek::RangeArgs;
use super::words::pretty;
use crate::cli::form::Form;
use crate::cli::{Failure, print};
use clap::{Args, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = "Example: towline dlq ls orders billing")]
pub(in crate::cli) struct DlqArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows dead letters of a group: the message, and in its headers why it is here
    #[command(after_help = "Example: towline dlq ls orders billing --max 10")]
    Ls(LsArgs),
    /// Publishes dead letters of a group again where they came from
    #[command(after_help = "Example: towline dlq redrive orders billing --rate 100")]
    Redrive(RedriveArgs),
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Name of the topic
    topic: String,
    /// Name of the group
    group: String,
}

#[derive(Debug, Args)]
struct LsArgs {
    #[command(flatten)]
    name: NameArgs,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

#[derive(Debug, Args)]
struct RedriveArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Only the one with this offset, as `towline dlq ls` shows it; repeatable [default: all]
    #[arg(long = "offset", value_name = "OFFSET")]
    offsets: Vec<u64>,
    /// Messages a second [default: as fast as the broker likes]
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    #[command(flatten)]
    broker: BrokerArgs,
}

pub(in crate::cli) fn run(args: &DlqArgs) -> Result<ExitCode, Failure> {
    match &args.verb {
        Verb::Ls(LsArgs { name: NameArgs { topic, group }, range, broker }) => {
            let dead = broker.topics(async |topics| {
                let dead = topics.dead_letters(topic.clone(), group.clone(), range.from, range.max).await;
                dead.map_err(|error| refused(format!("{topic} {group}"), error))
            })?;
            print(&messages::list(&dead, broker.output))
        }
        Verb::Redrive(RedriveArgs { name: NameArgs { topic, group }, offsets, rate, broker }) => {
            let offsets = (!offsets.is_empty()).then(|| offsets.clone());
            let redriven = broker.topics(async |topics| {
                let redriven = topics.redrive(topic.clone(), group.clone(), offsets, *rate).await;
                redriven.map_err(|error| refused(format!("{topic} {group}"), error))
            })?;
            print(&match broker.output {
                Form::Json => pretty(&redriven),
                Form::Table => format!("{} messages are published again to topic {topic}\n", redriven.moved),
            })
        }
    }
}
