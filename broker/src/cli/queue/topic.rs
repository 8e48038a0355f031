//! `towline topic`: what topics there are, and what is done with them.

use super::broker::{BrokerArgs, refused};
use super::group;
use super::words::{pretty, said, word};
use crate::cli::form::{Form, table};
use crate::cli::{Failure, print};
use clap::{ArgAction, Args, Subcommand};
use std::process::ExitCode;
use std::time::Duration;
use towline::config::{human_size, parse_duration, parse_size};
use towline_requester::builtin::{Durability, OnFull, TopicConfig, TopicStatus};

#[derive(Debug, Args)]
#[command(after_help = "Example: towline topic create orders --retention 24h")]
pub(in crate::cli) struct TopicArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Creates a topic; one that is there already and the same is no error
    #[command(after_help = "Example: towline topic create orders --retention 24h --max-depth-messages 1000000")]
    Create(CreateArgs),
    /// Lists topics
    #[command(after_help = "Example: towline topic ls shop.")]
    Ls(LsArgs),
    /// Shows one topic and its groups
    #[command(after_help = "Example: towline topic info orders -o json")]
    Info(NameArgs),
    /// Refuses what is published from now on; consuming goes on
    #[command(after_help = "Example: towline topic pause orders")]
    Pause(NameArgs),
    /// Takes messages again
    #[command(after_help = "Example: towline topic resume orders")]
    Resume(NameArgs),
    /// Removes all its messages, also those that groups still need
    #[command(after_help = "Example: towline topic purge orders --confirm orders")]
    Purge(ConfirmArgs),
    /// Removes a topic with its messages and groups
    #[command(after_help = "Example: towline topic rm orders --confirm orders")]
    Rm(ConfirmArgs),
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Name of the topic
    topic: String,
    #[command(flatten)]
    broker: BrokerArgs,
}

#[derive(Debug, Args)]
struct LsArgs {
    /// Only topics whose names start so
    prefix: Option<String>,
    #[command(flatten)]
    broker: BrokerArgs,
}

#[derive(Debug, Args)]
struct ConfirmArgs {
    /// Name of the topic
    topic: String,
    /// Its name again, since nothing brings the messages back
    #[arg(long, value_name = "TOPIC")]
    confirm: String,
    #[command(flatten)]
    broker: BrokerArgs,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Name of the topic: letters, digits, `.`, `_` and `-`
    topic: String,
    /// What a confirmation means: memory, os or disk [default: disk]
    #[arg(long, value_name = "WORD", value_parser = word::<Durability>)]
    durability: Option<Durability>,
    /// How long messages are kept; 0s is for ever [default: 72h]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    retention: Option<Duration>,
    /// Bytes of messages that are kept [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    retention_bytes: Option<usize>,
    /// Messages that are kept [default: no limit]
    #[arg(long, value_name = "N")]
    retention_messages: Option<u64>,
    /// Whether what a group has not settled is kept whatever retention says [default: true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    keep_until_acked: Option<bool>,
    /// Messages that groups may not have settled [default: no limit]
    #[arg(long, value_name = "N")]
    max_depth_messages: Option<u64>,
    /// Bytes of them [default: a tenth of the broker's disk]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_depth_bytes: Option<usize>,
    /// What happens when it is full: reject or drop-oldest [default: reject]
    #[arg(long, value_name = "WORD", value_parser = word::<OnFull>)]
    on_full: Option<OnFull>,
    /// Bytes of one message [default: 4MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_message: Option<usize>,
    /// How long messages are worth delivering that do not say so themselves [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// How long a message that is sent twice is known [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    dedup_window: Option<Duration>,
    #[command(flatten)]
    broker: BrokerArgs,
}

impl CreateArgs {
    fn config(&self) -> TopicConfig {
        let millis = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let bytes = |size: Option<usize>| size.map(|size| size as u64);
        TopicConfig {
            durability: self.durability,
            retention_ms: millis(self.retention),
            retention_bytes: bytes(self.retention_bytes),
            retention_messages: self.retention_messages,
            keep_until_acked: self.keep_until_acked,
            max_depth_messages: self.max_depth_messages,
            max_depth_bytes: bytes(self.max_depth_bytes),
            on_full: self.on_full,
            max_message_bytes: bytes(self.max_message),
            ttl_ms: millis(self.ttl),
            dedup_window_ms: millis(self.dedup_window),
        }
    }
}

