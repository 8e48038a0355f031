//! `towline bench`: how fast the broker is, always as a ratio to a relay that only pumps bytes.
//!
//! Invariant: what is measured and what it is measured with never share code. The load here builds its frames by hand,
//! so a change of the engine changes the broker's numbers and nothing else.
//!
//! ```text
//!                            +-> yardstick (A) -> responder, listening      every box is a process of this binary;
//!   driver + thin client ----+                                             the driver starts and kills them, and
//!                            +-> broker <-------- responder, registered     measures the sides in turn
//! ```
//! rpc, stream and fnf compare sides, round by round (flow.rs): A, the broker, and peers that already run (sides.rs). What
//! goes over a connection is a [`talk::Talk`], in RSocket (rsocket.rs), NATS (nats.rs) or
//! DeFiBus's protocol (defibus.rs); client.rs keeps it going.
//!
//! publish and consume compare sides too, others: queue/mod.rs.
//!
//! idle, storm, fair and large load the broker alone and tell figures (figures.rs) instead of ratios: hosted.rs is the broker
//! under load, member.rs a thin connection to it, crowd.rs many of them.

mod arrivals;
mod bulk;
mod children;
mod client;
mod compare;
mod cpu;
mod crowd;
mod defibus;
mod fair;
mod figures;
mod flight;
mod flow;
mod fnf;
mod folder;
mod histogram;
mod hosted;
mod idle;
mod large;
mod member;
mod memory;
mod nats;
mod pace;
mod pacer;
mod preallocated;
mod proxies;
mod queue;
mod reader;
mod remoting;
mod report;
mod requests;
mod responder;
mod rpc;
mod rsocket;
mod sides;
mod store;
mod storm;
mod stream;
mod talk;
mod wire;
mod yardstick;

#[cfg(test)]
mod load_tests;
#[cfg(test)]
mod tests;

pub(super) use children::Child;
use std::fmt;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Measures the broker against a relay that only pumps bytes.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Request-response round trips: rate, latency and CPU, in rounds that alternate with the relay
    Rpc(rpc::RpcArgs),
    /// Items of streams, by credit: rate and CPU, in the same manner
    Stream(stream::StreamArgs),
    /// Fire-and-forget: messages counted where they arrive, in the same manner
    Fnf(fnf::FnfArgs),
    /// Registered connections that say nothing: memory and CPU, disconnects, registrations lost
    Idle(idle::IdleArgs),
    /// Apps that all connect at once, and again when their broker was restarted
    Storm(storm::StormArgs),
    /// Many paced streams at once: whether each gets its share, and how steadily
    Fair(fair::FairArgs),
    /// Messages of many megabytes: whether every byte arrives, and what the broker holds meanwhile
    Large(large::LargeArgs),
    /// The store in this process, against the raw disk: confirmations, reading back, opening, giving back
    Store(store::StoreArgs),
    /// Messages to durable topics, confirmed: rate, latency and CPU, in rounds that alternate with a group commit and nothing else
    Publish(queue::PublishArgs),
    /// A durable topic filled, taken and settled, in the same manner
    Consume(queue::ConsumeArgs),
    /// The group commit and nothing else; the driver starts it
    #[command(hide = true)]
    GroupCommit(queue::GroupCommitArgs),
    /// The relay that only pumps bytes; the driver starts it
    #[command(hide = true)]
    Yardstick(yardstick::YardstickArgs),
    /// The thin echo responder; the driver starts it
    #[command(hide = true)]
    Responder(responder::ResponderArgs),
}

/// Runs one `towline bench` verb to its end; call it outside of any async runtime. Exit code 1 if it failed, or if any
/// answer was wrong.
pub(crate) fn run(args: BenchArgs) -> ExitCode {
    // The thin ends of thousands of connections; what may not be raised fails where it is needed.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let outcome = match runtime() {
        Ok(runtime) => runtime.block_on(until_signal(args.verb)),
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("towline bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The verb, or the end by ctrl-c or SIGTERM: either way everything it started is dropped, and with it killed.
async fn until_signal(verb: Verb) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::new(format!("watch SIGINT: {e}")))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::new(format!("watch SIGTERM: {e}")))?;
    tokio::select! {
        outcome = perform(verb) => outcome,
        _ = interrupt.recv() => Err(Failure::new("interrupted")),
        _ = terminate.recv() => Err(Failure::new("terminated")),
    }
}

async fn perform(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Rpc(args) => rpc::run(args).await,
        Verb::Stream(args) => stream::run(args).await,
        Verb::Fnf(args) => fnf::run(args).await,
        Verb::Idle(args) => idle::run(args).await,
        Verb::Storm(args) => storm::run(args).await,
        Verb::Fair(args) => fair::run(args).await,
        Verb::Large(args) => large::run(args).await,
        Verb::Store(args) => store::run(args).await,
        Verb::Publish(args) => queue::publish(args).await,
        Verb::Consume(args) => queue::consume(args).await,
        Verb::GroupCommit(args) => queue::group_commit(args).await,
        Verb::Yardstick(args) => yardstick::run(args).await,
        Verb::Responder(args) => responder::run(args).await,
    }
}

/// One thread that does everything: what the thin ends and the yardstick run on.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("start a runtime: {e}")))
}

/// Why a run ended early, in one line for the person who started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure(String);

/// Writes a report to standard output; a reader that has gone is no failure.
fn show(report: &str) -> Result<(), Failure> {
    super::show(report).map(drop).map_err(|_| Failure::new("the report cannot be written to standard output"))
}

impl Failure {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
