//! `towline bench fair`: whether every one of many paced streams gets its share.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::cpu::Reading;
use super::figures::Figures;
use super::hosted::{self, Host, HostArgs, seconds, whole};
use super::reader::{Gaps, Phase, read_streams};
use super::report::Output;
use super::{Failure, pacer, runtime};

#[derive(Debug, Args)]
#[command(after_help = "\
Opens that many streams in all over that many connections; a paced responder gives each of them --rate items a second,
at moments of its own. Tells how many items the slowest stream got as a share of the mean, how long each stream waited
from one item to the next, and how late items were by the responder's own clock. What the responder could not send
because it had no credit is counted, too. Load and broker share the machine: see how late the pacer itself was.
Examples:
  towline bench fair --streams 10000 --connections 200 --seconds 30
  towline bench fair --streams 1000 --connections 20 -o json")]
pub(super) struct FairArgs {
    #[arg(long, default_value_t = 10_000, value_parser = whole(1, 100_000))]
    streams: u64,
    /// Connections the streams are asked for on
    #[arg(long, default_value_t = 200, value_parser = whole(1, 10_000))]
    connections: u64,
    /// Connections of the responder
    #[arg(long, default_value_t = 8, value_parser = whole(1, 1_000))]
    responders: u64,
    /// Items a second, each stream
    #[arg(long, default_value_t = 10, value_parser = whole(1, 1_000))]
    rate: u64,
    /// Items a stream is granted at a time; granted again when half of them have come
    #[arg(long, default_value_t = 32, value_parser = whole(2, 1_000_000))]
    credit: u64,
    /// Bytes of an item
    #[arg(long, default_value_t = 64, value_parser = whole(8, 65_536))]
    size: u64,
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Items before the measured time
    #[arg(long, default_value = "3", value_parser = seconds)]
    warmup: Duration,
    #[command(flatten)]
    host: HostArgs,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Opens the streams, measures, prints what was found.
pub(super) async fn run(args: FairArgs) -> Result<(), Failure> {
    hosted::descriptors_for((args.connections + args.responders) as usize)?;
    let shape = json!({
        "streams": args.streams, "connections": args.connections, "responders": args.responders, "rate": args.rate,
        "credit": args.credit, "size": args.size, "seconds": args.seconds.as_secs_f64(),
    });
    let mut found = Figures::new("fair", shape);
    let host = Host::start(&args.host, None).await?;
    let clock = Instant::now();
    let pacer = start_pacer(&args, host.address, clock).await?;

    let (tell, told) = watch::channel(Phase::Warmup);
    let mut readers = JoinSet::new();
    for nth in 0..args.connections {
        let share = args.streams / args.connections + u64::from(nth < args.streams % args.connections);
        readers.spawn(read_streams(host.address, share as usize, args.credit as u32, clock, told.clone()));
    }
    lasting(&mut readers, args.warmup).await?;
    let begin = Reading::take(&host.processes())?;
    tell.send_replace(Phase::Measured);
    lasting(&mut readers, args.seconds).await?;
    tell.send_replace(Phase::Over);
    let usage = begin.until(&Reading::take(&host.processes())?);

    let mut gaps = Gaps::new();
    while let Some(ended) = readers.join_next().await {
        gaps.merge(&ended.map_err(|e| Failure::new(format!("a reader: {e}")))??);
    }
    pacer.stop.send_replace(true);
    let paced = pacer.paced.await.map_err(|_| Failure::new("the pacer ended early"))??;

    let items = gaps.items();
    found.add("items_per_second", "items a second, all streams", items / usage.seconds);
    found.add("share_of_rate", "of what was asked for", items / usage.seconds / (args.streams * args.rate) as f64);
    found.add("slowest_over_mean", "items of the slowest stream over the mean", gaps.slowest_over_mean());
    found.add(
        "gap_p50_ms",
        "from one item of a stream to the next, median, ms",
        gaps.between.quantile(0.5) as f64 / 1e6,
    );
    found.add("gap_p99_ms", "the same, 99 of 100, ms", gaps.between.quantile(0.99) as f64 / 1e6);
    found.add("gap_max_ms", "the same, longest, ms", gaps.between.quantile(1.0) as f64 / 1e6);
    found.add(
        "late_p99_ms",
        "from when an item was due until it came, 99 of 100, ms",
        gaps.late.quantile(0.99) as f64 / 1e6,
    );
    found.add(
        "pacer_late_p99_ms",
        "from when an item was due until it was sent, the same, ms",
        paced.late.quantile(0.99) as f64 / 1e6,
    );
    found.add("without_credit", "items not sent for want of credit", paced.without_credit as f64);
    found.add("server_cpu_us", "CPU of the broker an item, us", usage.server_seconds * 1e6 / items.max(1.0));
    found.add("foreign_cores", "CPU of other processes, cores", usage.foreign_cores);
    found.print(args.output)?;
    Ok(())
}

/// Lets time pass; a reader that ends meanwhile has failed.
async fn lasting(readers: &mut JoinSet<Result<Gaps, Failure>>, time: Duration) -> Result<(), Failure> {
    tokio::select! {
        ended = readers.join_next() => match ended {
            Some(Ok(Err(failure))) => Err(failure),
            _ => Err(Failure::new("a reader ended early")),
        },
        () = sleep(time) => Ok(()),
    }
}

/// The responder on a thread of its own.
struct Pacer {
    stop: watch::Sender<bool>,
    paced: oneshot::Receiver<Result<pacer::Paced, Failure>>,
}

async fn start_pacer(args: &FairArgs, address: SocketAddr, clock: Instant) -> Result<Pacer, Failure> {
    let (stop, stopped) = watch::channel(false);
    let (done, paced) = oneshot::channel();
    let (ready, is_ready) = oneshot::channel();
    let plan = pacer::Plan {
        address,
        links: args.responders as usize,
        period: Duration::from_secs(1) / args.rate as u32,
        size: args.size as usize,
        clock,
    };
    let runtime = runtime()?;
    std::thread::spawn(move || {
        // Nobody listens any more if the run has failed elsewhere.
        let _ = done.send(runtime.block_on(pacer::serve(plan, ready, stopped)));
    });
    let pacer = Pacer { stop, paced };
    match is_ready.await {
        Ok(()) => Ok(pacer),
        Err(_) => Err(pacer.paced.await.map_or_else(
            |_| Failure::new("no pacer"),
            |ended| match ended {
                Err(failure) => failure,
                Ok(_) => Failure::new("the pacer ended early"),
            },
        )),
    }
}
