use super::super::streams::Streams;
use super::*;
use proptest::prelude::*;
use rsocket::frame::{PayloadParts, flags};
use rsocket::{Frame, FrameRef};

fn record(stream: StreamId, mark: Mark) -> Record {
    Record { stream, serial: Serial::NONE, len: 0, mark }
}

fn push(outbox: &mut Outbox, stream: StreamId, size: usize) {
    let frame = Frame::payload(stream, flags::NEXT, PayloadParts { metadata: None, data: &vec![stream as u8; size] });
    if size > 2048 {
        outbox.push_large(record(stream, Mark::Plain), frame.into_wire());
    } else {
        outbox.push_small(record(stream, Mark::Plain), frame.wire());
    }
}

/// Frames of these sizes as they stand in one read block, cut out of it.
fn parts(frames: &[(StreamId, usize)]) -> Vec<BytesMut> {
    let mut read = BytesMut::with_capacity(block::WIDE);
    let frame =
        |stream, size| Frame::payload(stream, flags::NEXT, PayloadParts { metadata: None, data: &vec![9; size] });
    let frames: Vec<_> = frames.iter().map(|(stream, size)| frame(*stream, *size)).collect();
    frames.iter().for_each(|frame| read.extend_from_slice(frame.wire()));
    frames.iter().map(|frame| read.split_to(frame.wire().len())).collect()
}

/// Takes up to `n` bytes as a socket would.
fn socket(writing: &mut Writing, n: usize, wire: &mut Vec<u8>) -> usize {
    let mut left = n;
    while left > 0
        && let Some(mut chunk) = writing.batch.pop()
    {
        if chunk.len() > left {
            let rest = chunk.split_off(left);
            writing.batch.insert(0, rest);
        }
        left -= chunk.len();
        wire.extend_from_slice(&chunk);
    }
    writing.written(n - left, |_| ());
    n - left
}

fn streams(mut wire: &[u8]) -> Vec<StreamId> {
    let mut ids = Vec::new();
    while !wire.is_empty() {
        let len = usize::from(wire[0]) << 16 | usize::from(wire[1]) << 8 | usize::from(wire[2]);
        ids.push(FrameRef::parse(&wire[3..3 + len]).unwrap().stream_id());
        wire = &wire[3 + len..];
    }
    ids
}

#[derive(Clone, Debug)]
enum Op {
    Push(StreamId, usize),
    /// Frames of one read block, each of which is queued or not.
    Parts(Vec<(StreamId, usize, bool)>),
    Block,
    Control,
    Remove(StreamId),
    Write(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1u32..6, prop_oneof![0usize..200, 2049usize..9000]).prop_map(|(stream, size)| Op::Push(stream, size)),
        2 => prop::collection::vec((1u32..6, 500usize..2048, prop::bool::weighted(0.9)), 1..20).prop_map(Op::Parts),
        1 => Just(Op::Block),
        1 => Just(Op::Control),
        1 => (1u32..6).prop_map(Op::Remove),
        3 => (1usize..20_000).prop_map(Op::Write),
    ]
}

