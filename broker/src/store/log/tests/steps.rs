//! What each step promises, one at a time.

use super::support::{append, create, open, publish, read_all, settings, settle};
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::Disk;
use crate::store::log::disk::simulated::Simulated;
use crate::store::log::write::Wrote;
use crate::store::{Durability, TopicId};
use std::sync::Arc;

const TOPIC: TopicId = TopicId(5);

#[test]
fn what_was_confirmed_is_there_after_a_power_cut() {
    let (disk, mut now) = (Simulated::new(1), 0);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    for nth in 0..2000u32 {
        let mut ticket = append(&core, vec![publish(TOPIC, &nth.to_le_bytes())]);
        assert_eq!(ticket.receipt.try_get(), None, "nothing is confirmed before it is written");
        if nth % 3 == 0 {
            settle(&core, &mut now);
            assert_eq!(ticket.receipt.try_get(), Some(Ok(Durability::Disk)));
        }
    }
    settle(&core, &mut now);
    let before = read_all(&core, TOPIC);
    assert_eq!(before.len(), 2000);
    disk.power_cut(3);
    let core = open(&disk).expect("it opens again");
    settle(&core, &mut now);
    assert_eq!(read_all(&core, TOPIC), before);
    println!("{:?}", disk.names());
}

#[test]
fn a_closed_log_gives_the_next_offset_of_a_memory_topic_and_says_that_it_was_closed() {
    let (disk, mut now) = (Simulated::new(2), 0);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Memory)]);
    settle(&core, &mut now);
    for _ in 0..10 {
        append(&core, vec![publish(TOPIC, b"gone with the process")]);
    }
    settle(&core, &mut now);
    assert_eq!(read_all(&core, TOPIC).len(), 10);
    let mut last = core.close().expect("it is open");
    for _ in 0..10 {
        core.write();
        core.sync();
        // One mark comes behind the last group, and nothing else.
        core.mark();
        now += 1;
        core.keep(now);
    }
    assert_eq!(last.try_get(), Some(Ok(Durability::Disk)));
    assert!(!core.sync(), "the mark is synced");
    disk.power_cut(5);
    let core = open(&disk).expect("it opens again");
    let view = core.view(TOPIC).expect("the topic is there");
    assert_eq!((view.head, view.visible), (10, 10));
    assert!(read_all(&core, TOPIC).is_empty());
}

#[test]
fn many_short_lives_do_not_leave_a_whole_segment_each() {
    let (disk, lives) = (Simulated::new(4), 30);
    let whole = settings().segment;
    for life in 0..lives {
        let core = open(&disk).expect("it opens");
        if life == 0 {
            append(&core, vec![create(TOPIC, Durability::Disk)]);
        }
        append(&core, vec![publish(TOPIC, b"one of each life")]);
        core.write();
        core.sync();
        drop(core);
        disk.power_cut(life);
    }
    let core = open(&disk).expect("it opens");
    assert_eq!(read_all(&core, TOPIC).len(), lives as usize);
    let files = disk.list().expect("it lists");
    let segments: u64 = files.iter().filter(|(name, _)| name.starts_with("segment-")).map(|(_, len)| len).sum();
    // A quarter at most, and the newest two.
    assert!(segments < (lives / 4 + 3) * whole, "{segments} bytes of segments, {whole} each: {files:?}");
}

#[test]
fn segments_that_fill_up_between_two_snapshots_are_sealed_all_the_same() {
    let (disk, mut now) = (Simulated::new(3), 0);
    let settings = Settings { snapshot_every: u64::MAX, ..settings() };
    let core = Core::open(Arc::new(disk.clone()), settings).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    for _ in 0..400 {
        append(&core, vec![publish(TOPIC, &[7; 1000])]);
        settle(&core, &mut now);
    }
    assert!(core.full_segments().len() <= 5, "{} segments wait to be sealed", core.full_segments().len());
    assert!(core.backlog() <= 1, "what can be sealed is");
    assert_eq!(read_all(&core, TOPIC).len(), 400);
}

/// Nobody has to publish for it: a snapshot follows whatever changed the state, though a mark says that nothing came since.
#[test]
fn what_is_given_up_at_rest_is_given_back() {
    let (disk, mut now) = (Simulated::new(8), 0);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    for _ in 0..400 {
        append(&core, vec![publish(TOPIC, &[7; 1000])]);
        settle(&core, &mut now);
    }
    let mut rest = |core: &Core| {
        for _ in 0..60 {
            settle(core, &mut now);
            core.mark();
            now += 1000;
        }
    };
    rest(&core);
    let sealed = |core: &Core| core.catalog.lock().sealed.len();
    assert!(sealed(&core) > 5, "{:?}", disk.names());
    append(&core, vec![crate::store::Op::Trim { topic: TOPIC, to: 399 }]);
    rest(&core);
    assert!(sealed(&core) <= 1, "{:?}", disk.names());
    let names = disk.names();
    rest(&core);
    assert_eq!(disk.names(), names, "and then nothing happens any more");
}

/// Its group may be empty, but it is no mark, which may wait for a minute.
#[test]
fn a_snapshot_at_rest_does_not_wait_for_the_next_message() {
    let (disk, mut now) = (Simulated::new(9), 0);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    settle(&core, &mut now);
    core.mark();
    core.sync();
    assert!(!core.certainty.lock().is_soon(), "a mark is not synced soon");
    core.front.lock().freeze();
    assert_eq!(core.write(), Wrote::Group);
    assert!(core.certainty.lock().is_soon(), "somebody waits for this one");
}

/// Every bit of the last group of a closed log: what it costs is said to be damaged, not silently cut.
#[test]
fn a_flipped_bit_in_the_last_group_of_a_closed_log_is_damage() {
    let (disk, mut now) = (Simulated::new(4), 0);
    let core = open(&disk).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    settle(&core, &mut now);
    let mut ticket = append(&core, vec![publish(TOPIC, b"the last one")]);
    core.close();
    while core.write() == Wrote::Group {}
    core.sync();
    assert_eq!(ticket.receipt.try_get(), Some(Ok(Durability::Disk)));
    let (last, segment) = {
        let writer = core.writer.lock();
        (writer.previous, writer.segment.id.to_string())
    };
    core.mark();
    assert!(core.writer.lock().previous > last, "a mark comes behind it");
    drop(core);
    disk.kill();
    // The records end before the zeros behind them do.
    for bit in 8 * last.position()..8 * (last.position() + 100) {
        let disk = disk.fork();
        disk.flip(&segment, bit);
        let core = open(&disk).expect("it opens");
        let (stats, found) = (core.stats(), read_all(&core, TOPIC).len());
        assert!(found == 1 || stats.damaged > 0, "bit {bit} is cut: {stats:?}");
        assert!(found == 0 && stats.damaged == 1 && stats.cut_bytes == 0, "bit {bit}: {stats:?}");
    }
}
