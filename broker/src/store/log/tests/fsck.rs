//! A look changes nothing and names what is damaged; a repair mends that.

use super::damage::{End, World};
use super::support::settings;
use crate::store::log::disk::Disk;
use crate::store::log::file::{Kind, PAGE};
use crate::store::log::fsck;
use std::sync::Arc;

fn contents(world: &crate::store::log::disk::simulated::Simulated) -> Vec<(String, Vec<u8>)> {
    world.names().into_iter().map(|name| (name.clone(), world.contents(&name))).collect()
}

#[test]
fn a_look_at_a_good_folder_finds_no_damage_and_changes_nothing() {
    let world = World::new(20, End::Closed);
    let disk = world.disk.fork();
    let before = contents(&disk);
    let report = fsck::of(&disk, true).unwrap();
    assert_eq!((&report.damage, &report.harmless, report.cut_bytes), (&vec![], &vec![], 0));
    assert!(contents(&disk) == before, "a look changes nothing");
    assert_eq!(report.topics.len(), world.messages.len());
    for topic in &report.topics {
        let messages = &world.messages[&crate::store::TopicId(topic.id)];
        assert_eq!(topic.messages, messages.len() as u64, "{topic:?}");
    }
    assert_eq!(report.groups.len(), world.groups.len());
    for group in &report.groups {
        let view = &world.groups[&(crate::store::TopicId(group.topic), crate::store::GroupId(group.id))];
        assert_eq!((group.next, group.holes), (view.next, view.holes.iter().map(|hole| hole.run.count).sum()));
    }
}

#[test]
fn a_damaged_group_and_a_damaged_message_are_named() {
    let world = World::new(21, End::Marked);
    let disk = world.disk.fork();
    let (segment, sealed) = (world.files(Kind::Segment)[1], world.files(Kind::Sealed)[0]);
    let group = &world.groups_of(segment)[2];
    disk.flip(&segment.to_string(), 8 * group.bytes.start as u64 + 70);
    let record = &world.records_of(sealed)[3];
    disk.flip(&sealed.to_string(), 8 * record.bytes.end as u64 - 3);
    let report = fsck::of(&disk, true).unwrap();
    assert_eq!(report.damage.len(), 2, "{:?}", report.damage);
    let place = format!("{}:{}", segment.id, group.bytes.start);
    assert!(report.damage[0].contains(&place), "{:?} names {place}", report.damage);
    let (topic, offset) = record.messages.first().unwrap();
    assert!(report.damage[1].contains(&format!("the message {offset} of topic {}", topic.0)), "{:?}", report.damage);
}

#[test]
fn a_repair_sets_lost_groups_to_the_oldest_message_and_leaves_a_good_folder() {
    let world = World::new(22, End::Marked);
    let disk = world.disk.fork();
    for file in world.files(Kind::Snapshot) {
        for page in 1..disk.contents(&file.to_string()).len() / PAGE {
            disk.flip(&file.to_string(), 8 * (page * PAGE) as u64 + 100);
        }
    }
    let report = fsck::of(&disk, false).unwrap();
    assert!(report.groups.iter().any(|group| group.is_lost) && !report.damage.is_empty());
    let done = fsck::mend(Arc::new(disk.clone()), settings()).unwrap();
    assert_eq!(done, report.repairs, "it does what was said");
    disk.kill();
    let after = fsck::of(&disk, true).unwrap();
    assert_eq!(after.damage, Vec::<String>::new());
    assert_eq!(
        after.topics.iter().map(|topic| topic.messages).sum::<u64>(),
        world.messages.values().map(|all| all.len() as u64).sum::<u64>()
    );
    assert!(after.groups.iter().all(|group| !group.is_lost && group.next == 0));
    let _ = disk.list().unwrap();
}
