//! `towline publish`: one message, or one for each line of standard input.

use super::broker::{BrokerArgs, unpublished};
use super::words::{header, pretty, word};
use crate::cli::form::Form;
use crate::cli::{Failure, print};
use bytes::Bytes;
use clap::Args;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use towline::config::{Problem, parse_duration};
use towline_requester::builtin::{Confirmation, Durability, Json, Message};
use towline_requester::{App, PublishError, Topic};

/// Lines read ahead.
const AHEAD: usize = 256;
/// Lines of which it is told why they were not stored.
const TOLD: u64 = 10;

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 everything is stored; 1 something is not, or nobody knows; 2 a wrong command line.
Example: towline publish orders -d '{\"id\": 7}' --key c42
Example: seq 100000 | towline publish numbers --lines")]
pub(in crate::cli) struct PublishArgs {
    /// Name of the topic
    topic: String,
    #[command(flatten)]
    body: BodyArgs,
    /// MIME type of the body of --body-file, or of each line
    #[arg(long, value_name = "MIME", conflicts_with_all = ["data", "text"])]
    content_type: Option<String>,
    /// What keeps messages in order in key-ordered groups
    #[arg(long)]
    key: Option<String>,
    /// What filters look at
    #[arg(long)]
    tag: Option<String>,
    /// A header; repeatable
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// A second message of this id is a duplicate
    #[arg(long, conflicts_with = "lines")]
    id: Option<String>,
    /// Deliver it no earlier than so long from now
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// How long it is worth delivering
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Confirm only what is stored so, if that is more than the topic has: os or disk
    #[arg(long, value_name = "WORD", value_parser = word::<Durability>)]
    durability: Option<Durability>,
    /// Of --lines: messages on their way at a time
    #[arg(long, value_name = "N", default_value_t = 256)]
    in_flight: u32,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// What is published.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct BodyArgs {
    /// A JSON value
    #[arg(short, long, value_name = "JSON")]
    data: Option<String>,
    /// A text
    #[arg(long)]
    text: Option<String>,
    /// The bytes of a file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// Each line of standard input, many at a time
    #[arg(long)]
    lines: bool,
}

pub(in crate::cli) fn run(args: &PublishArgs) -> Result<ExitCode, Failure> {
    let PublishArgs { topic, body, broker, .. } = args;
    if body.lines {
        let published = broker.with(async |app| lines(&args.topic(app), args).await)?;
        return published.report(args);
    }
    let message = args.decorate(body.message()?);
    let confirmation =
        broker.with(async |app| args.topic(app).publish(message).await.map_err(|error| unpublished(topic, error)))?;
    print(&match broker.output {
        Form::Json => pretty(&confirmation),
        Form::Table => said(&confirmation),
    })
}

impl PublishArgs {
    fn topic(&self, app: &App) -> Topic {
        let topic = app.topic(&self.topic).max_in_flight(self.in_flight).wait_when_full();
        match self.durability {
            Some(durability) => topic.durability(durability),
            None => topic,
        }
    }

    /// The same message with everything but its body.
    fn decorate(&self, mut message: Message) -> Message {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        message.content_type.clone_from(&self.content_type);
        message.key.clone_from(&self.key);
        message.tag.clone_from(&self.tag);
        message.id.clone_from(&self.id);
        message.headers.extend(self.headers.iter().cloned());
        (message.delay_ms, message.ttl_ms) = (self.delay.map(millis), self.ttl.map(millis));
        message
    }
}

impl BodyArgs {
    fn message(&self) -> Result<Message, Failure> {
        if let Some(json) = &self.data {
            let why = serde_json::from_str::<serde::de::IgnoredAny>(json).err();
            return match why {
                None => Ok(Message { json: Some(Json(json.clone().into())), ..Message::default() }),
                Some(why) => Err(wrong("--data", &format!("no JSON: {why}"), "or --text, for what is none")),
            };
        }
        match (&self.text, &self.body_file) {
            (Some(text), _) => Ok(Message::text(text)),
            (_, Some(file)) => Ok(Message::new(bytes_of(file)?)),
            _ => Ok(Message::default()),
        }
    }
}

fn bytes_of(file: &Path) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    match read {
        Ok(()) => Ok(bytes.into()),
        Err(error) => Err(wrong(&file.display().to_string(), &error.to_string(), "see --body-file")),
    }
}

fn wrong(what: &str, why: &str, next: &str) -> Failure {
    Failure { code: 2, problems: vec![Problem::new(what, why, next)] }
}

fn said(confirmation: &Confirmation) -> String {
    let Confirmation { topic, offset, durability, duplicate, due, .. } = confirmation;
    let durability = super::words::said(&Some(durability));
    let place = offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
    match (duplicate, due) {
        (true, _) => format!("was stored before in topic {topic}{place}: nothing was added\n"),
        (false, Some(due)) => format!("scheduled in topic {topic} for {due} ({durability})\n"),
        (false, None) => format!("stored in topic {topic}{place} ({durability})\n"),
    }
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Published {
    lines: u64,
    stored: u64,
    duplicates: u64,
    failed: u64,
    first: Option<u64>,
    last: Option<u64>,
}

impl Published {
    fn count(&mut self, outcome: Result<Confirmation, PublishError>) {
        self.lines += 1;
        match outcome {
            Ok(confirmation) => {
                self.stored += u64::from(!confirmation.duplicate);
                self.duplicates += u64::from(confirmation.duplicate);
                self.first = self.first.or(confirmation.offset);
                self.last = confirmation.offset.or(self.last);
            }
            Err(error) => {
                self.failed += 1;
                if self.failed <= TOLD {
                    eprintln!("towline: line {}: {error}", self.lines);
                }
            }
        }
    }

    fn report(&self, args: &PublishArgs) -> Result<ExitCode, Failure> {
        let Self { stored, duplicates, failed, first, last, .. } = self;
        let range = first.zip(*last).map(|(first, last)| format!(", offsets {first} to {last}")).unwrap_or_default();
        let text = match args.broker.output {
            Form::Json => pretty(&serde_json::json!({
                "stored": stored, "duplicates": duplicates, "failed": failed, "first": first, "last": last,
            })),
            Form::Table => format!("{stored} messages are stored in topic {}{range}\n", args.topic),
        };
        print(&text)?;
        if *failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let why = format!("{failed} lines are not stored, or nobody knows");
        Err(Failure::running(&args.topic, why, "the lines above say why"))
    }
}

async fn lines(topic: &Topic, args: &PublishArgs) -> Result<Published, Failure> {
    let (read, mut lines) = mpsc::channel(AHEAD);
    // Standard input cannot be waited for; the thread ends with it, or with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if read.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let publisher = topic.publisher();
    let (mut published, mut outcomes) = (Published::default(), FuturesOrdered::new());
    while let Some(line) = lines.recv().await {
        let line = line.map_err(|error| wrong("standard input", &error.to_string(), "lines have to be UTF-8"))?;
        let message = if args.content_type.is_some() { Message::new(line) } else { Message::text(line) };
        outcomes.push_back(publisher.send(args.decorate(message)).await);
        while let Some(Some(outcome)) = outcomes.next().now_or_never() {
            published.count(outcome);
        }
    }
    while let Some(outcome) = outcomes.next().await {
        published.count(outcome);
    }
    publisher.close().await;
    Ok(published)
}
