//! See the parent.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    /// Messages of a topic, each behind so many missing offsets and groups of others.
    Push(u64, Vec<(u64, u64)>),
    Roll,
    ForgetSegment(u64),
    ForgetTopic(u64),
    ForgetFrom(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4u64, prop::collection::vec((prop_oneof![4 => Just(0u64), 1 => 1..5u64], prop_oneof![4 => Just(1u64), 1 => 1..9_000u64]), 1..6)).prop_map(|(topic, gaps)| Step::Push(topic, gaps)),
        2 => Just(Step::Roll),
        1 => (1..6u64).prop_map(Step::ForgetSegment),
        1 => (1..4u64).prop_map(Step::ForgetTopic),
        1 => prop_oneof![0..40u64, 0..1_000_000u64].prop_map(Step::ForgetFrom),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_what_a_plain_map_finds(steps in prop::collection::vec(steps(), 1..60), from in 0..60u64) {
        let (mut index, mut model) = (Index::default(), BTreeMap::<(TopicId, Offset), Spot>::new());
        let (mut heads, mut segment, mut place) = ([0u64; 4], 1, 64u64);
        for step in steps {
            match step {
                Step::Push(topic, gaps) => for (gap, others) in gaps {
                    let offset = heads[topic as usize] + gap;
                    heads[topic as usize] = offset + 1;
                    let spot = Spot { offset, segment, position: (place * 64) as u32 };
                    place += others;
                    index.push(TopicId(topic), spot, 7);
                    model.insert((TopicId(topic), offset), spot);
                },
                Step::Roll => (segment, place) = (segment + 1, 64),
                Step::ForgetSegment(gone) => {
                    index.forget_segment(gone);
                    model.retain(|_, spot| spot.segment != gone);
                }
                Step::ForgetTopic(gone) => {
                    index.forget_topic(TopicId(gone));
                    model.retain(|(topic, _), _| topic.0 != gone);
                }
                Step::ForgetFrom(nth) => {
                    let group = Sequence::at(segment, (64 + nth) * 64);
                    index.forget_from(group);
                    model.retain(|_, spot| spot.segment != segment || spot.position < group.position() as u32);
                }
            }
        }
        let held = index.topics.iter().map(|(_, chunks)| chunks).flat_map(Chunks::iter).map(Chunk::held).sum::<usize>();
        prop_assert_eq!(index.bytes(), held);
        for topic in (1..4).map(TopicId) {
            let expected: Vec<Spot> = model.range((topic, from)..=(topic, u64::MAX)).map(|(_, spot)| *spot).collect();
            prop_assert_eq!(index.from(topic, from).collect::<Vec<_>>(), expected);
        }
        for segment in 1..=segment {
            let mut expected: Vec<_> = model.iter().filter(|(_, spot)| spot.segment == segment).map(|((topic, _), spot)| (*topic, *spot)).collect();
            expected.sort_by_key(|(topic, spot)| (*topic, spot.offset));
            let mut stretches = index.stretches(|its| its == segment);
            stretches.sort_unstable();
            let bytes: u64 = stretches.iter().map(|stretch| stretch.bytes).sum();
            prop_assert_eq!(bytes, 7 * expected.len() as u64);
            let found = stretches.iter().flat_map(|stretch| index.spots(*stretch).map(|spot| (stretch.topic, spot)));
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn a_message_takes_little_more_than_its_gap() {
    assert_eq!(size_of::<Option<Chunks>>(), 64, "what a message needs of its topic is one line of the cache");
    for (topics, each) in [(1, 2), (1_000, 3)] {
        let mut index = Index::default();
        for nth in 0..300_000u64 {
            let spot = Spot { offset: nth / topics, segment: 1, position: nth as u32 * 200 };
            index.push(TopicId(nth % topics), spot, 200);
        }
        // What is allocated ahead for the last chunk of a topic is at most what it holds.
        let taken = |chunk: &Chunk| size_of::<Chunk>() + chunk.gaps.capacity();
        let full: usize = index.topics.iter().map(|(_, chunks)| chunks).flat_map(Chunks::before).map(taken).sum();
        let last: usize = index.topics.iter().map(|(_, chunks)| chunks).map(|chunks| taken(&chunks.last)).sum();
        assert!(full + last / 2 <= index.bytes() + index.bytes() / 50, "{full} and {last} for {}", index.bytes());
        let most = 300_000 * each * 11 / 10 + 60 * topics as usize;
        assert!(index.bytes() <= most, "{topics} topics: {} bytes for 300,000 messages", index.bytes());
        let topic = TopicId(topics - 1);
        let offsets: Vec<_> = index.from(topic, 3).map(|spot| spot.offset).collect();
        assert_eq!(offsets, (3..300_000 / topics).collect::<Vec<_>>());
        assert!(index.stretches(|segment| segment == 1).iter().all(|stretch| stretch.bytes == 200 * stretch.len()));
    }
}
