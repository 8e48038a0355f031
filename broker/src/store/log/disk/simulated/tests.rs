//! What the simulated disk may do to the store, and what it may not.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SEEDS: std::ops::Range<u64> = 0..300;

/// A disk with one empty file whose name is certain.
fn with_file(name: &str) -> (Simulated, Arc<dyn File>) {
    let disk = Simulated::new(1);
    let file = disk.create(name, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    (disk, file)
}

/// What power cuts leave of the disk, as `look` sees it.
fn outcomes<T: Ord>(disk: &Simulated, look: impl Fn(&Simulated) -> T) -> BTreeSet<T> {
    SEEDS
        .map(|seed| {
            let disk = disk.fork();
            disk.power_cut(seed);
            look(&disk)
        })
        .collect()
}

fn names(disk: &Simulated) -> String {
    disk.names().join(" ")
}

fn set<const N: usize>(expected: [&str; N]) -> BTreeSet<String> {
    expected.map(str::to_owned).into()
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    let (disk, file) = with_file("a");
    file.write_at(&[7; 10_000], 5_000).unwrap();
    file.sync().unwrap();
    let whole = [vec![0; 5_000], vec![7; 10_000]].concat();
    assert_eq!(outcomes(&disk, |disk| disk.contents("a")), BTreeSet::from([whole]));
}

#[test]
fn what_was_not_synced_survives_or_does_not() {
    let (disk, file) = with_file("a");
    file.write_at(&[1; 512], 0).unwrap();
    file.sync().unwrap();
    file.write_at(&[2; 512], 0).unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.contents("a")), BTreeSet::from([vec![1; 512], vec![2; 512]]));
}

#[test]
fn pages_arrive_in_any_order() {
    let (disk, file) = with_file("a");
    file.set_len(8_192).unwrap();
    file.sync().unwrap();
    file.write_at(&[1; 512], 0).unwrap();
    file.write_at(&[1; 512], 4_096).unwrap();
    let seen = outcomes(&disk, |disk| (disk.contents("a")[0], disk.contents("a")[4_096]));
    assert_eq!(seen, BTreeSet::from([(0, 0), (0, 1), (1, 0), (1, 1)]));
}

#[test]
fn the_writes_to_a_sector_arrive_in_their_order_and_never_by_half() {
    let (disk, file) = with_file("a");
    file.set_len(4_096).unwrap();
    file.sync().unwrap();
    file.write_at(&[1; 4_096], 0).unwrap();
    file.write_at(&[2; 300], 200).unwrap();
    let points = [vec![0; 512], vec![1; 512], [vec![1; 200], vec![2; 300], vec![1; 12]].concat()];
    let sectors = |disk: &Simulated| {
        let bytes = disk.contents("a");
        let points = bytes.chunks(512).map(|sector| points.iter().position(|point| point == sector));
        points.collect::<Option<Vec<_>>>().expect("every sector is of one point in time")
    };
    let seen = outcomes(&disk, |disk| sectors(disk)[0]);
    assert_eq!(seen, BTreeSet::from([0, 1, 2]));
    let torn = outcomes(&disk, |disk| sectors(disk)[1..] != [sectors(disk)[1]; 7]);
    assert_eq!(torn, BTreeSet::from([false, true]));
}

#[test]
fn lengths_and_holes_arrive_each_alone() {
    let (disk, file) = with_file("a");
    file.write_at(&[1; 8_192], 0).unwrap();
    file.sync().unwrap();
    file.punch(0, 512).unwrap();
    file.set_len(5_000).unwrap();
    let look = |disk: &Simulated| (disk.contents("a")[0], disk.contents("a").len());
    assert_eq!(outcomes(&disk, look), BTreeSet::from([(0, 5_000), (0, 8_192), (1, 5_000), (1, 8_192)]));
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, look), BTreeSet::from([(0, 5_000)]));
    file.set_len(8_192).unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.contents("a")[5_000..].to_vec()), BTreeSet::from([vec![0; 3_192]]));
}

