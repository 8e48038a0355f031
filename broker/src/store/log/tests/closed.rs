//! What a log that was closed says to the next opening: its exact heads, and nothing that came after it.

use super::support::{append, create, open, publish, settle};
use crate::store::log::core::Core;
use crate::store::log::disk::simulated::{Operation, Simulated};
use crate::store::log::sequence::Sequence;
use crate::store::log::write::Wrote;
use crate::store::{Durability, Placed, TopicId};

const DISK: TopicId = TopicId(1);
const OS: TopicId = TopicId(2);

/// A log that is closed behind one message of each topic; the mark is the test's.
fn closed(disk: &Simulated) -> Core {
    let (core, mut now) = (open(disk).expect("an empty folder opens"), 0);
    append(&core, vec![create(DISK, Durability::Disk)]);
    append(&core, vec![create(OS, Durability::Os)]);
    settle(&core, &mut now);
    append(&core, vec![publish(DISK, b"the last one"), publish(OS, b"the last one")]);
    let mut last = core.close().expect("it is open");
    while core.write() == Wrote::Group {}
    core.sync();
    assert_eq!(last.try_get(), Some(Ok(Durability::Disk)));
    core
}

fn heads(core: &Core) -> [u64; 2] {
    let front = core.front.lock();
    [DISK, OS].map(|topic| front.state.head(topic))
}

/// Behind the group that closed the log nothing gives offsets.
#[test]
fn half_a_mark_behind_a_closed_log_raises_no_head() {
    let mut cut = 0;
    for seed in 0..40 {
        let disk = Simulated::new(seed);
        let core = closed(&disk);
        disk.fail(Operation::Write, "segment", Some(1));
        core.mark();
        assert!(core.is_poisoned(), "the mark could not be written");
        drop(core);
        disk.kill();
        let core = open(&disk).expect("it opens again");
        assert_eq!(heads(&core), [1, 1], "seed {seed}: {:?}", core.stats());
        cut += core.stats().cut_bytes;
    }
    assert!(cut > 0, "some of the mark was written, and is said to be left out");
}

/// Every bit of the mark of the recovery behind a closed log, and with it went a message that somebody may have read.
#[test]
fn no_offset_comes_again_that_was_given_after_a_closed_log_was_opened() {
    let disk = Simulated::new(1);
    drop(closed(&disk));
    disk.power_cut(1);
    let core = open(&disk).expect("it opens again");
    let (mark, segment) = {
        let writer = core.writer.lock();
        (writer.previous, writer.segment.id.to_string())
    };
    let lost = append(&core, vec![publish(OS, b"written, and gone with the power")]);
    let Placed::At(given) = lost.placed[0] else { panic!("it is new") };
    assert_eq!(core.write(), Wrote::Group);
    drop(core);
    let lost = (0..).map(|seed| after_power_cut(&disk, seed)).find(|disk| is_lost(disk, &segment, mark));
    let disk = lost.expect("a power cut loses it");
    for bit in 8 * mark.position()..8 * (mark.position() + 64) {
        let disk = disk.fork();
        disk.flip(&segment, bit);
        let core = open(&disk).expect("it opens again");
        let next = append(&core, vec![publish(OS, b"another one")]).placed[0];
        assert!(matches!(next, Placed::At(next) if next > given), "bit {bit}: {given} was given, and again {next:?}");
    }
}

fn after_power_cut(disk: &Simulated, seed: u64) -> Simulated {
    let disk = disk.fork();
    disk.power_cut(seed);
    disk
}

/// Behind the mark nothing has arrived.
fn is_lost(disk: &Simulated, segment: &str, mark: Sequence) -> bool {
    disk.contents(segment)[mark.position() as usize + 64..].iter().all(|byte| *byte == 0)
}