proptest! {
    #[test]
    fn frames_leave_whole_in_order_with_stream_0_first(ops in prop::collection::vec(op(), 1..200), batch in 100usize..10_000) {
        let (mut outbox, mut writing, mut wire) = (Outbox::default(), Writing::default(), Vec::new());
        let mut queued: Vec<StreamId> = Vec::new();
        let mut pushed: Vec<StreamId> = Vec::new();
        for op in ops {
            match op {
                Op::Push(stream, size) => { push(&mut outbox, stream, size); queued.push(stream); pushed.push(stream); }
                Op::Parts(frames) => {
                    let sizes: Vec<_> = frames.iter().map(|(stream, size, _)| (*stream, *size)).collect();
                    for ((stream, _, is_queued), wire) in frames.into_iter().zip(parts(&sizes)) {
                        if is_queued {
                            outbox.push_part(record(stream, Mark::Plain), wire);
                            queued.push(stream);
                            pushed.push(stream);
                        }
                    }
                }
                Op::Block => outbox.block(),
                Op::Control => {
                    outbox.push_control(Frame::keepalive(false, &[]).into_wire());
                    // Behind at most the frame that is half written.
                    let before = streams_started(&wire);
                    outbox.take(&mut writing, batch);
                    queued = outbox_streams(&outbox);
                    let half = usize::from(writing.offset > 0);
                    prop_assert_eq!(writing.records[half].stream, 0);
                    let _ = before;
                }
                Op::Remove(stream) => {
                    outbox.remove(stream, Serial::NONE);
                    queued.retain(|queued| *queued != stream);
                    prop_assert_eq!(outbox_streams(&outbox), queued.clone());
                }
                Op::Write(n) => {
                    outbox.is_blocked &= n % 2 == 0;
                    outbox.take(&mut writing, batch);
                    socket(&mut writing, n, &mut wire);
                    queued = outbox_streams(&outbox);
                }
            }
            prop_assert_eq!(outbox_streams(&outbox), queued.clone());
            prop_assert!(!outbox.is_blocked || outbox.queue.iter().all(|segment| segment.memory != Memory::Block));
            let bytes: usize = outbox.queue.iter().map(|segment| segment.bytes.len()).sum();
            prop_assert_eq!(outbox.bytes(), bytes + outbox.control.iter().map(|(frame, _)| frame.len()).sum::<usize>());
        }
        for _ in 0..10_000 {
            outbox.take(&mut writing, batch);
            if writing.batch.is_empty() { break; }
            socket(&mut writing, 777, &mut wire);
        }
        prop_assert!(outbox.is_empty() && writing.records.is_empty());
        prop_assert_eq!(outbox.weight(), 0);
        // What is on the wire parses, and the order of what was pushed is kept.
        let sent: Vec<_> = streams(&wire).into_iter().filter(|stream| *stream != 0).collect();
        let mut rest = pushed.iter();
        prop_assert!(sent.iter().all(|stream| rest.any(|pushed| pushed == stream)), "order changed");
    }
}

fn streams_started(wire: &[u8]) -> usize {
    wire.len()
}

fn outbox_streams(outbox: &Outbox) -> Vec<StreamId> {
    outbox.queue.iter().flat_map(|segment| &segment.records).map(|record| record.stream).collect()
}

#[test]
fn echoes_coalesce_to_the_newest() {
    let mut outbox = Outbox::default();
    for n in 0..100u8 {
        outbox.push_echo(Frame::keepalive(false, &[n]).into_wire());
    }
    assert_eq!(outbox.control.len(), ECHOES);
    assert_eq!(outbox.control.back().unwrap().0.last(), Some(&99));
    assert_eq!(outbox.bytes(), ECHOES * (3 + 6 + 8 + 1));
}

#[test]
fn a_frame_is_queued_until_the_writer_has_it() {
    let mut outbox = Outbox::default();
    let frame = Frame::cancel(4);
    let (first, second) = (outbox.place(), outbox.place() + 1);
    outbox.push_small(record(4, Mark::Opens), frame.wire());
    assert_eq!(outbox.place(), second);
    assert!(outbox.is_queued(first));
    let mut writing = Writing::default();
    outbox.take(&mut writing, 1000);
    assert!(!outbox.is_queued(first), "what the writer has is not taken back");
    outbox.push_small(record(6, Mark::Opens), frame.wire());
    assert!(outbox.is_queued(second) && !outbox.is_queued(first));
}

/// An outbox with so many frames of 10 streams, and the serial of the newest.
fn deep(frames: u32) -> (Outbox, Serial) {
    let mut outbox = Outbox::default();
    let serial = Streams::<()>::new(1).draw_serial();
    for nth in 0..frames {
        let frame = Frame::payload(nth % 10 + 1, flags::NEXT, PayloadParts { metadata: None, data: b"item" });
        outbox.push_small(Record { serial, ..record(nth % 10 + 1, Mark::Plain) }, frame.wire());
    }
    (outbox, serial)
}

fn drained(outbox: &mut Outbox) -> Vec<StreamId> {
    let (mut writing, mut wire) = (Writing::default(), Vec::new());
    outbox.take(&mut writing, usize::MAX);
    while socket(&mut writing, usize::MAX, &mut wire) > 0 {
        outbox.take(&mut writing, usize::MAX);
    }
    assert_eq!((outbox.weight(), outbox.refusals()), (0, 0));
    streams(&wire)
}

