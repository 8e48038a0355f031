//! See the parent: against a history that knows what it wrote, what was synced and what was lost.

use super::*;
use crate::store::log::mutant::Switch;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;

/// Grains of a segment behind its first page.
const LEN: u64 = 12;
const START: u64 = 64;

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    /// A group of so many grains.
    Write(u64),
    /// All that is written is synced.
    Sync,
    /// The process ends. Of the groups that were not synced those are lost, or torn, whose bits are set.
    Crash { lost: u64, torn: u64 },
    /// The recovery after a crash ends before its mark is certain, with the same luck.
    Half { lost: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let luck = || prop_oneof![2 => Just(0u64), 1 => any::<u64>(), 1 => (0..6u32).prop_map(|bit| 1 << bit)];
    let step = prop_oneof![
        12 => (1..5u64).prop_map(Step::Write),
        4 => Just(Step::Sync),
        2 => (luck(), luck()).prop_map(|(lost, torn)| Step::Crash { lost, torn }),
        1 => luck().prop_map(|lost| Step::Half { lost }),
    ];
    prop::collection::vec(step, 1..60)
}

/// A group and what it is about, if it is no mark and no decision.
#[derive(Clone, Copy, Debug)]
struct Group {
    seen: Seen,
    content: Option<u32>,
}

/// A plain log: the groups that count in one list, what lies on the disk in another.
#[derive(Default)]
struct History {
    disk: BTreeMap<Sequence, Group>,
    log: Vec<Group>,
    /// Really certain.
    synced: Sequence,
    segment: u64,
    grain: u64,
    recovery: Recovery,
    contents: u32,
    /// Bytes behind the last crash that are to be cut, as long as no recovery has ended.
    cut: u64,
}

impl History {
    fn stated(&self) -> Sequence {
        self.disk.values().map(|group| group.seen.header.synced).max().unwrap_or_default()
    }

    fn roll(&mut self) {
        (self.segment, self.grain) = (self.segment + 1, START);
    }

    /// A group at the next place.
    fn place(&mut self, grains: u64, content: Option<u32>) -> Group {
        if self.grain + grains > START + LEN {
            self.roll();
            self.recovery = Recovery::default();
        }
        let sequence = Sequence::at(self.segment, self.grain * GRAIN);
        self.grain += grains;
        let previous = self.log.last().map_or(Sequence::default(), |group| group.seen.header.sequence);
        let header = Header { sequence, previous, synced: self.synced, recovery: self.recovery, flags: 0 };
        Group { seen: Seen { header, len: grains * GRAIN, is_whole: true }, content }
    }

    fn write(&mut self, grains: u64, content: Option<u32>) {
        let group = self.place(grains, content);
        self.log.push(group);
        self.disk.insert(group.seen.header.sequence, group);
    }

    /// The groups of the list that are not synced may be lost or torn: the list ends before the first of them.
    fn crash(&mut self, lost: u64, torn: u64) {
        let from = self.log.partition_point(|group| group.seen.header.sequence <= self.synced);
        let mut broken = None::<usize>;
        self.cut = 0;
        let mut before = from.checked_sub(1).map(|nth| self.log[nth].seen);
        for (nth, bit) in (from..self.log.len()).zip(0..) {
            let Seen { header, len, .. } = self.log[nth].seen;
            let (is_lost, is_torn) = (lost >> (bit % 64) & 1 == 1, torn >> (bit % 64) & 1 == 1);
            if is_lost {
                self.disk.remove(&header.sequence);
            } else if is_torn {
                self.disk.entry(header.sequence).and_modify(|group| group.seen.is_whole = false);
            }
            if is_lost || is_torn {
                broken.get_or_insert(nth);
            }
            if broken.is_none() {
                before = Some(self.log[nth].seen);
            } else if !is_lost {
                // With what is missing right before the first that is there.
                let is_first = self.cut == 0;
                let same = before.filter(|before| before.header.sequence.segment() == header.sequence.segment());
                let gap = same.map_or(0, |before| header.sequence.position() - before.end());
                self.cut += len + if is_first { gap } else { 0 };
            }
        }
        self.log.truncate(broken.unwrap_or(self.log.len()));
    }

