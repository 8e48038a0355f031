use super::super::Holes;
use super::{hand, run};
use crate::store::wire::Take;
use crate::store::{Hand, Offset};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Naive = BTreeMap<Offset, (u32, u64)>;

/// The same as runs, as long as they can be.
fn runs(naive: &Naive) -> Vec<Hand> {
    let mut runs: Vec<Hand> = Vec::new();
    for (&offset, &(attempt, due)) in naive {
        match runs.last_mut() {
            Some(last) if last.run.first + last.run.count == offset && (last.attempt, last.due) == (attempt, due) => {
                last.run.count += 1;
            }
            _ => runs.push(Hand { run: run(offset, 1), attempt, due }),
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn holes_are_what_was_inserted_and_not_removed_in_as_few_runs_as_can_be(
        ops in prop::collection::vec((0..40u64, 0..12u64, 0..3u32, 0..2u64, any::<bool>()), 1..60)
    ) {
        let (mut holes, mut naive) = (Holes::default(), Naive::new());
        for (first, count, attempt, due, is_insert) in ops {
            if is_insert {
                holes.insert_run(run(first, count), attempt, due);
                naive.extend((first..first + count).map(|offset| (offset, (attempt, due))));
            } else {
                holes.remove_run(run(first, count));
                naive.retain(|offset, _| !(first..first + count).contains(offset));
            }
            prop_assert_eq!(holes.iter().collect::<Vec<_>>(), runs(&naive));
            prop_assert_eq!(holes.len(), naive.len() as u64);
            for offset in 0..60 {
                prop_assert_eq!(holes.contains(offset), naive.contains_key(&offset));
            }
        }
        let mut bytes = Vec::new();
        holes.encode(&mut bytes);
        prop_assert_eq!(Holes::decode(&mut Take(&bytes)), Some(holes));
    }
}

#[test]
fn a_million_handed_over_at_once_are_one_run() {
    let mut holes = Holes::default();
    for first in 0..1_000 {
        holes.insert_run(run(first * 1_000, 1_000), 1, 30_000);
    }
    assert_eq!((holes.len(), holes.runs()), (1_000_000, 1));
    holes.remove_run(run(500_000, 1));
    assert_eq!((holes.len(), holes.runs()), (999_999, 2));
}

#[test]
fn a_run_to_the_end_of_numbers_is_no_error() {
    let mut holes = Holes::default();
    holes.insert_run(run(u64::MAX - 2, u64::MAX), 1, 7);
    assert_eq!(holes.iter().collect::<Vec<_>>(), [hand(u64::MAX - 2, 2, 1)]);
    holes.remove_run(run(0, u64::MAX));
    assert!(holes.is_empty());
}
