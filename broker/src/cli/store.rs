//! `towline store stat`: how much a data folder holds.

use super::form::Form;
use super::fsck::refused;
use super::settings::SettingArgs;
use super::{Failure, print};
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::process::ExitCode;
use towline::store::fsck::{self, Report};

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Topics, groups and bytes of a data folder that no broker uses at the moment
    #[command(after_help = "Example: towline store stat --data /var/lib/towline -o json")]
    Stat(StatArgs),
}

#[derive(Debug, Args)]
struct StatArgs {
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &StoreArgs) -> Result<ExitCode, Failure> {
    let Verb::Stat(stat) = &args.verb;
    let folder = stat.settings.sources().layered()?.config.data.directory;
    let report = fsck::look(&folder, false).map_err(refused)?;
    print(&match stat.output {
        Form::Table => table(&report),
        Form::Json => json(&report),
    })
}

/// Bytes by the kind of file.
fn kinds(report: &Report) -> BTreeMap<&'static str, u64> {
    let mut kinds = BTreeMap::new();
    for file in &report.files {
        *kinds.entry(file.kind).or_default() += file.bytes;
    }
    kinds
}

fn json(report: &Report) -> String {
    let messages: u64 = report.topics.iter().map(|topic| topic.messages).sum();
    let value = serde_json::json!({
        "messages": messages, "bytes": kinds(report), "topics": report.topics, "groups": report.groups,
    });
    format!("{value:#}\n")
}

fn table(report: &Report) -> String {
    let messages: u64 = report.topics.iter().map(|topic| topic.messages).sum();
    let mut out = format!("{} topics, {messages} messages\n", report.topics.len());
    for (kind, bytes) in kinds(report) {
        out += &format!("{kind:<12} {bytes:>14} bytes\n");
    }
    for topic in &report.topics {
        out += &format!(
            "topic {:<30} {:>12} messages  floor {} head {}\n",
            topic.name, topic.messages, topic.floor, topic.head
        );
    }
    for group in &report.groups {
        let lost = if group.is_lost { "  lost" } else { "" };
        out += &format!(
            "group {:<10} of topic {:<10} next {} holes {}{lost}\n",
            group.id, group.topic, group.next, group.holes
        );
    }
    out
}
