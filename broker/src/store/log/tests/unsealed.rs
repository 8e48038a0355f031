//! Full segments that wait for their messages to be given up, and what ends that.

use super::support::{append, create, publish, read_all, settings, settle};
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::simulated::Simulated;
use crate::store::{Durability, Offset, Op, StoreError, TopicId};
use std::sync::Arc;

const TOPIC: TopicId = TopicId(5);
const KEPT: TopicId = TopicId(6);
/// Messages of 1,000 bytes: 30 or so fill a segment.
const MESSAGES: u64 = 600;
/// Full segments that may wait.
const UNSEALED: usize = 6;
/// Bytes of an index that does not come to its end.
const MANY: usize = 10_000;

struct Run {
    disk: Simulated,
    core: Core,
    now: u64,
}

fn run(indexed: usize) -> Run {
    let disk = Simulated::new(3);
    let settings = Settings { unsealed: UNSEALED, indexed, ..settings() };
    let core = Core::open(Arc::new(disk.clone()), settings).expect("an empty folder opens");
    append(&core, vec![create(TOPIC, Durability::Disk), create(KEPT, Durability::Disk)]);
    Run { disk, core, now: 0 }
}

impl Run {
    /// Publishes one after the other, each followed by what `then` gives up, and all that is to be done behind it.
    fn publish(&mut self, mut then: impl FnMut(&Core, Offset) -> Option<Op>) {
        for offset in 0..MESSAGES {
            append(
                &self.core,
                [Some(publish(TOPIC, &[7; 1000])), then(&self.core, offset)].into_iter().flatten().collect(),
            );
            settle(&self.core, &mut self.now);
        }
    }

    /// As time goes by, and nothing else.
    fn rest(&mut self) {
        for _ in 0..60 {
            settle(&self.core, &mut self.now);
            self.core.mark();
            self.now += 1000;
        }
    }

    fn sealed(&self) -> usize {
        self.disk.names().iter().filter(|name| name.starts_with("sealed")).count()
    }
}

fn given_up(to: Offset) -> Option<Op> {
    Some(Op::Trim { topic: TOPIC, to })
}

#[test]
fn what_is_given_up_in_time_is_never_written_again() {
    let mut run = run(MANY);
    let mut most = 0;
    for _ in 0..3 {
        let head = run.core.view(TOPIC).expect("it is there").head;
        let disk = run.disk.clone();
        run.publish(|_, nth| {
            assert!(!disk.names().iter().any(|name| name.starts_with("sealed")), "{:?}", disk.names());
            given_up((head + nth).saturating_sub(90))
        });
        most = most.max(run.core.full_segments().len());
    }
    assert!(most <= 5, "{most} full segments for three of messages");
    assert_eq!(read_all(&run.core, TOPIC).len(), 91);
}

#[test]
fn more_than_may_wait_are_sealed() {
    let (mut run, mut most) = (run(MANY), 0);
    run.publish(|core, _| {
        most = most.max(core.full_segments().len());
        None
    });
    assert!(run.sealed() > 0, "{:?}", run.disk.names());
    // Two may be full and have no two snapshots behind them.
    assert!((UNSEALED..=UNSEALED + 2).contains(&most), "{most} waited");
    assert_eq!(read_all(&run.core, TOPIC).len(), MESSAGES as usize);
}

/// A snapshot may be long ago when the index has come to hold too much.
#[test]
fn none_waits_while_the_index_holds_more_than_it_may() {
    let mut run = run(200);
    run.publish(|_, _| None);
    assert!(run.core.full_segments().len() <= 3, "{:?}", run.disk.names());
    assert_eq!(run.core.backlog(), 0, "publishing need not slow");
    assert_eq!(read_all(&run.core, TOPIC).len(), MESSAGES as usize);
}

/// One message in each segment is kept, all others are given up: waiting would take more room than there may be (rule 9).
#[test]
fn those_that_hold_little_that_is_kept_do_not_wait() {
    let mut run = run(MANY);
    run.publish(|_, nth| given_up(nth));
    for _ in 0..20 {
        append(&run.core, vec![publish(KEPT, &[1; 1000])]);
        run.publish(|_, _| None);
        let head = run.core.view(TOPIC).expect("it is there").head;
        append(&run.core, given_up(head).into_iter().collect());
    }
    run.rest();
    assert_eq!(read_all(&run.core, KEPT).len(), 20);
    let full = run.core.full_segments().len();
    assert!(full <= 1, "{full} segments wait: {:?}", run.disk.names());
}

#[test]
fn none_waits_while_the_disk_is_short_of_room() {
    let mut run = run(MANY);
    run.publish(|_, nth| (nth > 100).then(|| given_up(nth - 60)).flatten());
    assert_eq!(run.sealed(), 0);
    assert!(run.core.full_segments().len() >= 2);
    run.core.front.lock().full = Some(StoreError::Full { free: 0, watermark: 1 });
    run.rest();
    assert!(run.sealed() >= 1, "{:?}", run.disk.names());
    assert_eq!(read_all(&run.core, TOPIC).len(), 61);
}