pub(in crate::cli) fn run(args: &TopicArgs) -> Result<ExitCode, Failure> {
    let text = match &args.verb {
        Verb::Create(args) => create(args),
        Verb::Ls(args) => list(args),
        Verb::Info(args) => info(args),
        Verb::Pause(NameArgs { topic, broker }) => broker.topics(async |topics| {
            topics.pause(topic.clone()).await.map_err(|error| refused(topic, error))?;
            Ok(done(broker, topic, "paused", "consuming goes on"))
        }),
        Verb::Resume(NameArgs { topic, broker }) => broker.topics(async |topics| {
            topics.resume(topic.clone()).await.map_err(|error| refused(topic, error))?;
            Ok(done(broker, topic, "resumed", "it takes messages again"))
        }),
        Verb::Purge(args) => purge(args),
        Verb::Rm(ConfirmArgs { topic, confirm, broker }) => broker.topics(async |topics| {
            topics.delete(topic.clone(), confirm.clone()).await.map_err(|error| refused(topic, error))?;
            Ok(done(broker, topic, "removed", "with its messages and groups"))
        }),
    }?;
    print(&text)
}

fn create(args: &CreateArgs) -> Result<String, Failure> {
    let CreateArgs { topic, broker, .. } = args;
    broker.topics(async |topics| {
        let status = topics.create(topic.clone(), Some(args.config())).await;
        let status = status.map_err(|error| refused(topic, error))?;
        Ok(match broker.output {
            Form::Json => pretty(&status),
            Form::Table => format!("topic {topic} is there, durability {}\n", said(&status.config.durability)),
        })
    })
}

fn list(args: &LsArgs) -> Result<String, Failure> {
    let all = args
        .broker
        .topics(async |topics| topics.list(args.prefix.clone()).await.map_err(|error| refused("topics", error)))?;
    if args.broker.output == Form::Json {
        return Ok(pretty(&all));
    }
    let head = ["TOPIC", "DEPTH", "BYTES", "NEXT OFFSET", "SCHEDULED", "GROUPS", "DURABILITY", "STATE"];
    let rows = all.iter().map(|topic| {
        let state = if topic.paused { "paused" } else { "open" };
        [
            topic.topic.clone(),
            topic.depth.to_string(),
            human_size(usize::try_from(topic.depth_bytes).unwrap_or(usize::MAX)),
            topic.head.to_string(),
            topic.scheduled.to_string(),
            topic.groups.len().to_string(),
            said(&topic.config.durability),
            state.to_owned(),
        ]
    });
    Ok(table(head, rows))
}

fn info(args: &NameArgs) -> Result<String, Failure> {
    let NameArgs { topic, broker } = args;
    let (status, groups) = broker.topics(async |topics| {
        let status = topics.get(topic.clone()).await.map_err(|error| refused(topic, error))?;
        let groups = topics.groups(topic.clone()).await.map_err(|error| refused(topic, error))?;
        Ok((status, groups))
    })?;
    Ok(match broker.output {
        Form::Json => pretty(&status),
        Form::Table => details(&status) + "\n" + &group::rows(&groups),
    })
}

fn details(status: &TopicStatus) -> String {
    let TopicStatus { topic, config, paused, floor, head, depth, depth_bytes, scheduled, .. } = status;
    let mut out = format!(
        "topic {topic}{}: {depth} messages ({depth_bytes} bytes) are not settled, {scheduled} scheduled; offsets {floor} to {head}\n",
        if *paused { ", paused" } else { "" }
    );
    let config = serde_json::to_value(config).unwrap_or_default();
    for (name, value) in config.as_object().into_iter().flatten() {
        out += &format!("  {name} = {value}\n");
    }
    out
}

fn purge(args: &ConfirmArgs) -> Result<String, Failure> {
    let ConfirmArgs { topic, confirm, broker } = args;
    if topic != confirm {
        let why = format!("--confirm says {confirm:?}");
        return Err(Failure::running(topic, why, "nothing was removed: write the same name twice"));
    }
    let purged =
        broker.topics(async |topics| topics.purge(topic.clone()).await.map_err(|error| refused(topic, error)))?;
    Ok(match broker.output {
        Form::Json => pretty(&purged),
        Form::Table => format!("topic {topic}: {} messages are removed\n", purged.removed),
    })
}

fn done(broker: &BrokerArgs, topic: &str, what: &str, more: &str) -> String {
    match broker.output {
        Form::Json => pretty(&serde_json::json!({ "topic": topic, what: true })),
        Form::Table => format!("topic {topic} is {what}: {more}\n"),
    }
}
