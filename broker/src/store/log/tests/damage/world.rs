//! A run with everything in it, and where everything of it lies.

use super::super::support::{append, create, open, publish, read_all, settings, settle};
use crate::store::log::core::Core;
use crate::store::log::disk::Disk;
use crate::store::log::disk::simulated::Simulated;
use crate::store::log::file::{FileId, Kind, Named, PAGE};
use crate::store::log::group::{self, Found, Header};
use crate::store::log::sealed::{self, Directories, Kept, Opened};
use crate::store::log::sequence::{GRAIN, Sequence};
use crate::store::log::write::Wrote;
use crate::store::record::Record;
use crate::store::{Durability, GroupId, GroupView, Hand, Offset, Op, Progress, Run, Stored, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

pub(in crate::store::log::tests) const TOPICS: [TopicId; 4] = [TopicId(1), TopicId(2), TopicId(3), TopicId(4)];
const GROUPS: [(TopicId, GroupId); 6] = [
    (TOPICS[0], GroupId(11)),
    (TOPICS[0], GroupId(12)),
    (TOPICS[1], GroupId(13)),
    (TOPICS[2], GroupId(14)),
    (TOPICS[3], GroupId(15)),
    (TOPICS[3], GroupId(16)),
];

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::log::tests) enum End {
    Closed,
    /// Everything is synced, and a mark says so.
    Marked,
    Killed,
}

/// The folder a run left, and what was in it.
#[derive(Debug)]
pub(in crate::store::log::tests) struct World {
    pub disk: Simulated,
    pub messages: BTreeMap<TopicId, Vec<Stored>>,
    pub groups: BTreeMap<(TopicId, GroupId), GroupView>,
    /// Offsets that were given.
    pub heads: BTreeMap<TopicId, Offset>,
}

/// A message or a group in a file.
#[derive(Clone, Debug)]
pub(in crate::store::log::tests) struct Span {
    pub bytes: Range<usize>,
    /// Without the zeros behind it.
    pub end: usize,
    pub header: Option<Header>,
    pub messages: BTreeSet<(TopicId, Offset)>,
    /// Groups of consumers that something in it is about.
    pub groups: BTreeSet<(TopicId, GroupId)>,
    pub has_sealed: bool,
}

impl World {
    pub(in crate::store::log::tests) fn new(seed: u64, end: End) -> Self {
        let (disk, mut now, mut rng) = (Simulated::new(seed), 0, fastrand::Rng::with_seed(seed));
        let mut core = open(&disk).expect("an empty folder opens");
        for (nth, topic) in TOPICS.into_iter().enumerate() {
            let durability = if nth == 2 { Durability::Os } else { Durability::Disk };
            append(&core, vec![create(topic, durability)]);
        }
        for (topic, group) in GROUPS {
            let settings = bytes::Bytes::copy_from_slice(&group.0.to_le_bytes());
            append(&core, vec![Op::PutGroup { topic, group, settings, start: 0 }]);
        }
        work(&core, &mut rng, 500);
        settle(&core, &mut now);
        disk.power_cut(rng.u64(..));
        core = open(&disk).expect("it opens after a power cut");
        work(&core, &mut rng, 300);
        settle(&core, &mut now);
        work(&core, &mut rng, 200);
        disk.kill();
        core = open(&disk).expect("it opens after a kill");
        settle(&core, &mut now);
        work(&core, &mut rng, 300);
        match end {
            End::Closed => {
                core.close();
                run(&core);
                core.sync();
                assert!(core.mark(), "all is synced");
                assert!(!core.sync(), "and so is the mark behind it");
            }
            End::Marked => {
                run(&core);
                core.sync();
                assert!(core.mark(), "all is synced");
            }
            End::Killed => {}
        }
        let confirmed = TOPICS.map(|topic| read_all(&core, topic));
        let heads = TOPICS.map(|topic| (topic, core.front.lock().state.head(topic)));
        disk.kill();
        // What was written and not confirmed is there as well, as the power was not cut.
        let core = reopen(&disk.fork());
        let messages = TOPICS.map(|topic| (topic, read_all(&core, topic)));
        for (confirmed, (_, found)) in confirmed.iter().zip(&messages) {
            assert_eq!(found[..confirmed.len()], confirmed[..], "what was confirmed is there");
        }
        let groups = GROUPS.map(|(topic, group)| ((topic, group), view(&core, topic, group).expect("it was made")));
        Self { disk, messages: messages.into(), groups: groups.into(), heads: heads.into() }
    }

    pub(in crate::store::log::tests) fn files(&self, kind: Kind) -> Vec<FileId> {
        let files = self.disk.names().into_iter().filter_map(|name| match Named::read(&name) {
            Named::Ours(file) if file.kind == kind => Some(file),
            _ => None,
        });
        files.collect()
    }

