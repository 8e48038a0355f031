//! The promises of a link: what crosses it, what it refuses, and who may write to it.

mod apps;
mod bounds;
mod claim;
mod desk;
mod model;
mod opening;
mod resets;
mod world;

use super::state::Effect;
use super::streams::Leg;
use super::*;
use bytes::BytesMut;
use rsocket::frame::{FrameRef, LENGTH, PayloadParts, flags};
use rsocket::{FrameType, StreamId};

/// Bounds small enough to be met by a few frames.
fn small_bounds() -> Bounds {
    Bounds {
        window: Limits { total: 4096, bytes: (256, 4096), items: 16, park: 600 },
        mark: 2000,
        refuse: (3, 2),
        small_request: 200,
        small_frame: 64,
        request_fragments: 1000,
        park: 1500,
        streams: (12, 16),
    }
}

fn data(bytes: &[u8]) -> PayloadParts<'_> {
    PayloadParts { metadata: None, data: bytes }
}

/// Gives a frame to `with` in the form a read loop has it: every other small one is cut out, as it is among larger ones.
fn as_packet<R>(frame: Frame, small_frame: usize, with: impl FnOnce(Step, &mut Packet<'_>) -> R) -> R {
    let mut wire = frame.into_wire();
    let step = Step::read(&wire[LENGTH..]);
    if wire.len() <= LENGTH + small_frame && wire.len().is_multiple_of(2) {
        with(step, &mut Packet::Small(&mut wire))
    } else {
        with(step, &mut Packet::Large(wire))
    }
}

/// Cuts the first frame out of what an app has received.
fn cut(wire: &mut Vec<u8>) -> Option<Frame> {
    let len = LENGTH
        + wire.first_chunk::<3>().map(|[a, b, c]| usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c))?;
    (wire.len() >= len)
        .then(|| Frame::parse(wire.drain(..len).collect::<Vec<u8>>().as_slice().into()).expect("whole frames arrive"))
}

/// Takes up to `n` bytes of a batch as a socket would.
fn socket(batch: &mut rsocket::transport::Batch, n: usize, wire: &mut Vec<u8>) -> usize {
    let before = wire.len();
    while wire.len() - before < n
        && let Some(mut chunk) = batch.pop()
    {
        let left = n - (wire.len() - before);
        if chunk.len() > left {
            let rest = chunk.split_off(left);
            batch.insert(0, rest);
        }
        wire.extend_from_slice(&chunk);
    }
    wire.len() - before
}

/// Writes everything a link holds and returns the frames.
fn written<L: Clone>(state: &mut State<L>, effects: &mut Vec<Effect<L>>) -> Vec<Frame> {
    let (mut writing, mut wire) = (Writing::default(), Vec::new());
    loop {
        state.outbox.take(&mut writing, 4096);
        let n = socket(&mut writing.batch, usize::MAX / 2, &mut wire);
        if n == 0 {
            break;
        }
        state.written(&mut writing, n, effects);
    }
    std::iter::from_fn(|| cut(&mut wire)).collect()
}
