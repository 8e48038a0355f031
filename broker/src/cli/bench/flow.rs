//! What the verbs that compare sides have in common: their arguments, and a run from start to report.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::client::{Sample, Shape, Window};
use super::compare;
use super::hosted::{seconds, whole};
use super::report::{self, Comparison, Mark, Output, RELAY, Run};
use super::rsocket::Metadata;
use super::sides::{Cast, Flow, Peer, Side, Stage, Target};

/// How long, how often, and against whom.
#[derive(Debug, Args)]
pub(super) struct FlowArgs {
    /// A further side that already runs: NAME=rsocket|broker|nats|defibus://HOST:PORT?pid=PID (repeatable)
    #[arg(long)]
    peer: Vec<Peer>,
    /// Rounds, in each of which every side is measured once
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
    /// What requests carry beside their data
    #[arg(long, value_enum, default_value_t = Metadata::Typed)]
    pub(super) metadata: Metadata,
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

impl FlowArgs {
    pub(super) fn window(&self) -> Window {
        Window { warmup: self.warmup, measured: self.seconds, threads: self.threads as usize }
    }

    pub(super) async fn stage(&self, target: Target, folder: Option<&Path>, shape: Shape) -> Result<Stage, Failure> {
        let running = self.broker.zip(self.broker_pid);
        Stage::set(&Cast { target, running, serve_args: &self.serve_arg, peers: &self.peer, folder }, shape).await
    }

    /// All rounds of one shape.
    pub(super) async fn compare(&self, stage: &Stage, shape: Shape, flow: Flow) -> Result<Comparison, Failure> {
        let measure = async |round: usize, side: &Side| -> Result<Sample, Failure> {
            let sample = side.measure(shape, self.window(), flow).await?;
            report::progress(shape, round, &side.name, &sample);
            Ok(sample)
        };
        Ok(Comparison { shape, rounds: compare::alternate(&stage.sides, self.rounds as usize, measure).await? })
    }

    /// Prints what was found; a failure if anything came back wrong.
    pub(super) fn report(&self, run: &Run, comparisons: &[Comparison], marks: &[Mark]) -> Result<(), Failure> {
        report::print(self.output, run, comparisons, marks)?;
        match comparisons.iter().map(Comparison::wrong).sum::<u64>() {
            0 => Ok(()),
            wrong => Err(Failure::new(format!("{wrong} answers were wrong: length, flags, number or stream id"))),
        }
    }

    /// A verb with one shape.
    pub(super) async fn run(
        &self,
        (verb, unit): (&'static str, &'static str),
        shape: Shape,
        flow: Flow,
        marks: &[Mark],
    ) -> Result<(), Failure> {
        let stage = self.stage(Target::Broker, None, shape).await?;
        let comparison = self.compare(&stage, shape, flow).await?;
        let sides = stage.sides.iter().map(|side| side.name.clone()).collect();
        self.report(&Run { verb, unit, yardstick: RELAY, sides }, &[comparison], marks)
    }
}
