//! `towline bench consume`: a topic is filled, and then taken and settled as fast as can be.

use clap::Args;
use serde_json::json;

use super::jetstream::JetStream;
use super::member::drain;
use super::ours::{Calls, create};
use super::pull::{Channel, GROUP, Prefetch, Pull};
use super::rabbitmq::RabbitMq;
use super::stage::{Kind, Side, Stage};
use super::{FILLED_WITHIN, FILLING, Level, QueueArgs, Topics, jetstream, ours};
use crate::cli::bench::Failure;
use crate::cli::bench::client::{self, Sample, Shape};
use crate::cli::bench::compare::{self, Named};
use crate::cli::bench::hosted::whole;
use crate::cli::bench::report::{self, Comparison, Mark, Quantity, Run};

/// What A is here.
const SOURCE: &str = "a server that sends what credit allows, and stores and remembers nothing";
const TOPICS: Topics = Topics { count: 1, level: Level::Disk, is_pipelined: false, backlog: 0 };
const BASE: Shape = Shape { topics: Some(TOPICS), ..Shape::new(1, 256, 128) };

/// Mark 16.
const MARKS: [Mark; 2] = [mark("jetstream", 2.0, 6.0), mark("rabbitmq", 5.0, 15.0)];

const fn mark(over: &'static str, first: f64, goal: f64) -> Mark {
    Mark { number: "16", shape: BASE, over, quantity: Quantity::Rate, first, goal }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each round fills a fresh topic, and counts the time from the first request to when the last settle has come. A consumer
has at most so many messages it has not settled, asks for more when half of them are used, and settles what one read brought,
64 at most together. JetStream is acknowledged message by message, RabbitMQ and the broker up to the last one.
Examples: towline bench consume
          towline bench consume --shape 8x256 --messages 1000000
          towline bench consume --peer jetstream=jetstream://127.0.0.1:4222?pid=4711")]
pub(in crate::cli::bench) struct ConsumeArgs {
    /// Consumers, and messages each may have and not have settled
    #[arg(long, value_name = "CONSUMERSxMESSAGES", value_parser = super::publish::shape, default_value = "1x256")]
    shape: (usize, usize),
    /// Bytes of a message
    #[arg(long, default_value_t = 128, value_parser = whole(1, 4_000_000))]
    size: u64,
    /// Messages in the topic
    #[arg(long, default_value_t = 200_000, value_parser = whole(1_000, 100_000_000))]
    messages: u64,
    #[command(flatten)]
    queue: QueueArgs,
}

pub(in crate::cli::bench) async fn run(args: ConsumeArgs) -> Result<(), Failure> {
    let ConsumeArgs { queue, messages, .. } = &args;
    let shape = Shape { topics: Some(TOPICS), ..Shape::new(args.shape.0, args.shape.1, args.size as usize) };
    let stage = Stage::set(queue.folder.as_deref(), Level::Os, shape.size, &queue.serve_arg, &queue.peer).await?;
    let measure = async |round: usize, side: &Side| -> Result<Sample, Failure> {
        let sample = fill_and_drain(side, shape, *messages, round).await?;
        report::progress(shape, round, side.name(), &sample);
        Ok(sample)
    };
    let rounds = compare::alternate(&stage.sides, queue.rounds as usize, measure).await?;
    let run = Run { verb: "consume", unit: "messages", yardstick: SOURCE, sides: stage.names() };
    let comparison = Comparison { shape, rounds };
    report::print(queue.output, &run, std::slice::from_ref(&comparison), &MARKS)?;
    match comparison.wrong() {
        0 => Ok(()),
        wrong => Err(Failure::new(format!("{wrong} messages came twice"))),
    }
}

async fn fill_and_drain(side: &Side, shape: Shape, total: u64, round: usize) -> Result<Sample, Failure> {
    let (at, processes) = (side.address, &side.processes);
    let members = 0..shape.connections;
    let window = shape.in_flight;
    match side.kind {
        Kind::Yardstick => {
            let consumers = members.map(|_| Channel::new("", window)).collect();
            // It has no last message: what comes behind the total is none too many.
            drain(at, total, processes, consumers).await.map(|sample| Sample { wrong: 0, ..sample })
        }
        Kind::Broker => {
            let topic = format!("consumed-{round}");
            create(at, std::slice::from_ref(&topic), TOPICS).await?;
            fill(at, total, Calls::publish(&topic, shape.size)).await?;
            let sample = drain(at, total, processes, members.map(|_| Channel::new(&topic, window)).collect()).await?;
            ours::settled(at, &topic, GROUP).await?;
            ours::ask(at, "delete", [json!({"topic": topic, "confirm": topic})]).await?;
            Ok(sample)
        }
        Kind::JetStream => {
            side.prepare(TOPICS).await?;
            fill(at, total, JetStream::publish(shape, TOPICS)).await?;
            jetstream::create_consumer(at, GROUP, 2 * window * shape.connections).await?;
            drain(at, total, processes, members.map(|_| Pull::new(window)).collect()).await
        }
        Kind::RabbitMq => {
            side.prepare(TOPICS).await?;
            fill(at, total, RabbitMq::publish(shape, TOPICS)).await?;
            drain(at, total, processes, members.map(|_| Prefetch::new(window)).collect()).await
        }
        Kind::Redis | Kind::RocketMq => Err(Failure::new("consuming from Redis and RocketMQ is not measured")),
    }
}

async fn fill(at: std::net::SocketAddr, total: u64, talk: impl crate::cli::bench::talk::Talk) -> Result<(), Failure> {
    client::exchange(at, (FILLING, total), FILLED_WITHIN, talk).await
}
