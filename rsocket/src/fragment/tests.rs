use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_split_joins_again(metadata in prop::option::of(prop::collection::vec(any::<u8>(), 0..400)),
                                 data in prop::collection::vec(any::<u8>(), 0..700), max in 64usize..300,
                                 request: bool, complete: bool) {
        let parts = PayloadParts { metadata: metadata.as_deref(), data: &data };
        let kind = if request { FrameType::RequestChannel } else { FrameType::Payload };
        let done = if complete { flags::COMPLETE } else { 0 };
        let bits = if request { done } else { done | flags::NEXT };
        let mut frames = Vec::new();
        split(Whole { kind, stream: 5, flags: bits, request_n: 9, parts }, max, |frame| frames.push(frame));
        let count = frames.len();
        let mut joiner = Joiner::new(2_000, 4_000);
        for (at, frame) in frames.into_iter().enumerate() {
            prop_assert!(frame.view().bytes().len() <= max);
            let joined = joiner.push(frame).unwrap();
            prop_assert_eq!(joined.is_some(), at + 1 == count);
            if let Some(joined) = joined {
                prop_assert_eq!(joined.kind, kind);
                prop_assert_eq!(joined.flags & flags::COMPLETE, done);
                prop_assert_eq!(joined.metadata.as_deref(), metadata.as_deref());
                prop_assert_eq!(&joined.data[..], &data[..]);
                prop_assert_eq!(joined.request_n, if request { 9 } else { 0 });
            }
        }
        prop_assert_eq!(joiner.held(), 0);
    }
}

fn piece(stream: StreamId, len: usize) -> Frame {
    Frame::payload(stream, flags::FOLLOWS | flags::NEXT, PayloadParts { metadata: None, data: &vec![1; len] })
}

#[test]
fn streams_interleave() {
    let mut joiner = Joiner::new(100, 1_000);
    assert_eq!(joiner.push(piece(1, 10)), Ok(None));
    assert_eq!(joiner.push(piece(3, 20)), Ok(None));
    let last = |stream| Frame::payload(stream, flags::NEXT, PayloadParts::default());
    assert_eq!(joiner.push(last(1)).unwrap().unwrap().data.len(), 10);
    assert_eq!(joiner.push(last(3)).unwrap().unwrap().data.len(), 20);
}

#[test]
fn endless_and_empty_fragments_are_bounded() {
    let mut joiner = Joiner::new(100, 1_000);
    assert_eq!(joiner.push(piece(1, 60)), Ok(None));
    assert_eq!(joiner.push(piece(1, 60)), Err(JoinError::TooLarge(100)));
    assert_eq!(joiner.held(), 0);
    let refused = (1..100).find(|stream| joiner.push(piece(*stream, 0)).is_err());
    assert_eq!(refused, Some(1_000 / 64 + 1));
    joiner.cancel(1);
    assert_eq!(joiner.held(), 1_000 / 64 * 64 - 64);
}

#[test]
fn follows_with_complete_is_the_last_fragment() {
    let mut joiner = Joiner::new(100, 1_000);
    joiner.push(piece(1, 5)).unwrap();
    let last = Frame::payload(1, flags::FOLLOWS | flags::COMPLETE | flags::NEXT, PayloadParts::default());
    assert_eq!(joiner.push(last).unwrap().unwrap().data.len(), 5);
}
