//! One bit is another one: what may be lost is the record or the group it lies in, and that is said.

use super::super::support::{append, publish, settle};
use super::world::{End, Span, TOPICS, World, reopen, view};
use crate::store::log::core::Core;
use crate::store::log::disk::simulated::Simulated;
use crate::store::log::file::{FileId, Kind, PAGE};
use crate::store::log::sequence::Sequence;
use crate::store::{GroupId, GroupView, Limits, Offset, Placed, Stored, TopicId};
use std::collections::{BTreeMap, BTreeSet};

/// What may be missing after some damage.
#[derive(Clone, Debug, Default)]
pub(super) struct Harm {
    pub messages: BTreeSet<(TopicId, Offset)>,
    /// Groups of consumers that may have more to do than before.
    pub groups: BTreeSet<(TopicId, GroupId)>,
}

/// Where everything of a world lies.
pub(super) struct Map<'a> {
    world: &'a World,
    segments: BTreeMap<FileId, Vec<Span>>,
    sealed: BTreeMap<FileId, Vec<Span>>,
    snapshots: Vec<FileId>,
    /// The last group that a group or a snapshot calls synced.
    synced: Sequence,
}

impl<'a> Map<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let segments: BTreeMap<_, _> =
            world.files(Kind::Segment).into_iter().map(|file| (file, world.groups_of(file))).collect();
        let sealed = world.files(Kind::Sealed).into_iter().map(|file| (file, world.records_of(file))).collect();
        let headers = || segments.values().flatten().filter_map(|span: &Span| span.header);
        let synced = headers().map(|header| header.synced).max().unwrap_or_default();
        Self { world, sealed, snapshots: world.files(Kind::Snapshot), synced, segments }
    }

    /// What a flipped bit may cost.
    fn harm(&self, file: FileId, bit: u64) -> Harm {
        let byte = (bit / 8) as usize;
        let in_span = |spans: &[Span]| spans.iter().find(|span| span.bytes.contains(&byte)).cloned();
        match file.kind {
            Kind::Segment => {
                let Some(hit) = in_span(&self.segments[&file]) else { return Harm::default() };
                let sequence = hit.header.map_or(Sequence::default(), |header| header.sequence);
                let mut harm = Harm { messages: hit.messages, groups: hit.groups };
                // Without the group, what says that a group was synced is what others say.
                let others = self.segments.values().flatten().filter_map(|span| span.header);
                let others = others.filter(|header| header.sequence != sequence);
                let synced = others.map(|header| header.synced).max().unwrap_or_default();
                if sequence > synced {
                    for span in self.segments.values().flatten() {
                        if span.header.is_some_and(|header| header.sequence > sequence) {
                            harm.messages.extend(&span.messages);
                            harm.groups.extend(&span.groups);
                        }
                    }
                }
                harm
            }
            Kind::Sealed => {
                let messages = in_span(&self.sealed[&file]).map(|span| span.messages).unwrap_or_default();
                Harm { messages, ..Harm::default() }
            }
            Kind::Snapshot | Kind::Spare => Harm::default(),
        }
    }

    /// A bit somewhere in what was written.
    fn anywhere(&self, rng: &mut fastrand::Rng) -> (FileId, u64) {
        let files: Vec<FileId> =
            self.segments.keys().chain(self.sealed.keys()).chain(&self.snapshots).copied().collect();
        let file = files[rng.usize(..files.len())];
        let end = match self.segments.get(&file) {
            // And a little of what is behind it.
            Some(spans) => spans.last().map_or(PAGE, |span| span.bytes.end) + 64,
            None => self.world.disk.contents(&file.to_string()).len(),
        };
        (file, rng.u64(..8 * end as u64))
    }

    /// A bit where it hurts most.
    fn aimed(&self, rng: &mut fastrand::Rng) -> (FileId, u64) {
        let pick = |rng: &mut fastrand::Rng, of: &mut dyn FnMut(&Span) -> bool| {
            let all: Vec<(FileId, usize, usize)> = self
                .segments
                .iter()
                .flat_map(|(file, spans)| spans.iter().map(|span| (*file, span)))
                .filter(|(_, span)| of(span))
                .map(|(file, span)| (file, span.bytes.start, span.bytes.len()))
                .collect();
            (!all.is_empty()).then(|| all[rng.usize(..all.len())])
        };
        loop {
            let found = match rng.u8(..8) {
                0 => pick(rng, &mut |_| true).map(|(file, at, _)| (file, at, 64)),
                1 => pick(rng, &mut |span| span.has_sealed),
                2 => pick(rng, &mut |span| !span.groups.is_empty()),
                3 => pick(rng, &mut |span| {
                    span.header.is_some_and(|header| {
                        let recovery = header.recovery;
                        (recovery.first..=recovery.last.max(recovery.first)).contains(&header.sequence)
                            || header.previous == recovery.last && recovery.last != Sequence::default()
                    })
                }),
                4 => pick(rng, &mut |span| span.header.is_some_and(|header| header.sequence >= self.synced)),
                5 => {
                    let files: Vec<_> = self.segments.keys().chain(self.sealed.keys()).chain(&self.snapshots).collect();
                    Some((*files[rng.usize(..files.len())], 0, 36))
                }
                6 => {
                    let files: Vec<_> = self.sealed.iter().collect();
                    let (file, spans) = files[rng.usize(..files.len())];
                    let len = self.world.disk.contents(&file.to_string()).len();
                    let end = spans.last().map_or(PAGE, |span| span.bytes.end);
                    Some((*file, end, len - end))
                }
                _ => {
                    let file = self.snapshots[rng.usize(..self.snapshots.len())];
                    Some((file, 0, self.world.disk.contents(&file.to_string()).len()))
                }
            };
            if let Some((file, at, len)) = found {
                return (file, 8 * at as u64 + rng.u64(..8 * len as u64));
            }
        }
    }
}

