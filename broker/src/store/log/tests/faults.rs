//! Disks that are full, broken or slow: nothing confirmed is lost, and what can go on goes on.

use super::support::{append, batch, create, publish, read_all, settings, settle};
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::simulated::{Operation, Simulated};
use crate::store::log::disk::{Disk, File};
use crate::store::log::engine::Log;
use crate::store::log::file::{FileId, Kind};
use crate::store::log::write::Wrote;
use crate::store::{Durability, GroupId, Limits, Op, Progress, Store, StoreError, TopicId};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;

const TOPIC: TopicId = TopicId(5);
const GROUP: GroupId = GroupId(9);

fn progress(from: u64, next: u64) -> Op {
    Op::Progress { topic: TOPIC, group: GROUP, progress: Progress { from, next, ..Progress::default() } }
}

fn begin(disk: &Simulated, settings: Settings, now: &mut u64) -> Core {
    let core = Core::open(Arc::new(disk.clone()), settings).expect("it opens");
    append(&core, vec![create(TOPIC, Durability::Disk)]);
    append(&core, vec![Op::PutGroup { topic: TOPIC, group: GROUP, settings: bytes::Bytes::new(), start: 0 }]);
    settle(&core, now);
    core
}

#[test]
fn a_full_disk_stops_publishing_alone_and_until_there_is_room() {
    let (disk, mut now) = (Simulated::new(3), 0);
    let settings = Settings { watermark: 256 << 10, ..settings() };
    let core = begin(&disk, settings, &mut now);
    disk.set_capacity(Some(1 << 20));
    let mut confirmed = 0;
    for _ in 0..10_000 {
        core.watch_space(None);
        match core.append(&batch(vec![publish(TOPIC, &[7; 1000])]), Durability::Disk) {
            Ok(mut ticket) => {
                settle(&core, &mut now);
                assert_eq!(ticket.receipt.try_get(), Some(Ok(Durability::Disk)));
                confirmed += 1;
            }
            Err(StoreError::Full { free, watermark }) => {
                assert!(free < watermark);
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(core.stats().is_full && confirmed > 100);
    // Settling goes on, for longer than one segment holds.
    for nth in 0..confirmed {
        let mut ticket = append(&core, vec![progress(nth, nth + 1)]);
        settle(&core, &mut now);
        assert_eq!(ticket.receipt.try_get(), Some(Ok(Durability::Disk)), "a settle is taken on a full disk");
    }
    core.watch_space(None);
    let refused = core.append(&batch(vec![publish(TOPIC, b"x")]), Durability::Disk);
    assert!(matches!(refused, Err(StoreError::Full { .. })));
    disk.set_capacity(Some(16 << 20));
    core.watch_space(None);
    let mut ticket = append(&core, vec![publish(TOPIC, b"again")]);
    settle(&core, &mut now);
    assert_eq!(ticket.receipt.try_get(), Some(Ok(Durability::Disk)), "it goes on by itself");
    let before = read_all(&core, TOPIC);
    assert_eq!(before.len() as u64, confirmed + 1);
    disk.power_cut(1);
    let core = Core::open(Arc::new(disk.clone()), super::support::settings()).expect("it opens");
    assert_eq!(read_all(&core, TOPIC), before);
}

/// Others have filled the disk behind the watermark: settling goes on all the same, and when messages are given up, the store
/// gets its room back by itself.
#[test]
fn what_is_given_up_on_a_disk_without_any_room_gives_the_room_back() {
    let (disk, mut now) = (Simulated::new(6), 0);
    let core = begin(&disk, Settings { watermark: 64 << 10, spares: 3, ..settings() }, &mut now);
    for _ in 0..400 {
        append(&core, vec![publish(TOPIC, &[7; 1000])]);
        settle(&core, &mut now);
    }
    disk.set_capacity(Some(1 << 30));
    let used = (1 << 30) - disk.free_space().expect("the disk tells");
    disk.set_capacity(Some(used));
    core.watch_space(None);
    let refused = core.append(&batch(vec![publish(TOPIC, b"x")]), Durability::Disk);
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    // A segment holds some 200 settles; the room of full ones is used again and again.
    for nth in 0..2000 {
        let mut ticket = append(&core, vec![progress(nth % 400, nth % 400 + 1)]);
        go_on(&core, &mut now);
        assert_eq!(ticket.receipt.try_get(), Some(Ok(Durability::Disk)), "the settle {nth}");
    }
    let head = core.view(TOPIC).expect("it is there").head;
    let give_up = batch(vec![Op::Trim { topic: TOPIC, to: head }]);
    let mut is_given_up = false;
    for _ in 0..100 {
        is_given_up = is_given_up || core.append(&give_up, Durability::Disk).is_ok();
        go_on(&core, &mut now);
        // Snapshots are taken every few seconds.
        now += 1000;
        core.watch_space(None);
    }
    assert!(is_given_up, "giving up is never refused for long");
    assert!(disk.free_space().expect("the disk tells") > used / 2, "most of it was given back");
    assert!(core.append(&batch(vec![publish(TOPIC, b"x")]), Durability::Disk).is_ok());
}

/// The process ended, or the power, before they were as long as a segment.
#[test]
fn spare_files_that_were_never_finished_are_no_reserve() {
    let (disk, mut now) = (Simulated::new(11), 0);
    let core = begin(&disk, settings(), &mut now);
    append(&core, vec![publish(TOPIC, &[7; 1000])]);
    settle(&core, &mut now);
    drop(core);
    disk.kill();
    let unfinished = [0, 4096, 8192].map(|len| {
        let spare = FileId { kind: Kind::Spare, id: 1000 + len, seed: 1 }.to_string();
        disk.create(&spare, len).expect("there is room");
        spare
    });
    // No room for a segment: it is the whole spare file that the recovery takes.
    disk.set_capacity(Some(disk.list().expect("the disk tells").iter().map(|(_, len)| len).sum()));
    let core = Core::open(Arc::new(disk.clone()), settings()).expect("there is room in reserve");
    assert!(unfinished.iter().all(|spare| !disk.names().contains(spare)), "{:?}", disk.names());
    disk.set_capacity(None);
    for _ in 0..200 {
        append(&core, vec![publish(TOPIC, &[7; 1000])]);
        settle(&core, &mut now);
    }
    let whole = settings().segment;
    let files = disk.list().expect("the disk tells");
    let is_whole =
        |(name, len): &(String, u64)| !name.starts_with("spare") && !name.starts_with("segment") || *len == whole;
    assert!(files.iter().all(is_whole), "{files:?}");
    assert_eq!(read_all(&core, TOPIC).len(), 201);
}

/// As [`settle`], on a disk where some step may be due for ever.
fn go_on(core: &Core, now: &mut u64) {
    for _ in 0..20 {
        core.write();
        core.sync();
        *now += 1;
        core.keep(*now);
    }
}

/// A write or a sync that fails, once or for ever: nothing is confirmed any more, what is there can be read, and a restart
/// has all that was confirmed.
#[test]
fn a_failed_write_or_sync_ends_confirming_but_not_reading() {
    for (operation, times) in
        [(Operation::Write, Some(1)), (Operation::Write, None), (Operation::Sync, Some(1)), (Operation::Sync, None)]
    {
        let (disk, mut now) = (Simulated::new(4), 0);
        let core = begin(&disk, settings(), &mut now);
        append(&core, vec![publish(TOPIC, b"confirmed")]);
        settle(&core, &mut now);
        let confirmed = read_all(&core, TOPIC);
        disk.fail(operation, "segment", times);
        let mut doubtful = append(&core, vec![publish(TOPIC, b"doubtful")]);
        core.write();
        core.sync();
        let case = format!("{operation:?} {times:?}");
        assert!(matches!(doubtful.receipt.try_get(), Some(Err(StoreError::Failed(_)))), "{case}");
        for op in [publish(TOPIC, b"x"), progress(0, 1)] {
            let refused = core.append(&batch(vec![op]), Durability::Os);
            assert!(matches!(refused, Err(StoreError::Failed(_))), "{case}: {refused:?}");
        }
        assert!(core.stats().is_poisoned && core.write() == Wrote::Idle && !core.sync() && !core.keep(now), "{case}");
        assert_eq!(read_all(&core, TOPIC), confirmed, "{case}");
        disk.heal();
        disk.power_cut(9);
        let core = Core::open(Arc::new(disk.clone()), settings()).expect("it opens");
        assert_eq!(read_all(&core, TOPIC)[..1], confirmed[..], "{case}");
    }
}

#[test]
fn a_failed_read_is_tried_again_and_loses_nothing() {
    let (disk, mut now) = (Simulated::new(5), 0);
    let core = begin(&disk, Settings { recent: 0, ..settings() }, &mut now);
    for _ in 0..100 {
        append(&core, vec![publish(TOPIC, &[1; 900])]);
        settle(&core, &mut now);
    }
    let all = read_all(&core, TOPIC);
    for (prefix, from) in [("sealed", 0), ("segment", 99)] {
        disk.fail(Operation::Read, prefix, Some(1));
        let limits = Limits { messages: 1, bytes: 0 };
        let failed = core.read(TOPIC, from, limits);
        assert!(matches!(failed, Err(StoreError::Unreadable(_))), "{prefix}: {failed:?}");
        assert_eq!(core.read(TOPIC, from, limits).map(|page| page.messages), Ok(vec![all[from as usize].clone()]));
    }
    assert_eq!(core.stats().damaged, 0, "what cannot be read this time is not damaged");
    disk.fail(Operation::Read, "", None);
    disk.kill();
    assert!(Core::open(Arc::new(disk.clone()), settings()).is_err(), "what cannot be read is not taken for an end");
    disk.heal();
    let core = Core::open(Arc::new(disk.clone()), settings()).expect("it opens");
    assert_eq!(read_all(&core, TOPIC), all);
}

/// Nobody waits for a merge: a file it cannot read is no reason to fail.
#[test]
fn a_merge_that_cannot_read_its_file_waits_for_the_next_snapshot() {
    let (disk, mut now) = (Simulated::new(5), 0);
    let core = begin(&disk, settings(), &mut now);
    for _ in 0..100 {
        append(&core, vec![publish(TOPIC, &[1; 900])]);
        settle(&core, &mut now);
    }
    let sealed = || disk.names().into_iter().filter(|name| name.starts_with("sealed")).collect::<Vec<_>>();
    let before = sealed();
    // Little is kept of the last one.
    let last = core.view(TOPIC).expect("it is there").head - core.catalog.lock().index.from(TOPIC, 0).count() as u64;
    append(&core, vec![Op::Trim { topic: TOPIC, to: last - 2 }]);
    disk.fail(Operation::Read, "sealed", None);
    for _ in 0..60 {
        settle(&core, &mut now);
        now += 1000;
    }
    assert!(!core.is_poisoned());
    assert_eq!(sealed(), before, "none can be merged or given up");
    disk.heal();
    for _ in 0..60 {
        append(&core, vec![publish(TOPIC, &[1; 900])]);
        settle(&core, &mut now);
        now += 1000;
    }
    assert!(!before.iter().any(|name| sealed().contains(name)), "all are merged or given up: {:?}", sealed());
    assert_eq!(read_all(&core, TOPIC).len() as u64, core.view(TOPIC).expect("it is there").head - (last - 2));
}

/// Rule 4: one file may be bad luck, three within a minute are not.
#[test]
fn three_files_that_cannot_be_read_within_a_minute_fail_the_store() {
    for (gap, is_failing) in [(1000, true), (30_000, false)] {
        let (disk, mut now) = (Simulated::new(5), 0);
        let core = begin(&disk, Settings { recent: 0, directories: 0, ..settings() }, &mut now);
        for _ in 0..200 {
            append(&core, vec![publish(TOPIC, &[1; 900])]);
            settle(&core, &mut now);
        }
        let all = read_all(&core, TOPIC);
        let files: Vec<_> = disk.names().into_iter().filter(|name| name.starts_with("sealed")).collect();
        assert!(files.len() > 3, "{files:?}");
        for (nth, file) in files[..3].iter().enumerate() {
            disk.fail(Operation::Read, file, None);
            for _ in 0..3 {
                // However often one file is tried, it is one.
                let failed = (0..200).any(|from| core.read(TOPIC, from, Limits { messages: 1, bytes: 0 }).is_err());
                assert!(failed, "{file} is read");
            }
            disk.heal();
            assert_eq!(core.is_poisoned(), is_failing && nth == 2, "after {} files", nth + 1);
            now += gap;
            core.keep(now);
        }
        assert_eq!(core.append(&batch(vec![publish(TOPIC, b"x")]), Durability::Disk).is_err(), is_failing);
        assert_eq!(read_all(&core, TOPIC), all, "what can be read is read");
        assert_eq!(core.stats().damaged, 0);
    }
}

/// A disk whose syncs wait until they are let go, or panic.
#[derive(Clone, Debug)]
struct Gated {
    disk: Simulated,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Debug, Default)]
struct Gate {
    is_shut: bool,
    panics: bool,
    waiting: usize,
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn File>,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

impl Gated {
    fn file(&self, file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        file.map(|file| Arc::new(GatedFile { file, gate: self.gate.clone() }) as Arc<dyn File>)
    }

    fn set(&self, is_shut: bool) {
        self.gate.0.lock().is_shut = is_shut;
        self.gate.1.notify_all();
    }

    /// Until a sync waits.
    fn wait(&self) {
        let mut gate = self.gate.0.lock();
        while gate.waiting == 0 {
            self.gate.1.wait(&mut gate);
        }
    }
}

impl Disk for Gated {
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.file(self.disk.create(name, len))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.file(self.disk.open(name))
    }
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }
}

impl File for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(bytes, at)
    }
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }
    fn read_past_cache(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_past_cache(buffer, at)
    }
    fn sync(&self) -> io::Result<()> {
        let (gate, changed) = &*self.gate;
        let mut gate = gate.lock();
        assert!(!gate.panics, "as asked for");
        gate.waiting += 1;
        changed.notify_all();
        while gate.is_shut {
            changed.wait(&mut gate);
        }
        gate.waiting -= 1;
        drop(gate);
        self.file.sync()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn punch(&self, at: u64, len: u64) -> io::Result<()> {
        self.file.punch(at, len)
    }
}

