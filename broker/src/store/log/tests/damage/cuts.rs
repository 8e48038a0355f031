//! The newest segment has lost its end: what is whole before it is kept.

use super::flips::{Harm, judge};
use super::world::{End, World, reopen};
use crate::store::log::file::Kind;

fn cut_everywhere(end: End) {
    let world = World::new(9, end);
    let newest = *world.files(Kind::Segment).iter().rfind(|file| !world.groups_of(**file).is_empty()).unwrap();
    let groups = world.groups_of(newest);
    let stride = if std::env::var_os("TOWLINE_FLIPS").is_some() { 1 } else { 7 };
    let last = &groups[groups.len() - 3..];
    // The bytes around where things begin and end one by one, and some of those between.
    for len in (last[0].bytes.start..=last[2].bytes.end).filter(|len| stride == 1 || len % stride == 0 || len % 64 < 2)
    {
        let case = format!("{end:?}, cut at {len}");
        let mut harm = Harm::default();
        let mut torn = 0;
        for group in last.iter().filter(|group| group.end > len) {
            harm.messages.extend(&group.messages);
            harm.groups.extend(&group.groups);
            torn = torn.max(len.saturating_sub(group.bytes.start));
        }
        let disk = world.disk.fork();
        disk.truncate(&newest.to_string(), len as u64);
        let core = reopen(&disk);
        judge(&world, &core, &harm, &case);
        assert_eq!(core.stats().cut_bytes, torn as u64, "{case}");
    }
}

#[test]
fn every_whole_group_before_a_cut_is_kept() {
    for end in [End::Closed, End::Marked, End::Killed] {
        cut_everywhere(end);
    }
}
