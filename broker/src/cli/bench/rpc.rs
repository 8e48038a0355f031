//! `towline bench rpc`: request-response through the broker and through the yardstick, in turn.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::children::Child;
use super::client::{self, Shape, Window};
use super::compare::{self, Side};
use super::cpu::Processes;
use super::report::{self, Comparison, Mark, Output, Quantity};
use super::{Failure, proxies, responder, yardstick};

const PROXIES: &str = "proxies";

const BASE: Shape = Shape { connections: 8, in_flight: 32, size: 128 };
const WIDE: Shape = Shape { connections: 64, in_flight: 1, size: 128 };
const LARGE: Shape = Shape { connections: 8, in_flight: 32, size: 4096 };
const SINGLE: Shape = Shape { connections: 1, in_flight: 1, size: 128 };

/// Marks 1 to 5 of the design's performance.md.
const MARKS: [Mark; 5] = [
    Mark { number: 1, shape: BASE, quantity: Quantity::Rate, first: 0.5, goal: 1.0 },
    Mark { number: 2, shape: WIDE, quantity: Quantity::Rate, first: 0.8, goal: 1.5 },
    Mark { number: 3, shape: LARGE, quantity: Quantity::Rate, first: 0.8, goal: 1.05 },
    Mark { number: 4, shape: SINGLE, quantity: Quantity::P50, first: 1.25, goal: 1.08 },
    Mark { number: 5, shape: BASE, quantity: Quantity::Cpu, first: 2.5, goal: 1.4 },
];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towline bench rpc                                 8 connections x 32 in flight, 128 bytes
  towline bench rpc --preset first                  the shapes of marks 1 to 5, with the marks
  towline bench rpc --connections 1 --in-flight 1   latency
  towline bench rpc --target proxies                the same through a generated client and server
  towline bench rpc --target yardstick              A against itself: how far to trust this machine
  towline bench rpc --broker 127.0.0.1:9999 --broker-pid 4711 -o json")]
pub(super) struct RpcArgs {
    /// What is compared with the relay
    #[arg(long, value_enum, default_value_t = Target::Broker)]
    target: Target,
    /// A set of shapes instead of one
    #[arg(long, value_enum, conflicts_with_all = ["connections", "in_flight", "size"])]
    preset: Option<Preset>,
    #[arg(long, default_value_t = 8, value_parser = whole(1, 10_000))]
    connections: u64,
    /// Requests each connection keeps outstanding
    #[arg(long, default_value_t = 32, value_parser = whole(1, 65_536))]
    in_flight: u64,
    /// Bytes of data in a request and in its answer
    #[arg(long, default_value_t = 128, value_parser = whole(0, 16_000_000))]
    size: u64,
    /// Pairs of measurements: the relay, then the target
    #[arg(long, default_value_t = 5, value_parser = whole(1, 1_000))]
    rounds: u64,
    /// Measured time of each measurement
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Load before the measured time
    #[arg(long, default_value = "1", value_parser = seconds)]
    warmup: Duration,
    /// Threads the client makes its load on
    #[arg(long, default_value_t = 1, value_parser = whole(1, 64))]
    threads: u64,
    /// A broker that already runs, instead of one started for this run
    #[arg(long, requires = "broker_pid", conflicts_with = "serve_arg")]
    broker: Option<SocketAddr>,
    /// The process id of that broker, for its CPU time
    #[arg(long, requires = "broker")]
    broker_pid: Option<u32>,
    /// A further argument for the `towline serve` that is started (repeatable)
    #[arg(long, allow_hyphen_values = true)]
    serve_arg: Vec<String>,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// The broker, with the responder registered at it
    Broker,
    /// The responder, with nothing between: for orientation
    Direct,
    /// The relay once more: what differs is noise
    Yardstick,
    /// The broker, between a generated client and a generated server: what users write
    Proxies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// Marks 1 to 5: 8x32 128 B, 64x1 128 B, 8x32 4 KB, 1x1 128 B
    First,
}

