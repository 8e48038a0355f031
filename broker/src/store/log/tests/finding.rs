//! Where a message is: among many sealed files, by offset and by time.

use super::support::{open, publish, read_all, settings, settle};
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::simulated::{Operation, Simulated};
use crate::store::{Batch, Durability, Limits, Offset, Op, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

const TOPICS: [TopicId; 3] = [TopicId(5), TopicId(6), TopicId(7)];
const PAGE: Limits = Limits { messages: 5, bytes: 1 << 20 };

/// A log with some ten sealed files; the last topic is in few of them. Times and offsets of all messages.
fn filled(disk: &Simulated, now: &mut u64) -> (Core, BTreeMap<TopicId, Vec<(u64, Offset)>>) {
    // Nothing of a directory stays in memory.
    let settings = Settings { directories: 0, ..settings() };
    let core = Core::open(Arc::new(disk.clone()), settings).expect("an empty folder opens");
    for topic in TOPICS {
        super::support::append(&core, vec![super::support::create(topic, Durability::Disk)]);
    }
    let mut placed = BTreeMap::<_, Vec<_>>::new();
    for nth in 0..420u64 {
        let topic = TOPICS[if nth % 100 == 0 { 2 } else { (nth / 7 % 2) as usize }];
        let time = 1000 + nth / 3 * 10;
        let batch = Batch { ops: vec![publish(topic, &[nth as u8; 900])], now: time };
        let ticket = core.append(&batch, Durability::Disk).expect("it is taken");
        let Some(crate::store::Placed::At(offset)) = ticket.placed.first().copied() else { panic!("it is new") };
        placed.entry(topic).or_default().push((time, offset));
        settle(&core, now);
    }
    assert!(core.catalog.lock().sealed.len() >= 8, "{:?}", disk.names());
    (core, placed)
}

/// Once it is known which files hold a topic, a page of it asks no other file.
#[test]
fn a_page_is_read_from_the_file_that_holds_it_and_no_other() {
    let (disk, mut now) = (Simulated::new(1), 0);
    let (core, placed) = filled(&disk, &mut now);
    for topic in TOPICS {
        let all = read_all(&core, topic);
        assert_eq!(all.len(), placed[&topic].len());
        for from in (0..placed[&topic].len() as u64).step_by(9) {
            let Some((_, sealed)) = core.sealed_at(topic, from).expect("it can be read") else { break };
            let file = sealed.id().to_string();
            for other in disk.names().iter().filter(|name| name.starts_with("sealed") && **name != file) {
                disk.fail(Operation::Read, other, None);
            }
            let page = core.read(topic, from, Limits { messages: 1, ..PAGE }).expect("only that file is asked");
            assert_eq!(page.messages[..], all[from as usize..from as usize + 1]);
            disk.heal();
        }
    }
}

/// Files come and go: what was found before is not believed any more.
#[test]
fn what_is_known_of_files_follows_them() {
    let (disk, mut now) = (Simulated::new(2), 0);
    let (core, mut placed) = filled(&disk, &mut now);
    for round in 0..12u64 {
        for topic in TOPICS {
            let found: Vec<Offset> = read_all(&core, topic).iter().map(|message| message.offset).collect();
            assert_eq!(found, placed[&topic].iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), "round {round}");
        }
        let topic = TOPICS[(round % 2) as usize];
        let all = placed.get_mut(&topic).expect("it has messages");
        let to = all[all.len() / 4].1;
        all.retain(|(_, offset)| *offset >= to);
        super::support::append(&core, vec![Op::Trim { topic, to }]);
        for nth in 0..40 {
            let batch = Batch { ops: vec![publish(topic, &[nth; 900])], now: 9000 };
            let ticket = core.append(&batch, Durability::Disk).expect("it is taken");
            let Some(crate::store::Placed::At(offset)) = ticket.placed.first().copied() else { panic!("it is new") };
            all.push((9000, offset));
            settle(&core, &mut now);
        }
        now += 20_000;
        settle(&core, &mut now);
    }
}

#[test]
fn a_time_is_found_in_sealed_files_and_behind_them() {
    let (disk, mut now) = (Simulated::new(3), 0);
    let (core, placed) = filled(&disk, &mut now);
    let find = |core: &Core, floor: Offset| {
        for topic in TOPICS {
            let head = core.view(topic).expect("it is there").head;
            for time in (990..2450).step_by(7) {
                let kept = placed[&topic].iter().filter(|(_, offset)| *offset >= floor);
                let expected = kept.clone().find(|(at, _)| *at >= time).map_or(head, |(_, offset)| *offset);
                assert_eq!(core.offset_at(topic, time), Ok(expected), "{topic:?} at {time}, from {floor} on");
            }
        }
    };
    find(&core, 0);
    super::support::append(&core, TOPICS.map(|topic| Op::Trim { topic, to: 3 }).to_vec());
    find(&core, 3);
    settle(&core, &mut now);
    drop(core);
    disk.kill();
    let core = open(&disk).expect("it opens");
    find(&core, 3);
    settle(&core, &mut now);
    find(&core, 3);
}

/// By the index of times: among sealed messages none is read on the way but the one that is found.
#[test]
fn a_time_among_sealed_messages_costs_few_reads() {
    let (disk, mut now) = (Simulated::new(4), 0);
    let (core, _) = filled(&disk, &mut now);
    core.offset_at(TOPICS[0], 0).expect("it is found");
    let before = disk.reads();
    core.offset_at(TOPICS[0], 1300).expect("it is found");
    let reads = disk.reads() - before;
    assert!(reads <= 12, "{reads} reads for one time among {} files", core.catalog.lock().sealed.len());
}

/// Messages of a segment that lie between others are not brought with them, and no more of it than is asked for.
#[test]
fn a_page_of_a_segment_brings_what_it_holds_and_little_more() {
    let disk = Simulated::new(5);
    let settings = Settings { segment: 512 << 10, ..settings() };
    let core = Core::open(Arc::new(disk.clone()), settings).expect("an empty folder opens");
    let [topic, other, _] = TOPICS;
    for topic in [topic, other] {
        super::support::append(&core, vec![super::support::create(topic, Durability::Disk)]);
    }
    for nth in 0..100u64 {
        let topic = if nth % 50 == 1 { other } else { topic };
        super::support::append(&core, vec![publish(topic, &[nth as u8; 2000])]);
        settle(&core, &mut 0);
    }
    assert!(core.catalog.lock().sealed.is_empty(), "{:?}", disk.names());
    let brought = |topic, messages| {
        let before = disk.read_bytes();
        let page = core.read(topic, 0, Limits { messages, bytes: 1 << 20 }).expect("it can be read");
        assert_eq!(page.messages.len(), messages);
        disk.read_bytes() - before
    };
    let (one, ten, apart) = (brought(topic, 1), brought(topic, 10), brought(other, 2));
    assert!(one <= 4 << 10, "{one} bytes for one message of 2000");
    assert!((20_000..28 << 10).contains(&ten), "{ten} bytes for ten");
    assert!(apart <= 8 << 10, "{apart} bytes for two with 100 KB between them");
}
