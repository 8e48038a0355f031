//! What whoever appends writes itself, and what is left to the write thread.

use super::support::{append, create, open, publish, read_all, settings, settle};
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::simulated::{Operation, Simulated};
use crate::store::log::write::{LEFT, LONG, Wrote};
use crate::store::{Durability, StoreError, Tickets, TopicId};
use std::sync::Arc;
use std::time::Duration;

const OS: TopicId = TopicId(5);
const DISK: TopicId = TopicId(6);

fn begin() -> (Simulated, Core, u64) {
    begin_with(settings())
}

fn begin_with(settings: Settings) -> (Simulated, Core, u64) {
    let (disk, mut now) = (Simulated::new(1), 0);
    let core = Core::open(Arc::new(disk.clone()), settings).expect("an empty folder opens");
    append(&core, vec![create(OS, Durability::Os), create(DISK, Durability::Disk)]);
    settle(&core, &mut now);
    // Offsets of the first are reserved with its first message.
    append(&core, vec![publish(OS, b"first")]);
    settle(&core, &mut now);
    is_left(&core);
    core.to_sync.wait(Duration::ZERO);
    (disk, core, now)
}

fn commit(core: &Core, topic: TopicId, bytes: usize) -> Tickets {
    let tickets = core.append_each(&[publish(topic, &vec![7; bytes])], 1, Durability::Memory);
    core.commit();
    tickets
}

/// Whether the write thread was told.
fn is_left(core: &Core) -> bool {
    core.to_write.wait(Duration::ZERO)
}

#[test]
fn a_little_that_nobody_syncs_is_written_by_who_appends_it() {
    let (disk, core, mut now) = begin();
    for nth in 2..12 {
        let mut tickets = core.append_each(&[publish(OS, b"x")], 1, Durability::Memory);
        assert_eq!(tickets.receipt.try_get(), None, "not before it is asked for");
        core.commit();
        assert_eq!(tickets.receipt.try_get(), Some(Ok(Durability::Os)));
        assert!(!is_left(&core), "nobody else has anything to do");
        assert_eq!(read_all(&core, OS).len(), nth);
    }
    assert_eq!(core.write(), Wrote::Idle);
    disk.kill();
    let core = open(&disk).expect("it opens again");
    settle(&core, &mut now);
    assert_eq!(read_all(&core, OS).len(), 11, "it survives the process");
}

#[test]
fn what_is_synced_or_more_than_a_little_or_behind_others_is_left() {
    let (_disk, core, mut now) = begin();
    let mut synced = commit(&core, DISK, 1);
    assert!(core.to_sync.wait(Duration::ZERO), "it is for who syncs");
    let mut behind = commit(&core, OS, 1);
    assert_eq!(behind.receipt.try_get(), Some(Ok(Durability::Os)), "it is written with what is before it");
    assert_eq!(synced.receipt.try_get(), None);
    settle(&core, &mut now);
    assert_eq!(synced.receipt.try_get(), Some(Ok(Durability::Disk)));

    let mut large = commit(&core, OS, settings().at_once);
    assert_eq!((large.receipt.try_get(), is_left(&core)), (None, true));
    assert_eq!(core.write(), Wrote::Group);
    assert_eq!(large.receipt.try_get(), Some(Ok(Durability::Os)));

    let writer = core.writer.lock();
    let mut barred = commit(&core, OS, 1);
    drop(writer);
    assert_eq!((barred.receipt.try_get(), is_left(&core)), (None, true), "somebody writes already");
    settle(&core, &mut now);

    core.front.lock().freeze();
    let mut frozen = commit(&core, OS, 1);
    assert_eq!(
        (frozen.receipt.try_get(), is_left(&core)),
        (None, true),
        "whoever takes the snapshot may be waited for"
    );
    while core.write() == Wrote::Group {}
    assert_eq!(frozen.receipt.try_get(), Some(Ok(Durability::Os)));
}

/// Whoever syncs writes one group after the other, up to the last that somebody has to see synced.
#[test]
fn what_comes_before_anything_is_asked_for_wakes_all_who_have_something_to_do() {
    let (_disk, core, mut now) = begin();
    let mut synced = core.append_each(&[publish(DISK, &[7; 7_000])], 1, Durability::Memory);
    let mut written = core.append_each(&[publish(OS, &[7; 3_000])], 1, Durability::Memory);
    assert_eq!((is_left(&core), core.to_sync.wait(Duration::ZERO)), (false, false), "nothing is asked for yet");
    core.commit();
    assert_eq!((is_left(&core), core.to_sync.wait(Duration::ZERO)), (true, true), "they are in two groups");
    settle(&core, &mut now);
    assert_eq!(synced.receipt.try_get(), Some(Ok(Durability::Disk)));
    assert_eq!(written.receipt.try_get(), Some(Ok(Durability::Os)));
}

#[test]
fn a_disk_that_takes_long_is_left_to_the_write_thread_for_a_while() {
    let (disk, core, mut now) = begin();
    disk.stall(LONG + LONG / 10);
    let mut slow = commit(&core, OS, 1);
    assert_eq!((slow.receipt.try_get(), is_left(&core)), (Some(Ok(Durability::Os)), false));
    for nth in 1..=LEFT {
        let mut tickets = commit(&core, OS, 1);
        let expected = if nth < LEFT { (None, true) } else { (Some(Ok(Durability::Os)), false) };
        assert_eq!((tickets.receipt.try_get(), is_left(&core)), expected, "{nth}");
        settle(&core, &mut now);
    }
}

#[test]
fn a_write_that_fails_fails_who_appended() {
    let (disk, core, _) = begin();
    disk.fail(Operation::Write, "segment", Some(1));
    let mut tickets = commit(&core, OS, 1);
    assert!(matches!(tickets.receipt.try_get(), Some(Err(StoreError::Failed(_)))));
    assert!(core.is_poisoned());
    let tickets = commit(&core, OS, 1);
    assert!(matches!(tickets.placed[0], Err(StoreError::Failed(_))), "{:?}", tickets.placed);
}

/// Writing the zeros of a segment takes as long as writing the segment.
#[test]
fn the_next_segment_is_filled_where_syncs_are_waited_for() {
    for (topic, is_filled) in [(OS, false), (DISK, true)] {
        // None is there to be written again.
        let (disk, core, mut now) = begin_with(Settings { unsealed: 1000, ..settings() });
        let mut segments = |core: &Core, topic: TopicId| {
            // Small, so that more than a hundred of them are in one.
            for _ in 0..2_000 {
                append(core, vec![publish(topic, b"x")]);
                settle(core, &mut now);
            }
            disk.filled().iter().filter(|name| name.starts_with("segment")).count()
        };
        let before = segments(&core, topic);
        assert!(before > 0, "nobody knows at first");
        assert_eq!(segments(&core, topic) > before, is_filled, "{:?}", disk.filled());
        let other = if is_filled { OS } else { DISK };
        let turned = segments(&core, other);
        assert_eq!(segments(&core, other) > turned, !is_filled, "as they come");
    }
}
