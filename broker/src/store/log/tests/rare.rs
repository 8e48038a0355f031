//! What the seeds of the simulation hardly ever come to: a schedule for each.

use super::support::{append, create, open, publish, read_all, settings, settle};
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::simulated::Simulated;
use crate::store::log::mutant::{Mutant, Switch};
use crate::store::log::write::Wrote;
use crate::store::{Durability, GroupId, Op, Stored, TopicId};
use std::sync::Arc;

/// Which of the tests holds which clause.
pub(super) const HELD: [(Mutant, fn()); 3] = [
    (Mutant::EarlyClean, a_segment_stays_until_it_is_certain_that_a_recovery_replaces_it),
    (Mutant::UnfinishedSnapshot, half_a_snapshot_is_none),
    (Mutant::Interleaved, files_are_not_merged_around_one_that_lies_between),
];

#[test]
fn each_notices_what_it_holds() {
    for (mutant, schedule) in HELD {
        let _switch = Switch::on(mutant);
        assert!(std::panic::catch_unwind(schedule).is_err(), "nobody notices {mutant:?}");
    }
}

const TOPIC: TopicId = TopicId(1);
const OTHER: TopicId = TopicId(2);

/// Another disk after the end of the process, or the power.
fn ended(disk: &Simulated, power_cut: Option<u64>) -> Simulated {
    let disk = disk.fork();
    match power_cut {
        Some(seed) => disk.power_cut(seed),
        None => disk.kill(),
    }
    disk
}

/// A message is confirmed, alone in its segment, and no mark says that it is synced. A recovery copies it and ends with its
/// own mark written and not synced: the next one believes that mark, a power cut takes it, and what counts then is the
/// message where it was.
#[test]
fn a_segment_stays_until_it_is_certain_that_a_recovery_replaces_it() {
    let disk = Simulated::new(1);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    let first = core.writer.lock().segment.id;
    let mut last = None;
    while core.writer.lock().segment.id == first {
        let mut ticket = append(&core, vec![publish(TOPIC, &[7; 1000])]);
        if core.write() == Wrote::Blocked {
            core.keep(0);
            core.write();
        }
        core.sync();
        last = ticket.receipt.try_get();
    }
    assert_eq!(last, Some(Ok(Durability::Disk)));
    let confirmed = read_all(&core, TOPIC);
    drop(core);
    let recover = |disk: &Simulated, operations: u64| {
        disk.crash_after(operations);
        open(disk).is_ok()
    };
    for stop in 1.. {
        let once = ended(&disk, None);
        if recover(&once, stop) {
            return;
        }
        for again in 1.. {
            let twice = ended(&once, None);
            if recover(&twice, again) {
                break;
            }
            for seed in 0..4 {
                let core = open(&ended(&twice, Some(seed))).expect("it opens at last");
                assert_eq!(read_all(&core, TOPIC), confirmed, "stopped at {stop} and at {again}, power cut {seed}");
            }
        }
    }
}

/// Every operation until the first snapshot counts.
#[test]
fn half_a_snapshot_is_none() {
    for stop in 1.. {
        let disk = Simulated::new(stop);
        let core = open(&disk).expect("an empty folder opens");
        append(&core, vec![create(TOPIC, Durability::Disk), publish(TOPIC, b"with a group")]);
        // So much that it takes several pages.
        for group in 100..600 {
            let settings = group.to_string().into_bytes().into();
            append(&core, vec![Op::PutGroup { topic: TOPIC, group: GroupId(group), settings, start: 0 }]);
        }
        while core.write() == Wrote::Group {}
        core.sync();
        disk.crash_after(stop);
        let mut now = 0;
        while !core.is_poisoned() && core.keeper.lock().counting.is_empty() {
            core.keep(now);
            core.write();
            core.sync();
            now += 1;
        }
        let is_over = !core.keeper.lock().counting.is_empty();
        drop(core);
        for power_cut in [None].into_iter().chain((0..40).map(Some)) {
            let core = open(&ended(&disk, power_cut)).expect("it opens again");
            let case = format!("stopped at {stop}, power cut {power_cut:?}");
            assert_eq!(core.stats().damaged, 0, "{case}");
            assert_eq!(core.view(TOPIC).map(|view| view.groups.len()), Some(500), "{case}");
            let front = core.front.lock();
            let is_known = |group| front.state.group(TOPIC, GroupId(group)).is_some_and(|group| !group.is_lost);
            assert!((100..600).all(is_known), "{case}");
        }
        if is_over {
            return;
        }
    }
}

/// Of three sealed files the first and the last are mostly dead, and one topic has messages in all of them.
#[test]
fn files_are_not_merged_around_one_that_lies_between() {
    let (disk, mut now) = (Simulated::new(1), 0);
    let core = Core::open(Arc::new(disk.clone()), Settings { snapshot_every: 0, ..settings() }).expect("it opens");
    append(&core, vec![create(TOPIC, Durability::Disk), create(OTHER, Durability::Disk)]);
    let sealed = |core: &Core| core.catalog.lock().sealed.len();
    for (nth, filler) in [OTHER, TOPIC, OTHER].into_iter().enumerate() {
        while sealed(&core) <= nth {
            append(&core, vec![publish(TOPIC, b"in each of them"), publish(filler, &[7; 2000])]);
            settle(&core, &mut now);
        }
    }
    let before: Vec<Stored> = read_all(&core, TOPIC);
    let files: Vec<u64> = core.catalog.lock().sealed.keys().copied().collect();
    append(&core, vec![Op::DeleteTopic(OTHER)]);
    for _ in 0..20 {
        settle(&core, &mut now);
        now += 1000;
    }
    let left: Vec<u64> = core.catalog.lock().sealed.keys().copied().collect();
    assert!(
        left.iter().filter(|file| files.contains(file)).count() < files.len() - 1,
        "the others were merged: {left:?}"
    );
    assert_eq!(read_all(&core, TOPIC), before);
}