    /// Rule 3: decisions, copies of what is not known to be synced, and a mark. Without the mark nothing of it counts.
    fn recover(&mut self, ends_at: Option<u64>) {
        let stated = self.stated();
        let from = self.log.partition_point(|group| group.seen.header.sequence <= stated);
        let unsynced = self.log.split_off(from);
        let kept = self.log.last().map_or(Sequence::default(), |group| group.seen.header.sequence);
        let (mut segment, mut grain) = (self.segment + 1, START);
        let mut groups = Vec::new();
        let copied = unsynced.iter().map(|group| (group.seen.len / GRAIN, group.content));
        for (grains, content) in [(1, None)].into_iter().chain(copied) {
            if grain + grains + 1 > START + LEN {
                (segment, grain) = (segment + 1, START);
            }
            groups.push((Sequence::at(segment, grain * GRAIN), grains, content));
            grain += grains;
        }
        let recovery = Recovery { kept, first: groups[0].0, last: groups[groups.len() - 1].0 };
        let mut previous = kept;
        let mut copies = Vec::new();
        for (sequence, grains, content) in groups {
            let header = Header { sequence, previous, synced: stated, recovery, flags: 0 };
            copies.push(Group { seen: Seen { header, len: grains * GRAIN, is_whole: true }, content });
            previous = sequence;
        }
        (self.segment, self.grain) = (segment, grain);
        if let Some(lost) = ends_at {
            let there = copies.into_iter().zip(0..).filter(|(_, bit)| lost >> (bit % 64) & 1 == 0);
            self.disk.extend(there.map(|(group, _)| (group.seen.header.sequence, group)));
            self.log.extend(unsynced);
            return;
        }
        self.disk.extend(copies.iter().map(|group| (group.seen.header.sequence, *group)));
        self.log.extend(copies);
        (self.synced, self.recovery, self.cut) = (recovery.last, recovery, 0);
        self.write(1, None);
        self.synced = self.log.last().expect("the mark").seen.header.sequence;
    }

    fn run(steps: &[Step]) -> Self {
        let mut history = Self { segment: 1, grain: START, ..Self::default() };
        let mut is_down = false;
        for step in steps {
            match step {
                Step::Crash { lost, torn } if !is_down => {
                    history.crash(*lost, *torn);
                    is_down = true;
                }
                Step::Half { lost } if is_down => history.recover(Some(*lost)),
                Step::Crash { .. } | Step::Half { .. } => {}
                Step::Write(_) | Step::Sync if std::mem::take(&mut is_down) => history.recover(None),
                Step::Write(grains) => {
                    history.contents += 1;
                    history.write(*grains, Some(history.contents));
                }
                Step::Sync => {
                    let last = history.log.last().map(|group| group.seen.header.sequence);
                    history.synced = last.unwrap_or_default().max(history.synced);
                }
            }
        }
        history
    }

    fn seen(&self) -> Vec<Seen> {
        self.disk.values().map(|group| group.seen).collect()
    }

    fn contents(&self, kept: &[Seen]) -> Vec<u32> {
        kept.iter().filter_map(|seen| self.disk[&seen.header.sequence].content).collect()
    }
}

/// What survives a crash is kept, and nothing else; nothing of it is called damaged.
fn keeps_what_survived(steps: &[Step]) -> Result<(), TestCaseError> {
    let history = History::run(steps);
    let chain = Chain::of(&history.seen(), Sequence::default(), |_| false);
    let expected: Vec<u32> = history.log.iter().filter_map(|group| group.content).collect();
    prop_assert_eq!(history.contents(&chain.kept), expected);
    prop_assert_eq!(&chain.damage, &[]);
    prop_assert_eq!(chain.synced, history.stated());
    prop_assert_eq!(chain.cut, history.cut);
    prop_assert!(!chain.is_clean);
    Ok(())
}