#[test]
fn a_length_may_arrive_without_what_was_written() {
    let (disk, file) = with_file("a");
    file.write_at(&[1; 512], 0).unwrap();
    let seen = outcomes(&disk, |disk| disk.contents("a"));
    assert_eq!(seen, BTreeSet::from([vec![], vec![0; 512], vec![1; 512]]));
}

#[test]
fn a_name_is_certain_only_after_the_folder_was_synced() {
    let disk = Simulated::new(1);
    let file = disk.create("a", 0).unwrap();
    file.write_at(b"content", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, names), set(["", "a"]));
    disk.sync_dir().unwrap();
    assert_eq!(outcomes(&disk, names), set(["a"]));
    disk.rename("a", "b").unwrap();
    assert_eq!(outcomes(&disk, names), set(["a", "b"]));
    disk.sync_dir().unwrap();
    assert_eq!(outcomes(&disk, names), set(["b"]));
    disk.remove("b").unwrap();
    assert_eq!(outcomes(&disk, names), set(["", "b"]));
    let back = outcomes(&disk, |disk| disk.names().first().map(|name| disk.contents(name)));
    assert_eq!(back, BTreeSet::from([None, Some(b"content".to_vec())]));
    disk.sync_dir().unwrap();
    assert_eq!(outcomes(&disk, names), set([""]));
}

#[test]
fn names_are_lost_each_alone() {
    let disk = Simulated::new(1);
    disk.create("a", 0).unwrap();
    disk.create("b", 0).unwrap();
    assert_eq!(outcomes(&disk, names), set(["", "a", "b", "a b"]));
}

#[test]
fn a_name_may_survive_its_content() {
    let disk = Simulated::new(1);
    disk.create("a", 4_096).unwrap().write_at(&[1; 512], 0).unwrap();
    disk.sync_dir().unwrap();
    let seen = outcomes(&disk, |disk| disk.contents("a").first().copied());
    assert_eq!(seen, BTreeSet::from([None, Some(0), Some(1)]));
}

#[test]
fn a_lost_rename_leaves_both_files_as_they_were() {
    let disk = Simulated::new(1);
    for name in ["a", "b"] {
        let file = disk.create(name, 0).unwrap();
        file.write_at(name.as_bytes(), 0).unwrap();
        file.sync().unwrap();
    }
    disk.sync_dir().unwrap();
    disk.rename("a", "b").unwrap();
    let look = |disk: &Simulated| disk.names().iter().map(|name| disk.contents(name)).collect::<Vec<_>>().concat();
    assert_eq!(outcomes(&disk, look), BTreeSet::from([b"a".to_vec(), b"ab".to_vec()]));
}

#[test]
fn a_file_is_not_lost_to_one_that_took_its_former_name() {
    let (disk, file) = with_file("a");
    file.write_at(b"old", 0).unwrap();
    file.sync().unwrap();
    disk.rename("a", "b").unwrap();
    disk.create("a", 0).unwrap();
    let seen = outcomes(&disk, |disk| {
        let names = disk.names();
        assert!(names.iter().any(|name| disk.contents(name) == b"old"), "{names:?}");
        names.join(" ")
    });
    assert_eq!(seen, set(["a", "b", "a b"]));
}

#[test]
fn a_kill_loses_nothing_and_makes_nothing_certain() {
    let (disk, file) = with_file("a");
    file.write_at(&[1; 512], 0).unwrap();
    disk.create("b", 0).unwrap();
    disk.kill();
    assert_eq!(disk.contents("a"), [1; 512]);
    assert_eq!(names(&disk), "a b");
    assert_eq!(outcomes(&disk, |disk| disk.contents("a").len()), BTreeSet::from([0, 512]));
    assert_eq!(outcomes(&disk, names), set(["a", "a b"]));
}

