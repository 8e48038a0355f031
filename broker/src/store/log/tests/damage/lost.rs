//! Whole files that are gone or of no use.

use super::super::support::{append, batch, read_all, settings, settle};
use super::flips::{Harm, judge, no_offset_comes_again};
use super::world::{End, World, reopen, view};
use crate::store::log::core::Core;
use crate::store::log::disk::Disk;
use crate::store::log::file::{Kind, PAGE};
use crate::store::log::write::Wrote;
use crate::store::{Durability, GroupId, Op, Progress, StoreError};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// All a segment or a sealed file holds.
fn all_of(world: &World, kind: Kind, nth: usize) -> (String, Harm) {
    let file = world.files(kind)[nth];
    let spans = if kind == Kind::Sealed { world.records_of(file) } else { world.groups_of(file) };
    let mut harm = Harm::default();
    for span in spans {
        harm.messages.extend(span.messages);
        harm.groups.extend(span.groups);
    }
    (file.to_string(), harm)
}

#[test]
fn a_missing_file_costs_what_was_in_it_and_is_told() {
    let world = World::new(11, End::Marked);
    let segments: Vec<_> = world.files(Kind::Segment);
    let last = segments.iter().rposition(|file| !world.groups_of(*file).is_empty()).unwrap();
    let cases = (0..last)
        .map(|nth| (Kind::Segment, nth))
        .chain((0..world.files(Kind::Sealed).len()).map(|nth| (Kind::Sealed, nth)));
    for (kind, nth) in cases {
        let (name, harm) = all_of(&world, kind, nth);
        let disk = world.disk.fork();
        disk.remove(&name).unwrap();
        let core = reopen(&disk);
        let missing = judge(&world, &core, &harm, &name);
        assert!(missing == 0 || core.stats().damaged > 0, "{name} is missing, and nobody says so");
        settle(&core, &mut 1);
        judge(&world, &core, &harm, &name);
        no_offset_comes_again(&world, &core, &name);
    }
}

#[test]
fn without_a_snapshot_groups_wait_at_the_oldest_message_for_the_repair() {
    let world = World::new(12, End::Marked);
    let disk = world.disk.fork();
    for file in world.files(Kind::Snapshot) {
        let len = disk.contents(&file.to_string()).len();
        for page in 1..len / PAGE {
            disk.flip(&file.to_string(), 8 * (page * PAGE) as u64 + 100);
        }
    }
    // Twice: what was found is told again, and a group made since is none of it.
    for life in 0..3 {
        let core = reopen(&disk);
        let mut lost = 0;
        for (topic, group) in world.groups.keys().copied() {
            let Some(view) = view(&core, topic, group) else { continue };
            lost += 1;
            assert!(view.is_lost && view.next == 0 && view.holes.is_empty(), "life {life}: {view:?}");
            let progress =
                Op::Progress { topic, group, progress: Progress { from: 0, next: 1, ..Progress::default() } };
            let refused = core.append(&batch(vec![progress]), Durability::Os);
            assert_eq!(refused.err(), Some(StoreError::GroupLost(topic, group)));
        }
        assert!(lost > 0, "some of them are named in what is left of the log");
        if life == 0 {
            assert!(core.stats().damaged > 0);
        }
        for (topic, messages) in &world.messages {
            let found = read_all(&core, *topic);
            let ours = found.iter().filter(|message| message.content != b"after"[..]);
            assert!(ours.eq(messages.iter()), "life {life}: every message of {topic:?} is there");
        }
        no_offset_comes_again(&world, &core, "no snapshot");
        let made = GroupId(1 << 40 | life);
        let (topic, _) = *world.groups.keys().next().unwrap();
        append(&core, vec![Op::PutGroup { topic, group: made, settings: bytes::Bytes::new(), start: 5 }]);
        while core.write() != Wrote::Idle {}
        core.sync();
        let fresh = core.front.lock().state.fresh_id();
        assert!(fresh > 1 << 20, "no id is given again");
        if life == 1 {
            settle(&core, &mut 1);
        }
        assert!((0..=life).all(|life| !view(&core, topic, GroupId(1 << 40 | life)).unwrap().is_lost));
        disk.kill();
    }
}

#[test]
fn a_file_of_another_version_is_refused_and_unknown_ones_are_left_alone() {
    let world = World::new(13, End::Closed);
    let disk = world.disk.fork();
    let notes = ["notes.txt", "segment-1-2.v1", "segment.v1", "sealed-00000000001-x.v1", "lost+found"];
    for name in notes {
        disk.create(name, 10).unwrap();
    }
    let core = reopen(&disk);
    settle(&core, &mut 1);
    judge(&world, &core, &Harm::default(), "unknown files");
    let names: BTreeSet<String> = disk.names().into_iter().collect();
    assert!(notes.iter().all(|name| names.contains(*name)));
    disk.kill();
    disk.create("segment-00000000001-0000000000000001.v2", 10).unwrap();
    let refused = Core::open(Arc::new(disk.clone()), settings()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    assert!(refused.to_string().contains("format 2"), "{refused}");
    assert_eq!(disk.names().len(), names.len() + 1, "nothing was changed");
}
