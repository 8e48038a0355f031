//! `towline bench rpc`: request-response through the broker, the yardstick and peers, in turn.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Failure;
use super::client::{Shape, Window};
use super::compare::SUBJECT;
use super::flow::FlowArgs;
use super::hosted::whole;
use super::report::{Comparison, Mark, Quantity, RELAY, Run};
use super::rsocket::Metadata;
use super::sides::{Flow, Side, Stage, Target};

const BASE: Shape = Shape::new(8, 32, 128);
const WIDE: Shape = Shape::new(64, 1, 128);
const LARGE: Shape = Shape::new(8, 32, 4096);
const SINGLE: Shape = Shape::new(1, 1, 128);
/// In an open loop more may be outstanding than in a closed one; all together fewer than a responder's link takes.
const OPEN: Shape = Shape { in_flight: OUTSTANDING / BASE.connections, rate: ANY, ..BASE };
const OUTSTANDING: usize = 8192;
/// Of a mark: whatever rate half of the capacity was.
const ANY: u64 = u64::MAX;
/// Bytes of requests that may be outstanding on one connection of an open loop.
const MOST: usize = 8 << 20;
const STARTER: Shape = Shape { metadata: Metadata::Starter, ..BASE };

const fn mark(number: &'static str, shape: Shape, over: &'static str, quantity: Quantity, ends: (f64, f64)) -> Mark {
    Mark { number, shape, over, quantity, first: ends.0, goal: ends.1 }
}

/// Those of the design's performance.md that are about round trips.
const MARKS: [Mark; 11] = [
    mark("1", BASE, "A", Quantity::Rate, (0.5, 1.0)),
    mark("2", WIDE, "A", Quantity::Rate, (0.8, 1.5)),
    mark("3", LARGE, "A", Quantity::Rate, (0.8, 1.05)),
    mark("4", SINGLE, "A", Quantity::P50, (1.25, 1.08)),
    mark("5", BASE, "A", Quantity::Cpu, (2.5, 1.4)),
    mark("6", BASE, "nats", Quantity::Rate, (2.0, 4.5)),
    mark("7", SINGLE, "nats", Quantity::P50, (0.75, 0.5)),
    mark("8", BASE, "rsocket_rust", Quantity::Rate, (5.0, 12.0)),
    mark("8b", STARTER, "java", Quantity::Rate, (6.0, 13.0)),
    mark("13c", BASE, "defibus", Quantity::Rate, (50.0, 100.0)),
    mark("10", OPEN, "A", Quantity::P99, (2.0, 1.2)),
];

/// That of calls by way of a durable topic.
const QUEUED: [Mark; 1] = [mark("13c", BASE, "defibus", Quantity::Rate, (10.0, 40.0))];

/// Time given to one rate while the broker's capacity is looked for.
const TRIAL: Window = Window { warmup: Duration::from_millis(300), measured: Duration::from_millis(700), threads: 1 };
/// A trial holds if so much of what was due was answered in it.
const HELD: f64 = 0.98;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towline bench rpc                                 8 connections x 32 in flight, 128 bytes
  towline bench rpc --preset marks                  the shapes of the marks, with the marks
  towline bench rpc --connections 1 --in-flight 1   latency
  towline bench rpc --rate half                     latency at half of what the broker can take, an open loop
  towline bench rpc --target proxies                the same through a generated client and server
  towline bench rpc --target queued                 the same by way of a durable topic
  towline bench rpc --target yardstick              A against itself: how far to trust this machine
  towline bench rpc --peer nats=nats://127.0.0.1:4222?pid=4711 -o json
  towline bench rpc --preset curves --rounds 1 --seconds 1")]
pub(super) struct RpcArgs {
    /// What stands in the broker's place
    #[arg(long, value_enum, default_value_t = Target::Broker)]
    target: Target,
    /// A set of shapes instead of one
    #[arg(long, value_enum, conflicts_with_all = ["connections", "in_flight", "size", "rate", "services", "instances", "fragment"])]
    preset: Option<Preset>,
    #[arg(long, default_value_t = 8, value_parser = whole(1, 16_000))]
    connections: u64,
    /// Requests each connection keeps outstanding
    #[arg(long, default_value_t = 32, value_parser = whole(1, 65_536))]
    in_flight: u64,
    /// Bytes of data in a request and in its answer
    #[arg(long, default_value_t = 128, value_parser = whole(0, 16_776_000))]
    size: u64,
    /// Requests a second of all connections together, sent when they are due, or `half` of what the broker can take
    #[arg(long, conflicts_with = "in_flight")]
    rate: Option<Rate>,
    /// Services registered, and called in turn
    #[arg(long, default_value_t = 1, value_parser = whole(1, 100_000))]
    services: u64,
    /// Instances of each
    #[arg(long, default_value_t = 1, value_parser = whole(1, 10_000))]
    instances: u64,
    /// Bytes of data in one fragment of a request and of an answer; 0: no fragments
    #[arg(long, default_value_t = 0, value_parser = whole(0, 16_000_000))]
    fragment: u64,
    /// Where durable topics of `--target queued` lie, in a folder that is removed at the end [default: here]
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    flow: FlowArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    Half,
    Of(u64),
}

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "half" => Ok(Self::Half),
            Ok(rate) if rate > 0 => Ok(Self::Of(rate)),
            _ => Err("a number of requests a second, or `half`".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// Marks 1 to 5: 8x32 128 B, 64x1 128 B, 8x32 4 KB, 1x1 128 B
    First,
    /// The same shapes, with the marks over peers too
    Marks,
    /// What a round trip costs as connections, streams, services, instances, payloads and fragments grow
    Curves,
}