#[test]
fn removal_from_a_deep_outbox_is_put_off_and_nothing_removed_comes_out() {
    for frames in [100, 5_000, 50_000] {
        let (mut outbox, serial) = deep(frames);
        let before = outbox.frames;
        outbox.remove(3, serial);
        outbox.remove_unknown(4, serial);
        assert_eq!(outbox.frames < before, frames <= 1_024 * 2, "{frames}");
        let mut weights = Vec::new();
        outbox.weights(|stream, _, _| weights.push(stream));
        assert!(!weights.contains(&3) && !weights.contains(&4));
        // What comes after the removal is not part of it: the broker's last word, a refusal, the id used again.
        let last = Frame::error(3, rsocket::ErrorCode::CANCELED, "gone");
        outbox.push_small(Record { serial, ..record(3, Mark::Last) }, last.wire());
        outbox.push_small(record(4, Mark::Refusal), Frame::error(4, rsocket::ErrorCode::REJECTED, "").wire());
        let mut later = Streams::<()>::new(1);
        later.draw_serial();
        outbox.push_small(Record { serial: later.draw_serial(), ..record(4, Mark::Plain) }, Frame::cancel(4).wire());
        let seen = drained(&mut outbox);
        assert_eq!(seen.len() as u32, frames - 2 * frames / 10 + 3, "{frames}");
        assert_eq!(seen[seen.len() - 3..], [3, 4, 4]);
        assert!(!seen[..seen.len() - 3].iter().any(|stream| [3, 4].contains(stream)));
    }
}

#[test]
fn a_flood_of_removals_walks_a_deep_outbox_once_in_a_while() {
    let (mut outbox, serial) = deep(100_000);
    let mut walks = 0;
    for id in 0..10_000 {
        outbox.remove_unknown(20_001 + 2 * id, serial);
        walks += usize::from(outbox.dead.is_empty());
    }
    // One for every 98: as many as 100,000 frames are worth 1,024 of.
    assert_eq!(walks, 10_000 / 98);
    outbox.remove(1, serial);
    outbox.sweep();
    assert_eq!(drained(&mut outbox).len(), 90_000);
}

#[test]
fn neighbours_in_a_read_block_go_on_without_a_copy() {
    let mut outbox = Outbox::default();
    let wires = parts(&[(2, 2000); 30]);
    let (first, second) = (wires[0].as_ptr(), wires[15].as_ptr());
    for (nth, wire) in wires.into_iter().enumerate() {
        if nth == 15 {
            push(&mut outbox, 4, 10);
        }
        outbox.push_part(record(2, Mark::Plain), wire);
    }
    let found: Vec<_> = outbox.queue.iter().map(|segment| (segment.memory, segment.records.len())).collect();
    assert_eq!(found, [(Memory::Block, 15), (Memory::Tail, 1), (Memory::Block, 15)]);
    assert_eq!([first, second], [0, 2].map(|at: usize| outbox.queue[at].bytes.as_ptr()));
    assert_eq!(drained(&mut outbox).len(), 31);
}

#[test]
fn a_short_part_of_a_read_block_is_copied_to_the_others() {
    let mut outbox = Outbox::default();
    push(&mut outbox, 4, 10);
    for _ in 0..3 {
        parts(&[(2, 1000); 5]).into_iter().for_each(|wire| outbox.push_part(record(2, Mark::Plain), wire));
    }
    push(&mut outbox, 4, 10);
    let found: Vec<_> = outbox.queue.iter().map(|segment| (segment.memory, segment.records.len())).collect();
    assert_eq!(found, [(Memory::Tail, 17)]);
    assert!(outbox.is_queued(0));
    assert_eq!(drained(&mut outbox).len(), 17);
}

#[test]
fn what_waits_for_a_full_socket_is_in_memory_of_its_own() {
    let mut outbox = Outbox::default();
    let mut wires = parts(&[(2, 1000); 60]).into_iter();
    let read = wires.as_slice()[0].as_ptr();
    wires.by_ref().take(20).for_each(|wire| outbox.push_part(record(2, Mark::Plain), wire));
    assert_eq!(outbox.queue[0].bytes.as_ptr(), read);
    outbox.block();
    assert_ne!(outbox.queue[0].bytes.as_ptr(), read);
    wires.for_each(|wire| outbox.push_part(record(2, Mark::Plain), wire));
    assert!(outbox.queue.iter().all(|segment| segment.memory == Memory::Tail));
    assert_eq!(drained(&mut outbox).len(), 60);
}
