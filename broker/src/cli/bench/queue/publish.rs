//! `towline bench publish`: messages that are confirmed, in a closed loop.

use std::time::Duration;

use clap::Args;

use super::jetstream::JetStream;
use super::ours::{Publish, PublishMany};
use super::rabbitmq::RabbitMq;
use super::redis::Redis;
use super::rocketmq::RocketMq;
use super::stage::{Kind, Side, Stage};
use super::{Level, QueueArgs, Topics};
use crate::cli::bench::Failure;
use crate::cli::bench::client::{self, Sample, Shape, Window};
use crate::cli::bench::compare;
use crate::cli::bench::hosted::{seconds, whole};
use crate::cli::bench::report::{self, Comparison, Mark, Quantity, Run};

/// What A is here.
const GROUP_COMMIT: &str = "a server that only writes what has come, syncs once and answers";

const fn mark(
    number: &'static str,
    (connections, in_flight): (usize, usize),
    (count, level): (usize, Level),
    over: &'static str,
    (first, goal): (f64, f64),
) -> Mark {
    let topics = Some(Topics { count, level, is_pipelined: false, backlog: 0 });
    let shape = Shape { topics, ..Shape::new(connections, in_flight, 128) };
    Mark { number, shape, over, quantity: Quantity::Rate, first, goal }
}

/// Those of the design's performance.md that are about publishing.
const MARKS: [Mark; 8] = [
    mark("11", (8, 32), (1, Level::Disk), "redis", (1.5, 4.0)),
    mark("12", (1, 256), (1, Level::Disk), "jetstream", (20.0, 150.0)),
    mark("13", (8, 32), (1, Level::Disk), "rabbitmq", (5.0, 15.0)),
    mark("13b", (8, 32), (1, Level::Disk), "rocketmq", (15.0, 50.0)),
    mark("14", (8, 32), (1, Level::Disk), "A", (0.5, 0.8)),
    mark("14", (8, 32), (1_000, Level::Disk), "A", (0.4, 0.8)),
    mark("15", (8, 32), (1, Level::Os), "redis", (2.0, 5.0)),
    mark("15", (8, 32), (1, Level::Os), "jetstream", (4.0, 12.0)),
];

#[derive(Debug, Args)]
#[command(after_help = "\
A is a process that appends all that has come to a file that is there already, syncs once, and answers each; with
--durability os it does not sync. The broker gets a data folder of its own. Peers run already, and sync as they were told.
Examples: towline bench publish
          towline bench publish --shape 8x32 --topics 1000
          towline bench publish --pipelined --shape 1x256
          towline bench publish --durability os --peer redis=redis://127.0.0.1:6379?pid=4711")]
pub(in crate::cli::bench) struct PublishArgs {
    /// Connections, and messages each of them has on their way; may be given more than once [default: 8x32 and 1x256]
    #[arg(long, value_name = "CONNECTIONSxMESSAGES", value_parser = shape)]
    shape: Vec<(usize, usize)>,
    /// Bytes of a message
    #[arg(long, default_value_t = 128, value_parser = whole(1, 4_000_000))]
    size: u64,
    /// Topics the messages go to in turn
    #[arg(long, default_value_t = 1, value_parser = whole(1, 100_000))]
    topics: u64,
    /// Messages that are in the broker's first topic before, and stay there
    #[arg(long, default_value_t = 0, value_parser = whole(0, 100_000_000))]
    backlog: u64,
    /// What a confirmation means
    #[arg(long, value_enum, default_value_t = Level::Disk)]
    durability: Level,
    /// Over one channel of `publishMany` for each connection, to the broker and the yardstick
    #[arg(long)]
    pipelined: bool,
    /// Measured time of each measurement
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Load before the measured time
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warmup: Duration,
    #[command(flatten)]
    queue: QueueArgs,
}

/// `8x32`, for clap.
pub(super) fn shape(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('x').and_then(|(tasks, each)| Some((tasks.parse().ok()?, each.parse().ok()?)));
    parts
        .filter(|(connections, each)| (1..=1_000).contains(connections) && (1..=65_536).contains(each))
        .ok_or_else(|| "connections and messages on their way, as in 8x32".to_owned())
}

/// Starts what is needed, measures every shape, prints the report.
pub(in crate::cli::bench) async fn run(args: PublishArgs) -> Result<(), Failure> {
    let PublishArgs { queue, .. } = &args;
    let topics = Topics {
        count: args.topics as usize,
        level: args.durability,
        is_pipelined: args.pipelined,
        backlog: args.backlog,
    };
    let stage =
        Stage::set(queue.folder.as_deref(), args.durability, args.size as usize, &queue.serve_arg, &queue.peer).await?;
    for side in &stage.sides {
        side.prepare(topics).await?;
    }
    let window = Window { warmup: args.warmup, measured: args.seconds, threads: 1 };
    let shapes = if args.shape.is_empty() { &[(8, 32), (1, 256)][..] } else { &args.shape };
    let mut comparisons = Vec::new();
    for &(connections, in_flight) in shapes {
        let shape = Shape { topics: Some(topics), ..Shape::new(connections, in_flight, args.size as usize) };
        let measure = async |round: usize, side: &Side| -> Result<Sample, Failure> {
            let sample = load(side, shape, topics, window).await?;
            report::progress(shape, round, compare::Named::name(side), &sample);
            Ok(sample)
        };
        let rounds = compare::alternate(&stage.sides, queue.rounds as usize, measure).await?;
        comparisons.push(Comparison { shape, rounds });
    }
    let run = Run { verb: "publish", unit: "messages", yardstick: GROUP_COMMIT, sides: stage.names() };
    report::print(queue.output, &run, &comparisons, &MARKS)?;
    match comparisons.iter().map(Comparison::wrong).sum::<u64>() {
        0 => Ok(()),
        wrong => Err(Failure::new(format!("{wrong} messages were not confirmed as they should be"))),
    }
}

async fn load(side: &Side, shape: Shape, topics: Topics, window: Window) -> Result<Sample, Failure> {
    let (at, processes) = (side.address, &side.processes);
    match side.kind {
        Kind::Yardstick | Kind::Broker if topics.is_pipelined => {
            client::measure(at, shape, window, processes, move || PublishMany::new(shape, topics)).await
        }
        Kind::Yardstick | Kind::Broker => {
            client::measure(at, shape, window, processes, move || Publish::new(shape, topics)).await
        }
        Kind::Redis => client::measure(at, shape, window, processes, move || Redis::publish(shape, topics)).await,
        Kind::JetStream => {
            client::measure(at, shape, window, processes, move || JetStream::publish(shape, topics)).await
        }
        Kind::RocketMq => client::measure(at, shape, window, processes, move || RocketMq::publish(shape, topics)).await,
        Kind::RabbitMq => client::measure(at, shape, window, processes, move || RabbitMq::publish(shape, topics)).await,
    }
}