impl Preset {
    fn shapes(self) -> Vec<Shape> {
        match self {
            Self::First | Self::Marks => vec![BASE, WIDE, LARGE, SINGLE],
            Self::Curves => curves(),
        }
    }
}

/// One figure grows, the others stay; as much is outstanding at every point of a curve where that can be.
fn curves() -> Vec<Shape> {
    let connections = [1, 10, 100, 1_000, 5_000].map(|connections| Shape::new(connections, 1, 128));
    let streams = [1, 10, 100, 1_000, 8_000].map(|in_flight| Shape::new(1, in_flight, 128));
    let services = [1, 1_000, 100_000].map(|services| Shape { services, ..BASE });
    // Alone, each request is a write of its own, however many instances there are; together, they share fewer and fewer.
    let instances = [1, 10, 100, 1_000].map(|instances| Shape { instances, ..SINGLE });
    let shared = [1, 100].map(|instances| Shape { instances, ..BASE });
    // One at a time: of large requests that wait for one responder, the broker refuses all but a few.
    let sizes = [16, 1 << 10, 16 << 10, 64 << 10, 1 << 20, 16_000_000].map(|size| Shape::new(1, 1, size));
    let fragments = [64, 1 << 10, 16 << 10, 64 << 10].map(|fragment| Shape { fragment, ..Shape::new(8, 4, 64 << 10) });
    [&connections[..], &streams, &services, &instances, &shared, &sizes, &fragments].concat()
}

/// Starts what is needed, measures every shape, prints the report.
pub(super) async fn run(args: RpcArgs) -> Result<(), Failure> {
    let one = Shape {
        services: args.services as usize,
        instances: args.instances as usize,
        fragment: args.fragment as usize,
        ..Shape::new(args.connections as usize, args.in_flight as usize, args.size as usize)
    };
    let is_plain = one == Shape::new(one.connections, one.in_flight, one.size) && args.flow.metadata == Metadata::Typed;
    if args.target == Target::Queued && (!is_plain || args.preset == Some(Preset::Curves)) {
        return Err(Failure::new(
            "calls by way of a topic have no services, instances, fragments or metadata of their own",
        ));
    }
    let shapes = args.preset.map_or_else(|| vec![one], Preset::shapes);
    let shapes = shapes.into_iter().map(|shape| Shape { metadata: args.flow.metadata, ..shape });
    // A broker that knows 100,000 services is another one; and each of a curve's points is to start alike.
    let is_shared = args.preset != Some(Preset::Curves);
    let mut comparisons: Vec<Comparison> = Vec::new();
    let (mut stage, mut sides) = (None, Vec::new());
    for mut shape in shapes {
        if !is_shared || stage.is_none() {
            // The one before ends first.
            drop(stage.take());
            stage = Some(args.flow.stage(args.target, args.folder.as_deref(), shape).await?);
        }
        let Some(stage) = &stage else { continue };
        if let Some(rate) = args.rate {
            shape.in_flight = (OUTSTANDING / shape.connections).min(MOST / shape.size.max(1)).max(1);
            shape.rate = match rate {
                Rate::Of(rate) => rate,
                Rate::Half => capacity(&stage.sides[SUBJECT], shape).await? / 2,
            };
        }
        comparisons.push(args.flow.compare(stage, shape, Flow::Calls).await?);
        sides = names(stage);
    }
    // A rate that was given says nothing of half of what the broker can take.
    let marks: &[Mark] = match args.target {
        _ if matches!(args.rate, Some(Rate::Of(_))) => &[],
        Target::Broker => &MARKS,
        Target::Queued => &QUEUED,
        _ => &[],
    };
    args.flow.report(&Run { verb: "rpc", unit: "round trips", yardstick: RELAY, sides }, &comparisons, marks)
}

fn names(stage: &Stage) -> Vec<String> {
    stage.sides.iter().map(|side| side.name.clone()).collect()
}

/// The largest rate in requests a second at which nearly all that is due is answered: doubled until it is too much, then
/// halved in between.
async fn capacity(side: &Side, shape: Shape) -> Result<u64, Failure> {
    let (mut holds, mut fails) = (0, None);
    while fails.is_none_or(|fails: u64| fails - holds > holds / 16) {
        let rate = match fails {
            None => (holds * 2).max(20_000),
            Some(fails) => u64::midpoint(holds, fails),
        };
        let sample = side.measure(Shape { rate, ..shape }, TRIAL, Flow::Calls).await?;
        let does_hold = sample.rate >= HELD * rate as f64;
        eprintln!("{rate} a second: {} are answered, {} wait", sample.rate as u64, sample.behind);
        if does_hold {
            holds = rate;
        } else {
            fails = Some(rate);
        }
        if fails.is_some_and(|fails| fails < 100) {
            return Err(Failure::new("not even 100 requests a second are answered in time"));
        }
    }
    Ok(holds)
}