    /// The groups of a segment, in order.
    pub(in crate::store::log::tests) fn groups_of(&self, file: FileId) -> Vec<Span> {
        let bytes = self.disk.contents(&file.to_string());
        let (mut spans, mut at) = (Vec::new(), PAGE);
        while at < bytes.len() {
            match group::check(&bytes[at..], Sequence::at(file.id, at as u64), file.seed, true) {
                Found::Group { header, len } => {
                    spans.push(span(at..at + len, Some(header), group::records(&bytes[at..])));
                    at += len;
                }
                _ => at += GRAIN as usize,
            }
        }
        spans
    }

    /// The messages of a sealed file, in order.
    pub(in crate::store::log::tests) fn records_of(&self, file: FileId) -> Vec<Span> {
        let bytes = self.disk.contents(&file.to_string());
        let directories = Arc::new(Directories::new(1 << 20));
        let disk: &dyn Disk = &self.disk;
        let Opened::Complete(sealed) = sealed::open(disk, &directories, file, &file.to_string()).unwrap() else {
            panic!("nothing has damaged it")
        };
        let (mut spans, mut at) = (Vec::new(), None);
        for record in sealed.records(&|_, _| Kept::All) {
            let record = record.unwrap();
            let from = at.unwrap_or_else(|| {
                bytes.windows(record.len()).position(|window| window == record).expect("a record is in the file")
            });
            assert_eq!(bytes[from..from + record.len()], record[..]);
            at = Some(from + record.len());
            spans.push(span(from..from + record.len(), None, &record));
        }
        spans
    }
}

fn span(bytes: Range<usize>, header: Option<Header>, records: &[u8]) -> Span {
    let end = bytes.start + records.len() + header.map_or(0, |_| group::HEADER);
    let mut span = Span { end, bytes, header, messages: BTreeSet::new(), groups: BTreeSet::new(), has_sealed: false };
    for (frame, record) in group::frames(records) {
        match Record::decode(record) {
            Some(Record::Message { topic, offset, .. }) => {
                span.messages.insert((topic, offset));
            }
            Some(Record::Progress { topic, group, .. } | Record::Group { topic, group, .. }) => {
                span.groups.insert((topic, group));
            }
            Some(Record::Sealed { .. }) => span.has_sealed = true,
            Some(_) => {}
            None => assert!(frame.is_lost(), "a record that was written can be read"),
        }
    }
    span
}

pub(in crate::store::log::tests) fn view(core: &Core, topic: TopicId, group: GroupId) -> Option<GroupView> {
    core.front.lock().state.group(topic, group)
}

/// Writes all there is. Only what the writer waits for is kept ready: no snapshot, nothing sealed.
fn run(core: &Core) {
    for _ in 0..100 {
        match core.write() {
            Wrote::Idle => return,
            Wrote::Group => {}
            Wrote::Blocked => {
                core.keep(0);
            }
        }
    }
    panic!("the writer does not come to rest");
}

/// Publishes, hands over and settles.
fn work(core: &Core, rng: &mut fastrand::Rng, batches: usize) {
    for _ in 0..batches {
        let topic = TOPICS[rng.usize(..TOPICS.len())];
        let ops = (0..rng.usize(1..4)).map(|_| {
            let len = rng.usize(8..300);
            let content: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len).collect();
            publish(topic, &content)
        });
        let mut ops: Vec<Op> = ops.collect();
        if rng.u8(..3) == 0 {
            let (topic, group) = GROUPS[rng.usize(..GROUPS.len())];
            ops.push(Op::Progress { topic, group, progress: progress(core, topic, group, rng) });
        }
        append(core, ops);
        if rng.u8(..3) > 0 {
            run(core);
        }
        if rng.u8(..4) == 0 {
            core.sync();
        }
    }
    run(core);
}

fn progress(core: &Core, topic: TopicId, group: GroupId, rng: &mut fastrand::Rng) -> Progress {
    let view = view(core, topic, group).expect("it is there");
    let head = core.front.lock().state.head(topic);
    let next = (view.next + rng.u64(..8)).min(head).max(view.next);
    let handed =
        (view.next < next).then(|| Hand { run: Run { first: view.next, count: next - view.next }, attempt: 1, due: 9 });
    let settled = view.holes.iter().filter(|_| rng.bool()).map(|hole| hole.run).collect();
    Progress { from: view.next, next, handed: handed.into_iter().collect(), settled }
}

/// Small segments, as the tests of steps have them.
pub(in crate::store::log::tests) fn reopen(disk: &Simulated) -> Core {
    Core::open(Arc::new(disk.clone()), settings()).expect("damage is no reason not to open")
}