#[tokio::test]
async fn a_sync_that_hangs_holds_up_nobody_who_did_not_ask_for_it() {
    let disk = Gated { disk: Simulated::new(6), gate: Arc::default() };
    // Segments that do not fill up: the next one is made by the same disk.
    let log =
        Log::open(Arc::new(disk.clone()), Settings { segment: 4 << 20, group_max: 1 << 20, ..settings() }).unwrap();
    let weak = TopicId(6);
    let put = |op| log.append(batch(vec![op]), Durability::Disk).expect("it is taken").receipt;
    put(create(TOPIC, Durability::Disk)).await.unwrap();
    put(create(weak, Durability::Os)).await.unwrap();
    // Its offsets are reserved, and that is synced.
    put(publish(weak, b"first")).await.unwrap();
    disk.set(true);
    let mut strong = log.append(batch(vec![publish(TOPIC, b"disk")]), Durability::Disk).unwrap().receipt;
    disk.wait();
    for nth in 0..50u32 {
        let receipt = log.append(batch(vec![publish(weak, &nth.to_le_bytes())]), Durability::Os).unwrap().receipt;
        assert_eq!(receipt.await, Ok(Durability::Os));
    }
    let page = log.read(weak, 0, Limits { messages: 100, bytes: 1 << 20 }).await.unwrap();
    assert_eq!(page.messages.len(), 51, "they can be read as well");
    assert_eq!(strong.try_get(), None);
    disk.set(false);
    assert_eq!(strong.await, Ok(Durability::Disk));
    log.close().await;
}

#[tokio::test]
async fn a_thread_that_panics_fails_the_store_and_leaves_nobody_waiting() {
    let disk = Gated { disk: Simulated::new(7), gate: Arc::default() };
    let log =
        Log::open(Arc::new(disk.clone()), Settings { segment: 4 << 20, group_max: 1 << 20, ..settings() }).unwrap();
    let put = |op| log.append(batch(vec![op]), Durability::Disk);
    put(create(TOPIC, Durability::Disk)).unwrap().receipt.await.unwrap();
    disk.gate.0.lock().panics = true;
    let lost = put(publish(TOPIC, b"lost")).unwrap().receipt.await;
    assert!(matches!(lost, Err(StoreError::Failed(_))), "{lost:?}");
    let refused = put(publish(TOPIC, b"refused"));
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    log.close().await;
}
