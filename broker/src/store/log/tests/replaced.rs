//! Files that a counting one has replaced: each of them may come back after a power cut, alone.

use super::support::{append, create, open, publish, read_all, settle};
use crate::store::log::core::Core;
use crate::store::log::disk::Disk;
use crate::store::log::disk::simulated::Simulated;
use crate::store::log::write::Wrote;
use crate::store::{Durability, GroupId, Op, Progress, TopicId};

const TOPIC: TopicId = TopicId(1);
const GROUP: GroupId = GroupId(2);

/// A segment whose last two groups were not synced: the first of them is lost, the second is there.
fn cut() -> Simulated {
    let (disk, mut now) = (Simulated::new(1), 0);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    settle(&core, &mut now);
    for byte in [1, 2] {
        append(&core, vec![publish(TOPIC, &[byte; 6000])]);
        assert_eq!(core.write(), Wrote::Group);
    }
    drop(core);
    let is_cut = |disk: &Simulated| {
        let bytes = disk.contents(&segments(disk)[0]);
        let holds = |byte| bytes.windows(6000).any(|window| window == [byte; 6000]);
        !holds(1) && holds(2)
    };
    let power_cut = |seed| {
        let disk = disk.fork();
        disk.power_cut(seed);
        disk
    };
    (0..).map(power_cut).find(is_cut).expect("one of them does that")
}

fn segments(disk: &Simulated) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.starts_with("segment")).collect()
}

/// What said that its last group does not count, is gone. That is no damage, as nobody needs it, and nothing of it counts now.
fn comes_back(is_dead: bool) {
    let (disk, mut now) = (cut(), 0);
    let core = open(&disk).expect("it opens again");
    assert!(core.stats().cut_bytes > 0 && read_all(&core, TOPIC).is_empty());
    let [first, recovery] = segments(&disk).try_into().expect("the old one and the new one");
    let bytes = disk.contents(&first);
    let head = |core: &Core| core.view(TOPIC).expect("it is there").head;
    if is_dead {
        // All that was ever cut may still be wanted.
        let progress = Progress { from: head(&core), next: head(&core), ..Progress::default() };
        let settings = bytes::Bytes::new();
        append(&core, vec![Op::PutGroup { topic: TOPIC, group: GROUP, settings, start: 0 }]);
        append(&core, vec![Op::Progress { topic: TOPIC, group: GROUP, progress }]);
    }
    let fill = |core: &Core| {
        append(core, vec![publish(TOPIC, &[3; 1000])]);
        if is_dead {
            append(core, vec![Op::Trim { topic: TOPIC, to: head(core) }]);
        }
    };
    // Nothing is kept before both are full but the next segment.
    while core.writer.lock().segment.id.to_string() == recovery {
        fill(&core);
        if core.write() == Wrote::Blocked {
            core.keep(now);
        }
        core.sync();
    }
    while segments(&disk).contains(&first) {
        fill(&core);
        while core.write() == Wrote::Group {}
        core.sync();
        now += 1;
        core.keep(now);
    }
    assert!(!segments(&disk).contains(&recovery), "both go at once");
    assert_eq!(core.catalog.lock().sealed.is_empty(), is_dead);
    let before = (read_all(&core, TOPIC), head(&core));
    drop(core);
    disk.kill();
    let file = disk.create(&first, bytes.len() as u64).expect("there is room");
    file.write_at(&bytes, 0).expect("the disk works");
    drop(file);
    let core = open(&disk).expect("it opens again");
    assert_eq!(read_all(&core, TOPIC), before.0);
    assert_eq!((core.stats().damaged, head(&core)), (0, before.1), "{:?}", disk.names());
    assert!(!segments(&disk).contains(&first));
}

#[test]
fn a_segment_that_was_sealed_comes_back_without_the_recovery_that_cut_it() {
    comes_back(false);
}

#[test]
fn a_segment_nothing_of_which_was_kept_comes_back_without_the_recovery_that_cut_it() {
    comes_back(true);
}

/// What is damaged in it somebody may want to look at.
#[test]
fn a_damaged_segment_that_comes_back_is_put_aside_again() {
    let (disk, mut now) = (Simulated::new(2), 0);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    let first = segments(&disk).remove(0);
    for _ in 0..20 {
        append(&core, vec![publish(TOPIC, &[1; 1000])]);
        assert_eq!(core.write(), Wrote::Group);
        core.sync();
    }
    drop(core);
    disk.kill();
    let in_message = disk.contents(&first).windows(1000).position(|window| window == [1; 1000]).expect("it is there");
    disk.flip(&first, 8 * in_message as u64);
    let core = open(&disk).expect("it opens again");
    assert_eq!(core.stats().damaged, 1);
    let aside = format!("quarantine/{first}");
    while !disk.names().contains(&aside) {
        append(&core, vec![publish(TOPIC, &[2; 1000])]);
        while core.write() == Wrote::Group {}
        core.sync();
        now += 1;
        core.keep(now);
    }
    let messages = read_all(&core, TOPIC);
    drop(core);
    disk.kill();
    // That it was put aside is lost.
    disk.rename(&aside, &first).expect("it is there");
    let core = open(&disk).expect("it opens again");
    assert!(disk.names().contains(&aside), "{:?}", disk.names());
    assert_eq!((core.stats().damaged, read_all(&core, TOPIC)), (0, messages));
}
