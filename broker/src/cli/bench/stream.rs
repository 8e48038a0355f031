//! `towline bench stream`: items by credit, from a responder to a requester.

use clap::Args;

use super::Failure;
use super::client::Shape;
use super::flow::FlowArgs;
use super::hosted::whole;
use super::report::{Mark, Quantity};
use super::sides::Flow;

const BASE: Shape = Shape { credit: 4096, ..Shape::new(1, 1, 128) };

/// The half of mark 9 that is about streams.
const MARKS: [Mark; 1] =
    [Mark { number: "9s", shape: BASE, over: "nats", quantity: Quantity::Rate, first: 2.0, goal: 6.0 }];

#[derive(Debug, Args)]
#[command(after_help = "Against NATS the same window holds: a subscriber tells its publisher how much it has taken.
Examples:
  towline bench stream                             one stream of 128 bytes, 4,096 items of credit
  towline bench stream --size 1024 --streams 8
  towline bench stream --peer nats=nats://127.0.0.1:4222?pid=4711")]
pub(super) struct StreamArgs {
    #[arg(long, default_value_t = 1, value_parser = whole(1, 1_000))]
    connections: u64,
    /// Streams of each connection
    #[arg(long, default_value_t = 1, value_parser = whole(1, 8_000))]
    streams: u64,
    /// Bytes of an item
    #[arg(long, default_value_t = 128, value_parser = whole(0, 1_000_000))]
    size: u64,
    /// Items asked for at first; half as many are asked for again whenever half have come
    #[arg(long, default_value_t = 4096, value_parser = whole(2, 1_000_000))]
    credit: u64,
    #[command(flatten)]
    flow: FlowArgs,
}

pub(super) async fn run(args: StreamArgs) -> Result<(), Failure> {
    let shape = Shape {
        credit: args.credit as u32,
        metadata: args.flow.metadata,
        ..Shape::new(args.connections as usize, args.streams as usize, args.size as usize)
    };
    args.flow.run(("stream", "items"), shape, Flow::Streams, &MARKS).await
}