/// Starts what is needed, measures every shape, prints the report.
pub(super) async fn run(args: RpcArgs) -> Result<(), Failure> {
    let shapes = match args.preset {
        Some(Preset::First) => vec![BASE, WIDE, LARGE, SINGLE],
        None => vec![Shape {
            connections: args.connections as usize,
            in_flight: args.in_flight as usize,
            size: args.size as usize,
        }],
    };
    let window = Window { warmup: args.warmup, measured: args.seconds, threads: args.threads as usize };
    let stage = Stage::set(&args).await?;
    let mut comparisons = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let mut step = 0_usize;
        let rounds = compare::alternate(&stage.a, &stage.b, args.rounds as usize, async |side: &Side| {
            let sample = match (args.target, side.name) {
                (Target::Proxies, PROXIES) => proxies::measure(side.address, shape, window, &side.processes).await?,
                _ => client::measure(side.address, shape, window, &side.processes).await?,
            };
            step += 1;
            report::progress(shape, step.div_ceil(2), side.name, &sample);
            Ok(sample)
        })
        .await?;
        comparisons.push(Comparison { shape, rounds });
    }
    let marks: &[Mark] = if args.target == Target::Broker { &MARKS } else { &[] };
    report::print(args.output, stage.b.name, &comparisons, marks);
    match comparisons.iter().map(Comparison::wrong).sum::<u64>() {
        0 => Ok(()),
        wrong => Err(Failure::new(format!("{wrong} answers were wrong: length, flags or stream id"))),
    }
}

/// The processes of a run and the two sides they make.
struct Stage {
    a: Side,
    b: Side,
    /// Killed when the run is over, however it ends.
    _children: Vec<Child>,
}

impl Stage {
    async fn set(args: &RpcArgs) -> Result<Self, Failure> {
        let echo = responder::start_listening().await?;
        let relay = yardstick::start(echo.address()).await?;
        let (echo_at, relay_at) = (echo.address(), relay.address());
        let (echo_pid, relay_pid) = (echo.pid(), relay.pid());
        let mut children = vec![echo, relay];

        let (name, address, server) = match args.target {
            Target::Direct => ("direct", echo_at, echo_pid),
            Target::Yardstick => ("A again", relay_at, relay_pid),
            Target::Broker | Target::Proxies => {
                let (address, pid) = match args.broker.zip(args.broker_pid) {
                    Some(running) => running,
                    None => {
                        let broker = start_broker(&args.serve_arg).await?;
                        let at = (broker.address(), broker.pid());
                        children.push(broker);
                        at
                    }
                };
                let is_thin = args.target == Target::Broker;
                children.push(match is_thin {
                    true => responder::start_at(address).await?,
                    false => proxies::start_at(address).await?,
                });
                (if is_thin { "broker" } else { PROXIES }, address, pid)
            }
        };
        let mut pids: Vec<u32> = children.iter().map(Child::pid).chain([std::process::id(), server]).collect();
        pids.sort_unstable();
        pids.dedup();
        let side = |name, address, server| {
            let others = pids.iter().copied().filter(|pid| *pid != server).collect();
            Side { name, address, processes: Processes { server, others } }
        };
        let stage = Self { a: side("A", relay_at, relay_pid), b: side(name, address, server), _children: children };
        let probed = [&stage.a, &stage.b];
        for side in probed.into_iter().filter(|side| side.name != PROXIES) {
            client::probe(side.address).await.map_err(|e| Failure::new(format!("{}: {e}", side.name)))?;
        }
        Ok(stage)
    }
}

async fn start_broker(more: &[String]) -> Result<Child, Failure> {
    let fixed =
        ["serve", "--listen", "tcp://127.0.0.1:0", "--http", "off", "--management", "127.0.0.1:0", "--log", "warn"];
    let args: Vec<&str> = fixed.into_iter().chain(more.iter().map(String::as_str)).collect();
    Child::start("towline ready", &args).await
}

fn whole(least: u64, most: u64) -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(least..=most)
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0.05 to 600".to_owned()),
    }
}