#[test]
fn what_a_dead_process_holds_does_nothing() {
    for end in [Simulated::kill, |disk: &Simulated| disk.power_cut(1)] {
        let (disk, file) = with_file("a");
        let old = disk.clone();
        disk.crash_after(0);
        assert!(is_crash(&disk.list().unwrap_err()));
        end(&disk);
        let operations = disk.operations();
        assert!(
            file.len().is_err() && file.read_at(&mut [0], 0).is_err() && file.read_past_cache(&mut [0], 0).is_err()
        );
        assert!(file.write_at(&[1], 0).is_err() && file.sync().is_err() && file.set_len(1).is_err());
        assert!(old.create("b", 0).is_err() && old.list().is_err() && old.free_space().is_err());
        drop(file);
        assert_eq!(disk.operations(), operations);
        assert_eq!(disk.list().unwrap(), [("a".to_owned(), 0)]);
        disk.clone().open("a").unwrap().write_at(&[1], 0).unwrap();
    }
}

/// A file of four pages of ones, all certain, then twos of which a sync failed.
fn after_failed_sync(seed: u64) -> (Simulated, Arc<dyn File>) {
    let disk = Simulated::new(seed);
    let file = disk.create("a", 0).unwrap();
    file.write_at(&[1; 16_384], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file.write_at(&[2; 16_384], 0).unwrap();
    disk.fail(Operation::Sync, "a", Some(1));
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    (disk, file)
}

#[test]
fn no_later_sync_makes_certain_what_a_failed_one_lost() {
    let mut counts = BTreeSet::new();
    for seed in SEEDS {
        let (disk, file) = after_failed_sync(seed);
        assert_eq!(disk.contents("a"), [2; 16_384], "it is handed back as good");
        let mut truth = [0; 16_384];
        file.read_past_cache(&mut truth, 0).unwrap();
        file.sync().unwrap();
        disk.kill();
        disk.open("a").unwrap().sync().unwrap();
        assert_eq!(disk.contents("a"), [2; 16_384]);
        disk.power_cut(seed);
        assert!(disk.contents("a") == truth, "seed {seed}");
        counts.insert(truth.chunks(4_096).filter(|page| page[..] == [2; 4_096]).count());
    }
    assert_eq!(counts, (0..=4).collect(), "any part of it may have arrived");
}

#[test]
fn a_lost_page_that_is_written_again_is_synced_whole() {
    for seed in SEEDS {
        let (disk, file) = after_failed_sync(seed);
        for page in 0..4 {
            file.write_at(&[3], page * 4_096 + 100).unwrap();
        }
        file.sync().unwrap();
        let expected = disk.contents("a");
        assert_eq!([expected[0], expected[100]], [2, 3]);
        disk.power_cut(seed);
        assert!(disk.contents("a") == expected, "seed {seed}");
    }
}

#[test]
fn a_lost_page_that_is_changed_again_arrives_whole_or_not() {
    type Change = fn(&dyn File) -> io::Result<()>;
    let changes: [(Change, u8); 2] = [(|file| file.write_at(&[3], 100), 3), (|file| file.punch(100, 1), 0)];
    for (change, byte) in changes {
        let seen: BTreeSet<[u8; 2]> = SEEDS
            .filter_map(|seed| {
                let (disk, file) = after_failed_sync(seed);
                let mut truth = [0; 4_096];
                file.read_past_cache(&mut truth, 0).unwrap();
                change(&*file).unwrap();
                disk.power_cut(seed);
                let bytes = disk.contents("a");
                (truth == [1; 4_096]).then_some([bytes[0], bytes[100]])
            })
            .collect();
        assert!(seen.contains(&[2, byte]), "{seen:?}");
        assert!(byte == 0 || !seen.contains(&[1, byte]), "the system wrote what it held of the page: {seen:?}");
    }
}

#[test]
fn what_arrived_beyond_the_end_is_zeros_when_the_file_grows() {
    let (disk, file) = with_file("a");
    file.write_at(&[1; 100], 0).unwrap();
    file.sync().unwrap();
    file.write_at(&[1; 8_092], 100).unwrap();
    let seen = outcomes(&disk, |disk| {
        let len = disk.contents("a").len();
        let file = disk.open("a").unwrap();
        file.set_len(8_192).unwrap();
        (len == 8_192 || disk.contents("a")[100..] == [0; 8_092], len)
    });
    assert_eq!(seen, BTreeSet::from([(true, 100), (true, 8_192)]));
}

#[test]
fn a_length_may_be_lost_to_a_failed_sync() {
    let seen: BTreeSet<usize> = SEEDS
        .map(|seed| {
            let disk = Simulated::new(seed);
            let file = disk.create("a", 10).unwrap();
            file.sync().unwrap();
            disk.sync_dir().unwrap();
            file.set_len(20).unwrap();
            disk.fail(Operation::Sync, "", Some(1));
            file.sync().unwrap_err();
            file.sync().unwrap();
            assert_eq!(file.len().unwrap(), 20);
            disk.power_cut(seed);
            disk.contents("a").len()
        })
        .collect();
    assert_eq!(seen, BTreeSet::from([10, 20]));
}

#[test]
fn no_later_sync_makes_certain_names_that_a_failed_one_lost() {
    let seen: BTreeSet<String> = SEEDS
        .map(|seed| {
            let disk = Simulated::new(seed);
            disk.create("a", 0).unwrap();
            disk.create("b", 0).unwrap();
            disk.fail(Operation::SyncDir, "", Some(1));
            disk.sync_dir().unwrap_err();
            disk.sync_dir().unwrap();
            assert_eq!(names(&disk), "a b");
            disk.power_cut(seed);
            names(&disk)
        })
        .collect();
    assert_eq!(seen, set(["", "a", "b", "a b"]));
}

/// Every kind of operation that changes or syncs something, once.
fn one_of_each(disk: &Simulated) -> io::Result<()> {
    let file = disk.create("a", 10)?;
    file.write_at(b"content", 0)?;
    file.sync()?;
    file.set_len(8)?;
    file.punch(0, 1)?;
    disk.rename("a", "b")?;
    disk.sync_dir()?;
    disk.remove("b")
}

#[test]
fn a_crash_ends_everything_from_its_operation_on() {
    let disk = Simulated::new(1);
    one_of_each(&disk).unwrap();
    assert_eq!(disk.operations(), 8);
    for after in 0..=8 {
        let disk = Simulated::new(after);
        disk.crash_after(after);
        assert!(is_crash(&one_of_each(&disk).unwrap_err()), "{after}");
        assert_eq!(disk.operations(), after);
        let all = [disk.list().map(drop), disk.open("a").map(drop), disk.free_space().map(drop), disk.sync_dir()];
        assert!(all.iter().all(|outcome| outcome.as_ref().is_err_and(is_crash)));
    }
    disk.crash_after(9);
    one_of_each(&disk).unwrap();
    disk.kill();
    one_of_each(&disk).unwrap();
}

#[test]
fn what_a_crash_ends_is_done_or_not_and_a_write_by_half() {
    let mut lengths = BTreeSet::new();
    let mut created = BTreeSet::new();
    for seed in SEEDS {
        let disk = Simulated::new(seed);
        let file = disk.create("a", 0).unwrap();
        disk.crash_after(1);
        file.write_at(&[1; 3], 0).unwrap_err();
        disk.kill();
        lengths.insert(disk.contents("a").len());
        disk.crash_after(1);
        disk.create("b", 0).unwrap_err();
        disk.kill();
        created.insert(names(&disk));
    }
    assert_eq!(lengths, BTreeSet::from([0, 1, 2, 3]));
    assert_eq!(created, set(["a", "a b"]));
}

#[test]
fn a_fault_hits_its_operation_its_names_and_so_often() {
    let disk = Simulated::new(1);
    let (a, b) = (disk.create("a-1", 10).unwrap(), disk.create("b-1", 10).unwrap());
    let is_broken =
        |outcome: io::Result<()>| outcome.is_err_and(|error| error.raw_os_error() == Some(5) && !is_crash(&error));
    let read = |file: &Arc<dyn File>| file.read_at(&mut [0], 0).map(drop);
    disk.fail(Operation::Read, "a-", Some(2));
    assert!(read(&b).is_ok() && a.write_at(&[1], 0).is_ok());
    assert!(is_broken(read(&a)) && is_broken(a.read_past_cache(&mut [0], 0).map(drop)) && read(&a).is_ok());
    disk.fail(Operation::Write, "", None);
    assert!((0..100).all(|_| is_broken(a.write_at(&[2; 5], 0)) && is_broken(b.write_at(&[2; 5], 0))));
    disk.heal();
    assert!(a.write_at(&[3], 0).is_ok());
    let steps: [(Operation, &dyn Fn() -> io::Result<()>); 8] = [
        (Operation::Create, &|| disk.create("a-2", 0).map(drop)),
        (Operation::Open, &|| disk.open("a-1").map(drop)),
        (Operation::Rename, &|| disk.rename("b-1", "a-3")),
        (Operation::List, &|| disk.list().map(drop)),
        (Operation::SyncDir, &|| disk.sync_dir()),
        (Operation::SetLen, &|| a.set_len(5)),
        (Operation::Punch, &|| a.punch(0, 1)),
        (Operation::Remove, &|| disk.remove("a-1")),
    ];
    for (operation, step) in steps {
        let prefix = if matches!(operation, Operation::List | Operation::SyncDir) { "" } else { "a-" };
        disk.fail(operation, prefix, Some(1));
        assert!(is_broken(step()) && step().is_ok(), "{operation:?}");
    }
    disk.fail(Operation::Sync, "", None);
    disk.power_cut(1);
    let file = disk.create("c", 0).unwrap();
    assert!(file.sync().is_ok(), "a power cut ends faults");
}

#[test]
fn a_renamed_file_is_known_to_faults_by_its_new_name() {
    let (disk, file) = with_file("a");
    disk.rename("a", "b").unwrap();
    disk.fail(Operation::Sync, "a", None);
    file.sync().unwrap();
    disk.fail(Operation::Sync, "b", None);
    file.sync().unwrap_err();
}

#[test]
fn a_full_disk_takes_only_what_has_its_place() {
    let disk = Simulated::new(1);
    disk.set_capacity(Some(40_960));
    let full = |outcome: io::Result<()>| outcome.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
    let file = disk.create("a", 32_768).unwrap();
    assert_eq!(disk.free_space().unwrap(), 8_192);
    assert!(full(disk.create("b", 12_288).map(drop)));
    assert_eq!(names(&disk), "a");
    let grows = disk.create("c", 0).unwrap();
    grows.write_at(&[1; 8_192], 0).unwrap();
    assert_eq!(disk.free_space().unwrap(), 0);
    assert!(full(grows.write_at(&[1], 8_192)));
    file.write_at(&[2; 32_768], 0).unwrap();
    grows.write_at(&[2; 8_192], 0).unwrap();
    file.punch(4_096, 4_096).unwrap();
    assert_eq!(disk.free_space().unwrap(), 4_096);
    file.set_len(16_384).unwrap();
    assert_eq!(disk.free_space().unwrap(), 20_480);
    disk.remove("c").unwrap();
    assert_eq!(disk.free_space().unwrap(), 20_480, "its handle keeps it");
    drop(grows);
    assert_eq!(disk.free_space().unwrap(), 28_672);
    disk.set_capacity(None);
    assert!(disk.create("b", 1 << 40).is_ok());
}

#[test]
fn a_write_that_does_not_fit_is_done_in_part() {
    let disk = Simulated::new(1);
    disk.set_capacity(Some(8_192));
    let file = disk.create("a", 0).unwrap();
    file.write_at(&[1; 10_000], 100).unwrap_err();
    assert_eq!(file.len().unwrap(), 8_192);
}

#[test]
fn damage_is_on_the_disk_and_in_memory() {
    let (disk, file) = with_file("a");
    file.write_at(&[0; 10_000], 0).unwrap();
    file.sync().unwrap();
    disk.flip("a", 8 * 5_000 + 3);
    disk.truncate("a", 6_000);
    let mut expected = vec![0; 6_000];
    expected[5_000] = 8;
    assert_eq!(disk.contents("a"), expected);
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.contents("a")), BTreeSet::from([expected]));
    file.write_at(&[1; 3_000], 6_000).unwrap();
    disk.truncate("a", 10);
    assert_eq!(outcomes(&disk, |disk| disk.contents("a").len()), BTreeSet::from([10]));
}