/// A group that others call synced and that is gone, or torn, is damage: of it alone, and nothing else is missing.
fn tells_damage(steps: &[Step], nth: usize, is_torn: bool) -> Result<(), TestCaseError> {
    let mut history = History::run(steps);
    let log: Vec<Seen> = history.log.iter().map(|group| group.seen).collect();
    let Some(hit) = log.get(nth % log.len().max(1)).copied() else { return Ok(()) };
    let sequence = hit.header.sequence;
    let others = history.disk.values().filter(|group| group.seen.header.sequence != sequence);
    let stated = others.map(|group| group.seen.header.synced).max().unwrap_or_default();
    if sequence > stated {
        return Ok(());
    }
    if is_torn {
        history.disk.entry(sequence).and_modify(|group| group.seen.is_whole = false);
    } else {
        history.disk.remove(&sequence);
    }
    let chain = Chain::of(&history.seen(), Sequence::default(), |_| false);
    let rest = history.log.iter().filter(|group| group.seen.header.sequence != sequence);
    prop_assert_eq!(history.contents(&chain.kept), rest.filter_map(|group| group.content).collect::<Vec<_>>());
    let [(from, to)] = chain.damage[..] else {
        return Err(TestCaseError::fail(format!("one place is damaged, not {:?}", chain.damage)));
    };
    prop_assert!(from <= sequence && sequence < to, "{from} to {to} for {sequence}");
    let is_hit = |seen: &Seen| from <= seen.header.sequence && seen.header.sequence < to;
    prop_assert!(!log.iter().any(|seen| seen.header.sequence != sequence && is_hit(seen)), "{from} to {to}");
    // What is missing right behind it cannot be told from it.
    prop_assert!(chain.cut == history.cut || sequence == log[log.len() - 1].header.sequence);
    // What a sealed file holds is not missing.
    let first = log[0].header.sequence;
    if !is_torn && sequence == first {
        let chain = Chain::of(&history.seen(), Sequence::default(), |segment| segment == first.segment());
        prop_assert_eq!(&chain.damage, &[]);
    }
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_survived_a_crash_is_kept_and_nothing_else(steps in steps()) {
        keeps_what_survived(&steps)?;
    }

    #[test]
    fn a_damaged_group_costs_itself(steps in steps(), nth in any::<usize>(), is_torn in any::<bool>()) {
        tells_damage(&steps, nth, is_torn)?;
    }

    /// Whatever there is, also what no log ever was: what is kept is in order, each once, and whole.
    #[test]
    fn groups_that_make_no_sense_do_no_harm(
        groups in prop::collection::vec((1..4u64, 64..72u64, 0..300u64, 0..300u64, any::<bool>(), 0..3usize, any::<bool>()), 0..20),
    ) {
        let near = |nth: u64| Sequence::at(nth / 80, nth % 80 * GRAIN);
        let recovery = |nth| match nth {
            0 => Recovery::default(),
            1 => Recovery { kept: near(150), first: near(224), last: near(226) },
            _ => Recovery { kept: near(100), first: near(300), last: near(400) },
        };
        let seen: BTreeMap<Sequence, Seen> = groups.into_iter().map(|(segment, grain, previous, synced, is_whole, nth, is_clean)| {
            let sequence = Sequence::at(segment, grain * GRAIN);
            let before = |other: Sequence| other.min(Sequence(sequence.0 - 1));
            let flags = if is_clean { CLEAN } else { 0 };
            let header = Header { sequence, previous: before(near(previous)), synced: before(near(synced)), recovery: recovery(nth), flags };
            (sequence, Seen { header, len: GRAIN, is_whole })
        }).collect();
        let seen: Vec<Seen> = seen.into_values().collect();
        let chain = Chain::of(&seen, Sequence::default(), |segment| segment == 2);
        prop_assert!(chain.kept.iter().all(|group| group.is_whole && seen.contains(group)));
        prop_assert!(chain.kept.is_sorted_by(|one, other| one.header.sequence < other.header.sequence));
        prop_assert!(chain.damage.iter().all(|(from, to)| from <= to));
        prop_assert!(!chain.is_clean || chain.cut == 0);
    }
}

/// It was told twice: where it is missing, and because the log ends before it.
#[test]
fn a_group_missing_before_a_torn_one_is_told_once() {
    let steps =
        [Step::Crash { lost: 0, torn: 0 }, Step::Write(1), Step::Write(1), Step::Crash { lost: 0, torn: u64::MAX }];
    for nth in 0..2 {
        tells_damage(&steps, nth, false).expect("one place is damaged");
    }
}

/// These rules are the chain's own: without one of them the tests above fail.
#[test]
fn histories_notice_what_is_switched_off() {
    for mutant in [Mutant::CopiesTrusted, Mutant::PreviousNotChecked] {
        let _switch = Switch::on(mutant);
        let mut runner = TestRunner::new(config());
        runner.run(&steps(), |steps| keeps_what_survived(&steps)).expect_err("nobody notices");
    }
}
