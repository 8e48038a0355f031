//! `towline bench store`: the embedded engine in this process, without a network, against the raw disk under it.
//!
//! ```text
//!  load    the same closed loop for both     engine   the store, with retention beside
//!  shape   what a load is                    raw      the yardstick: one write and one sync for all that has come
//!  rounds  both sides in turn, and the table          catch_up   writing, reading back, reopening, giving back
//!                                                     given_up   of what is given back: half, most topics, most messages
//! ```
//! Invariant: both sides run on the same disk, one after the other, under the same load; only ratios of one round count.

mod catch_up;
mod engine;
mod given_up;
mod load;
mod raw;
mod rounds;
mod shape;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Failure;
use super::folder::Folder;
use super::hosted::{seconds, whole};
use super::report::Output;
use given_up::GivenUp;
use shape::Shape;

#[derive(Debug, Args)]
#[command(after_help = "\
The yardstick is a thread that takes all records that have come, writes them at once into a file that is there already,
syncs once, and answers each. Rounds alternate. CPU is that of the whole process, the load included.
Examples: towline bench store --shape 8x32
          towline bench store --shape 8x32 --size 1024 --topics 1 --gib 10
          towline bench store --catch-up
          towline bench store --catch-up --topics 1000 --give-up between")]
pub(super) struct StoreArgs {
    /// Tasks, and messages each of them has on their way; may be given more than once [default: 8x32 and 1x256]
    #[arg(long, value_name = "TASKSxMESSAGES", value_parser = shape::load)]
    shape: Vec<(usize, usize)>,
    /// Bytes of a message; may be given more than once [default: 128 and 1024]
    #[arg(long, value_parser = whole(1, 8 << 20))]
    size: Vec<u64>,
    /// Topics the messages go to; may be given more than once [default: 1 and 1000]
    #[arg(long, value_parser = whole(1, 100_000))]
    topics: Vec<u64>,
    /// What a confirmation means; with `os` the engine is measured alone
    #[arg(long, value_enum, default_value_t = shape::Level::Disk)]
    durability: shape::Level,
    #[arg(long, default_value_t = 5, value_parser = whole(1, 1000))]
    rounds: u64,
    /// Of one side in one round
    #[arg(long, default_value = "1.5", value_parser = seconds)]
    seconds: Duration,
    /// Goes on with rounds until so many GiB of messages are in the engine
    #[arg(long, value_parser = whole(1, 1000))]
    gib: Option<u64>,
    /// Writes many messages, and measures what comes after: reading, reopening, giving the disk back, memory
    #[arg(long, conflicts_with_all = ["shape", "durability", "gib", "rounds"])]
    catch_up: bool,
    /// What is given up then, with --catch-up
    #[arg(long, value_enum, default_value_t = GivenUp::Half, requires = "catch_up")]
    give_up: GivenUp,
    /// How many, with --catch-up
    #[arg(long, default_value_t = 5_000_000, value_parser = whole(1000, 1_000_000_000))]
    messages: u64,
    /// A folder to use; what it gets is removed afterwards [default: a new one in the current folder]
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) async fn run(args: StoreArgs) -> Result<(), Failure> {
    let folder = Folder::make(args.data.as_deref())?;
    let sizes = or(&args.size, &[128, 1024]);
    let topics = or(&args.topics, &[1, 1000]);
    if args.catch_up {
        let topics = args.topics.first().copied().unwrap_or(1) as usize;
        let shape = catch_up::shape(topics, sizes[0] as usize);
        return catch_up::run(&folder, args.messages, shape, args.give_up, args.output).await;
    }
    let mut all = Vec::new();
    for (tasks, in_flight) in or(&args.shape, &[(8, 32), (1, 256)]) {
        for &topics in &topics {
            for &size in &sizes {
                let (topics, size) = (topics as usize, size as usize);
                let shape = Shape { tasks, in_flight, topics, size, level: args.durability };
                let plan = rounds::Plan { rounds: args.rounds as usize, seconds: args.seconds, gib: args.gib };
                all.push(rounds::measure(&folder, shape, &plan).await?);
            }
        }
    }
    rounds::print(args.output, &all)?;
    Ok(())
}

fn or<T: Clone>(given: &[T], default: &[T]) -> Vec<T> {
    if given.is_empty() { default.to_vec() } else { given.to_vec() }
}