#[test]
fn a_fork_is_another_disk() {
    let (disk, file) = with_file("a");
    let fork = disk.fork();
    file.write_at(&[1], 0).unwrap();
    fork.create("b", 0).unwrap();
    assert_eq!((names(&disk), names(&fork)), ("a".to_owned(), "a b".to_owned()));
    assert_eq!((disk.contents("a").len(), fork.contents("a").len()), (1, 0));
    fork.power_cut(1);
    file.write_at(&[1], 1).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, usize, u8),
    SetLen(u64),
    Punch(u64, u64),
    Sync,
    FailedSync,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12_000u64, 1..6_000usize, any::<u8>()).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
        1 => (0..12_000u64).prop_map(Step::SetLen),
        1 => (0..12_000u64, 0..6_000u64).prop_map(|(at, len)| Step::Punch(at, len)),
        1 => Just(Step::Sync),
        1 => Just(Step::FailedSync),
    ]
}

/// What each byte was since it was certain, and the length: a power cut leaves one of these.
struct Model {
    now: Vec<u8>,
    lengths: BTreeSet<usize>,
    bytes: Vec<BTreeSet<u8>>,
    has_failed: bool,
}

impl Model {
    const SIZE: usize = 20_000;

    fn note(&mut self, is_certain: bool) {
        if is_certain && !self.has_failed {
            self.lengths.clear();
            self.bytes.iter_mut().for_each(BTreeSet::clear);
        }
        self.lengths.insert(self.now.len());
        for (at, bytes) in self.bytes.iter_mut().enumerate() {
            bytes.insert(self.now.get(at).copied().unwrap_or(0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_leaves_of_each_byte_what_it_was_since_it_was_certain(
        steps in prop::collection::vec(step(), 1..25),
        seed in any::<u64>(),
    ) {
        let (disk, file) = with_file("a");
        let bytes = vec![BTreeSet::new(); Model::SIZE];
        let mut model = Model { now: Vec::new(), lengths: BTreeSet::new(), bytes, has_failed: false };
        model.note(true);
        for step in &steps {
            match *step {
                Step::Write(at, len, byte) => {
                    file.write_at(&vec![byte; len], at).unwrap();
                    model.now.resize(model.now.len().max(at as usize + len), 0);
                    model.now[at as usize..at as usize + len].fill(byte);
                }
                Step::SetLen(len) => {
                    file.set_len(len).unwrap();
                    model.now.resize(len as usize, 0);
                }
                Step::Punch(at, len) => {
                    file.punch(at, len).unwrap();
                    let end = model.now.len().min((at + len) as usize);
                    model.now[end.min(at as usize)..end].fill(0);
                }
                Step::Sync => file.sync().unwrap(),
                Step::FailedSync => {
                    disk.fail(Operation::Sync, "a", Some(1));
                    file.sync().unwrap_err();
                    model.has_failed = true;
                }
            }
            model.note(matches!(step, Step::Sync));
            prop_assert!(disk.contents("a") == model.now, "{step:?}");
        }
        let [left, same] = [disk.fork(), disk.fork()].map(|disk| {
            disk.power_cut(seed);
            disk.contents("a")
        });
        prop_assert!(left == same, "the same seed leaves the same");
        prop_assert!(model.lengths.contains(&left.len()), "{} of {:?}", left.len(), model.lengths);
        for (at, byte) in left.iter().enumerate() {
            prop_assert!(model.bytes[at].contains(byte), "{byte} at {at}");
        }
    }
}