/// Everything of a topic, and what is said to be damaged.
fn read(core: &Core, topic: TopicId) -> (Vec<Stored>, Vec<Offset>) {
    let (mut all, mut damaged, mut from) = (Vec::new(), Vec::new(), 0);
    loop {
        let page = core.read(topic, from, Limits { messages: 100, bytes: 1 << 20 }).expect("a topic can be read");
        if page.next == from {
            return (all, damaged);
        }
        from = page.next;
        all.extend(page.messages);
        damaged.extend(page.damaged);
    }
}

/// What an opened store has is what was published, without what the harm explains. Says what is missing.
pub(super) fn judge(world: &World, core: &Core, harm: &Harm, case: &str) -> usize {
    let mut missing = 0;
    for topic in TOPICS {
        let published: BTreeMap<Offset, &Stored> =
            world.messages[&topic].iter().map(|message| (message.offset, message)).collect();
        let (found, damaged) = read(core, topic);
        for message in &found {
            assert_eq!(published.get(&message.offset), Some(&message), "{case}: {topic:?} has what was not published");
        }
        let found: BTreeSet<Offset> = found.iter().map(|message| message.offset).collect();
        for offset in published.keys().filter(|offset| !found.contains(*offset)) {
            assert!(harm.messages.contains(&(topic, *offset)), "{case}: {topic:?} has lost {offset}");
            missing += 1;
        }
        for offset in damaged {
            assert!(harm.messages.contains(&(topic, offset)), "{case}: {topic:?} calls {offset} damaged");
        }
    }
    for ((topic, group), before) in &world.groups {
        let after = view(core, *topic, *group);
        let after = after.unwrap_or_else(|| panic!("{case}: {group:?} of {topic:?} is gone"));
        if harm.groups.contains(&(*topic, *group)) {
            at_least(world, *topic, before, &after, harm, case);
        } else {
            assert_eq!(&after, before, "{case}: {group:?} of {topic:?}");
        }
    }
    missing
}

/// Nothing that was to be done counts as done.
fn at_least(world: &World, topic: TopicId, before: &GroupView, after: &GroupView, harm: &Harm, case: &str) {
    let is_open = |view: &GroupView, offset: Offset| {
        offset >= view.next
            || view.holes.iter().any(|hole| (hole.run.first..hole.run.first + hole.run.count).contains(&offset))
    };
    for offset in world.messages[&topic].iter().map(|message| message.offset) {
        assert!(
            !is_open(before, offset) || is_open(after, offset) || harm.messages.contains(&(topic, offset)),
            "{case}: {offset} of {topic:?} counts as done: {before:?}, {after:?}"
        );
    }
}

/// No offset that was given is given again.
pub(super) fn no_offset_comes_again(world: &World, core: &Core, case: &str) {
    for topic in TOPICS {
        let ticket = append(core, vec![publish(topic, b"after")]);
        let [Placed::At(offset)] = ticket.placed[..] else { panic!("{case}: it is new") };
        assert!(offset >= world.heads[&topic], "{case}: {offset} of {topic:?} was given before");
    }
}

/// So many flips of each kind in each world, unless `TOWLINE_FLIPS` says otherwise.
const FLIPS: usize = 100;

fn flip_many(seed: u64, end: End, is_aimed: bool) {
    let count = std::env::var("TOWLINE_FLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(FLIPS);
    let world = World::new(seed, end);
    let map = Map::of(&world);
    assert!(map.segments.len() > 2 && map.sealed.len() > 1 && map.snapshots.len() == 2, "the world has everything");
    judge(&world, &reopen(&world.disk.fork()), &Harm::default(), "nothing flipped");
    let mut rng = fastrand::Rng::with_seed(seed);
    for nth in 0..count {
        let (file, bit) = if is_aimed { map.aimed(&mut rng) } else { map.anywhere(&mut rng) };
        let case = format!("seed {seed}, {end:?}, flip {nth}: bit {bit} of {file} ({})", bit / 8);
        let disk: Simulated = world.disk.fork();
        disk.flip(&file.to_string(), bit);
        let harm = map.harm(file, bit);
        let core = reopen(&disk);
        let missing = judge(&world, &core, &harm, &case);
        let stats = core.stats();
        let is_told = stats.damaged + stats.cut_bytes > 0;
        assert!(missing == 0 || is_told, "{case}: {missing} are missing, and nobody says so");
        let is_damage = stats.damaged > 0;
        assert!(missing == 0 || end != End::Closed || is_damage, "{case}: what a closed log had kept was cut");
        if nth % 4 > 0 {
            no_offset_comes_again(&world, &core, &case);
            continue;
        }
        // What is damaged stays as it is, whatever the store does later.
        settle(&core, &mut 1);
        judge(&world, &core, &harm, &case);
        disk.kill();
        let core = reopen(&disk);
        judge(&world, &core, &harm, &case);
        no_offset_comes_again(&world, &core, &case);
    }
}

#[test]
fn a_flipped_bit_costs_one_record_of_a_sealed_file_or_one_group() {
    flip_many(1, End::Marked, false);
    flip_many(2, End::Closed, false);
    flip_many(3, End::Killed, false);
}

#[test]
fn a_flipped_bit_where_it_hurts_costs_no_more() {
    flip_many(4, End::Marked, true);
    flip_many(5, End::Closed, true);
    flip_many(6, End::Killed, true);
}
