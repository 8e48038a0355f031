//! `towline consume`: a member of a group that prints what it gets.

use super::broker::{BrokerArgs, refused};
use super::messages;
use super::words::{STARTS, start, word};
use crate::cli::{Failure, show};
use clap::Args;
use futures::StreamExt;
use std::process::ExitCode;
use std::time::Duration;
use towline::config::parse_duration;
use towline::shutdown::Signals;
use towline_requester::builtin::{ConsumeOptions, GroupMode, Start};
use towline_responder::{Consume, Deliveries, Nack, Unsettled};

/// Deliveries that wait to be printed.
const PREFETCH: u32 = 16;

#[derive(Debug, Args)]
#[command(after_help = "\
Each message is printed, then acked, until SIGINT, SIGTERM or the end that was asked for. The group is made by its first use;
of one that is there already, options that are given have to be the same.
Example: towline consume orders billing --start earliest --take 10 -o json")]
pub(in crate::cli) struct ConsumeArgs {
    /// Name of the topic
    topic: String,
    /// Name of the group
    group: String,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    take: Option<u64>,
    /// End once nothing came for so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    idle: Option<Duration>,
    /// Where a new group starts [default: latest]
    #[arg(long, value_name = STARTS, value_parser = start)]
    start: Option<Start>,
    /// shared, exclusive, key-ordered or broadcast [default: shared]
    #[arg(long, value_name = "WORD", value_parser = word::<GroupMode>)]
    mode: Option<GroupMode>,
    /// Of a broadcast group: the name of this member's place
    #[arg(long, value_name = "NAME")]
    cursor: Option<String>,
    /// Tags the group wants, as `paid;refunded` or `order.*`
    #[arg(long)]
    filter: Option<String>,
    /// Failures after which a message goes to the dead letter [default: 16]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Ack each message once it is printed, which is what is done anyway
    #[arg(long, conflicts_with = "nack")]
    ack: bool,
    /// Refuse each message once it is printed, with this as the reason
    #[arg(long, value_name = "REASON")]
    nack: Option<String>,
    /// Of --nack: deliver it again no earlier than so long from now [default: as the group's ladder says]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "nack")]
    delay: Option<Duration>,
    #[command(flatten)]
    broker: BrokerArgs,
}

pub(in crate::cli) fn run(args: &ConsumeArgs) -> Result<ExitCode, Failure> {
    let ConsumeArgs { topic, group, broker, .. } = args;
    let what = format!("{topic} {group}");
    broker.with(async |app| {
        let mut signals = Signals::listen()
            .map_err(|error| Failure::running("signals", error.to_string(), "see the limits of this process"))?;
        // So many and no more: one that comes and is not taken counts as handed over.
        let prefetch = if args.take.is_some() { 0 } else { PREFETCH };
        let joining = app.consume(topic, group).options(args.options()).prefetch(prefetch).join();
        let mut deliveries = tokio::select! {
            joined = joining => joined.map_err(|error| refused(&what, error))?,
            _ = signals.next() => return Ok(()),
        };
        let outcome = tokio::select! {
            outcome = args.take(&mut deliveries, &what) => outcome,
            _ = signals.next() => Ok(()),
        };
        deliveries.close().await;
        outcome
    })?;
    Ok(ExitCode::SUCCESS)
}

impl ConsumeArgs {
    fn options(&self) -> ConsumeOptions {
        ConsumeOptions {
            mode: self.mode,
            start: self.start.clone(),
            filter: self.filter.clone(),
            max_attempts: self.max_attempts,
            cursor: self.cursor.clone(),
            ..ConsumeOptions::default()
        }
    }

    /// Prints and settles as many as there are to be.
    async fn take(&self, deliveries: &mut Deliveries, what: &str) -> Result<(), Failure> {
        let mut left = self.take.unwrap_or(u64::MAX);
        while left > 0 {
            let next = match self.idle {
                Some(idle) => tokio::time::timeout(idle, deliveries.next()).await,
                None => Ok(deliveries.next().await),
            };
            let Ok(Some(unsettled)) = next else { break };
            let unsettled = unsettled.map_err(|error| refused(what, error))?;
            if !show(&messages::one(&unsettled, self.broker.output))? {
                // Nobody has read it: it is for another member.
                break;
            }
            self.settle(unsettled);
            left -= 1;
        }
        Ok(())
    }

    fn settle(&self, unsettled: Unsettled) {
        match (&self.nack, self.delay) {
            (None, _) => unsettled.ack(),
            (Some(reason), Some(delay)) => unsettled.nack(Nack::new(reason).after(delay)),
            (Some(reason), None) => unsettled.nack(Nack::new(reason)),
        }
    }
}
