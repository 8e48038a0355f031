//! `towline bench fnf`: messages nobody answers, counted where they arrive.

use clap::Args;

use super::Failure;
use super::client::Shape;
use super::flow::FlowArgs;
use super::hosted::whole;
use super::report::{Mark, Quantity};
use super::sides::Flow;

/// Messages between two counts.
const BURST: u32 = 256;
/// Counts that are outstanding: so many bursts are under way at most.
const WINDOW: usize = 16;
const BASE: Shape = Shape::new(1, WINDOW, 128);

/// The half of mark 9 that is about messages.
const MARKS: [Mark; 1] =
    [Mark { number: "9f", shape: BASE, over: "nats", quantity: Quantity::Rate, first: 2.0, goal: 6.0 }];

#[derive(Debug, Args)]
#[command(
    after_help = "After every 256 messages their number is asked for, 16 times ahead at most, on all sides alike;
one that is missing in the count makes the run fail.
Examples:
  towline bench fnf
  towline bench fnf --size 1024 --peer nats=nats://127.0.0.1:4222?pid=4711"
)]
pub(super) struct FnfArgs {
    /// Bytes of a message
    #[arg(long, default_value_t = 128, value_parser = whole(0, 1_000_000))]
    size: u64,
    #[command(flatten)]
    flow: FlowArgs,
}

pub(super) async fn run(args: FnfArgs) -> Result<(), Failure> {
    let shape = Shape { size: args.size as usize, metadata: args.flow.metadata, ..BASE };
    args.flow.run(("fnf", "messages"), shape, Flow::Messages(BURST), &MARKS).await
}
