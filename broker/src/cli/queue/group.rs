//! `towline group`: who consumes from a topic, and how far they are.

use super::broker::{BrokerArgs, refused};
use super::words::{STARTS, pretty, said, start};
use crate::cli::form::{Form, table};
use crate::cli::{Failure, print};
use clap::{Args, Subcommand};
use std::process::ExitCode;
use towline_requester::builtin::{GroupStatus, Start};

#[derive(Debug, Args)]
#[command(after_help = "Example: towline group ls orders")]
pub(in crate::cli) struct GroupArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the groups of a topic
    #[command(after_help = "Example: towline group ls orders")]
    Ls(LsArgs),
    /// Shows one group
    #[command(after_help = "Example: towline group info orders billing")]
    Info(NameArgs),
    /// Lets a group go on somewhere else; what it has not settled is forgotten
    #[command(after_help = "Example: towline group seek orders billing --to earliest")]
    Seek(SeekArgs),
    /// Removes a group: its members end
    #[command(after_help = "Example: towline group rm orders billing")]
    Rm(NameArgs),
}

#[derive(Debug, Args)]
struct LsArgs {
    /// Name of the topic
    topic: String,
    #[command(flatten)]
    broker: BrokerArgs,
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Name of the topic
    topic: String,
    /// Name of the group
    group: String,
    #[command(flatten)]
    broker: BrokerArgs,
}

#[derive(Debug, Args)]
struct SeekArgs {
    #[command(flatten)]
    name: NameArgs,
    /// Where it goes on
    #[arg(long, value_name = STARTS, value_parser = start)]
    to: Start,
}

pub(in crate::cli) fn run(args: &GroupArgs) -> Result<ExitCode, Failure> {
    let text = match &args.verb {
        Verb::Ls(LsArgs { topic, broker }) => broker.topics(async |topics| {
            let groups = topics.groups(topic.clone()).await.map_err(|error| refused(topic, error))?;
            Ok(if broker.output == Form::Json { pretty(&groups) } else { rows(&groups) })
        }),
        Verb::Info(NameArgs { topic, group, broker }) => broker.topics(async |topics| {
            let status = topics.group(topic.clone(), group.clone()).await;
            status.map(|status| shown(&status, broker)).map_err(|error| refused(format!("{topic} {group}"), error))
        }),
        Verb::Seek(SeekArgs { name: NameArgs { topic, group, broker }, to }) => broker.topics(async |topics| {
            let status = topics.seek(topic.clone(), group.clone(), to.clone()).await;
            status.map(|status| shown(&status, broker)).map_err(|error| refused(format!("{topic} {group}"), error))
        }),
        Verb::Rm(NameArgs { topic, group, broker }) => broker.topics(async |topics| {
            let removed = topics.delete_group(topic.clone(), group.clone()).await;
            removed.map_err(|error| refused(format!("{topic} {group}"), error))?;
            Ok(match broker.output {
                Form::Json => pretty(&serde_json::json!({ "topic": topic, "group": group, "removed": true })),
                Form::Table => format!("group {group} of topic {topic} is removed\n"),
            })
        }),
    }?;
    print(&text)
}

fn shown(status: &GroupStatus, broker: &BrokerArgs) -> String {
    if broker.output == Form::Json {
        return pretty(status);
    }
    let mut out = rows(std::slice::from_ref(status));
    let options = serde_json::to_value(&status.options).unwrap_or_default();
    for (name, value) in options.as_object().into_iter().flatten() {
        out += &format!("  {name} = {value}\n");
    }
    out + &format!("  dead letters: {}\n", status.dead_letter_topic)
}

pub(super) fn rows(groups: &[GroupStatus]) -> String {
    let head =
        ["GROUP", "MODE", "NEXT OFFSET", "DEPTH", "IN FLIGHT", "WAITING", "MEMBERS", "REDELIVERED", "DEAD LETTERS"];
    table(
        head,
        groups.iter().map(|group| {
            [
                group.group.clone(),
                said(&group.options.mode),
                group.next.to_string(),
                group.depth.to_string(),
                group.in_flight.to_string(),
                group.waiting.to_string(),
                group.members.to_string(),
                group.redelivered.to_string(),
                group.dead.to_string(),
            ]
        }),
    )
}
