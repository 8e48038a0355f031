//! What every disk promises, and what the real one does besides.

use super::real::{OpenError, RealDisk};
use super::simulated::Simulated;
use super::{Disk, File};
use proptest::prelude::*;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder that is gone when this is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("towline-disk-{}-{count}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Runs a test on each kind of disk.
fn on_each(test: impl Fn(&dyn Disk)) {
    test(&Simulated::new(1));
    let folder = Folder::new();
    test(&RealDisk::open(&folder.0).unwrap());
}

fn read(file: &dyn File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xEE; len];
    let read = file.read_at(&mut bytes, at).unwrap();
    bytes.truncate(read);
    bytes
}

fn kind<T>(outcome: io::Result<T>) -> io::ErrorKind {
    outcome.map(|_| ()).unwrap_err().kind()
}

#[test]
fn a_created_file_is_zeros_of_its_length() {
    on_each(|disk| {
        for (name, file) in [("a", disk.create("a", 600_000)), ("b", disk.create_filled("b", 600_000))] {
            let file = file.unwrap();
            assert_eq!(file.len().unwrap(), 600_000);
            assert_eq!(read(&*file, 0, 700_000), vec![0; 600_000]);
            assert_eq!(kind(disk.create(name, 1)), io::ErrorKind::AlreadyExists);
            assert_eq!(kind(disk.create_filled(name, 1)), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(disk.create("empty", 0).unwrap().len().unwrap(), 0);
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    on_each(|disk| {
        assert_eq!(kind(disk.open("a")), io::ErrorKind::NotFound);
        assert_eq!(kind(disk.rename("a", "b")), io::ErrorKind::NotFound);
        assert_eq!(kind(disk.remove("a")), io::ErrorKind::NotFound);
    });
}

#[test]
fn names_are_listed_in_order_with_those_in_quarantine() {
    on_each(|disk| {
        assert_eq!(disk.list().unwrap(), []);
        for (name, len) in [("z", 1), ("b", 2), ("a", 3)] {
            disk.create(name, len).unwrap();
        }
        disk.rename("b", "quarantine/b").unwrap();
        disk.rename("a", "quarantine/a").unwrap();
        disk.sync_dir().unwrap();
        let expected = [("quarantine/a", 3), ("quarantine/b", 2), ("z", 1)];
        assert_eq!(disk.list().unwrap(), expected.map(|(name, len)| (name.to_owned(), len)));
        assert_eq!(disk.open("quarantine/a").unwrap().len().unwrap(), 3);
        disk.remove("quarantine/a").unwrap();
        assert_eq!(disk.list().unwrap().len(), 2);
    });
}

#[test]
fn a_rename_takes_the_place_of_the_file_that_was_there() {
    on_each(|disk| {
        let first = disk.create("a", 0).unwrap();
        first.write_at(b"first", 0).unwrap();
        let second = disk.create("b", 0).unwrap();
        second.write_at(b"second", 0).unwrap();
        disk.rename("a", "b").unwrap();
        assert_eq!(disk.list().unwrap(), [("b".to_owned(), 5)]);
        assert_eq!(read(&*disk.open("b").unwrap(), 0, 9), b"first");
        assert_eq!(read(&*second, 0, 9), b"second");
    });
}

#[test]
fn a_removed_file_lives_as_long_as_its_handle() {
    on_each(|disk| {
        let file = disk.create("a", 10).unwrap();
        disk.remove("a").unwrap();
        disk.sync_dir().unwrap();
        file.write_at(b"still here", 0).unwrap();
        file.sync().unwrap();
        assert_eq!(read(&*file, 0, 10), b"still here");
        disk.create("a", 3).unwrap();
        assert_eq!(file.len().unwrap(), 10);
    });
}

#[test]
fn there_is_space_left() {
    on_each(|disk| assert!(disk.free_space().unwrap() > 1 << 20));
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Punch(u64, u64),
    Sync,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..20_000u64;
    prop_oneof![
        4 => (at(), 1..9_000usize, 1..=255u8).prop_map(|(at, len, byte)| Step::Write(at, vec![byte; len])),
        1 => at().prop_map(Step::SetLen),
        1 => (at(), 0..9_000u64).prop_map(|(at, len)| Step::Punch(at, len)),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ]
}

/// The same steps on a file and on plain bytes.
fn holds_what_was_written(disk: &dyn Disk, steps: &[Step]) {
    let mut file = disk.create("a", 5_000).unwrap();
    let mut model = vec![0; 5_000];
    for step in steps {
        match step {
            Step::Write(at, bytes) => {
                file.write_at(bytes, *at).unwrap();
                let end = *at as usize + bytes.len();
                model.resize(model.len().max(end), 0);
                model[*at as usize..end].copy_from_slice(bytes);
            }
            Step::SetLen(len) => {
                file.set_len(*len).unwrap();
                model.resize(*len as usize, 0);
            }
            Step::Punch(at, len) => {
                file.punch(*at, *len).unwrap();
                let end = model.len().min((at + len) as usize);
                model[end.min(*at as usize)..end].fill(0);
            }
            Step::Sync => file.sync().unwrap(),
            Step::Reopen => file = disk.open("a").unwrap(),
        }
        assert_eq!(file.len().unwrap(), model.len() as u64);
        assert!(read(&*file, 0, 40_000) == model, "all of it after {step:?}");
        let tail = model.len().saturating_sub(100).min(model.len());
        assert_eq!(read(&*file, tail as u64, 200), model[tail..]);
    }
    let mut bytes = vec![0; 40_000];
    let read = file.read_past_cache(&mut bytes, 0).unwrap();
    assert!(bytes[..read] == model, "past the cache");
    assert_eq!(file.read_past_cache(&mut bytes, 1 << 20).unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_holds_what_was_written_last(steps in prop::collection::vec(step(), 1..30)) {
        on_each(|disk| holds_what_was_written(disk, &steps));
    }
}

fn refusal(folder: &Path) -> String {
    match RealDisk::open(folder) {
        Err(error @ OpenError::InUse { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_in_use_is_refused_with_the_process_that_has_it() {
    let folder = Folder::new();
    let disk = RealDisk::open(&folder.0).unwrap();
    disk.create("a", 7).unwrap();
    let refusal = refusal(&folder.0);
    assert!(refusal.contains(&format!("process {}:", std::process::id())), "{refusal}");
    assert!(refusal.contains("use another folder"), "{refusal}");
    drop(disk);
    let disk = RealDisk::open(&folder.0).unwrap();
    assert_eq!(disk.list().unwrap(), [("a".to_owned(), 7)]);
}

#[test]
fn a_folder_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let disk = RealDisk::open(&folder.0.join("deep/er")).unwrap();
    disk.create("a", 0).unwrap();
    let mode = |path: &str| std::fs::metadata(folder.0.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("deep/er"), mode("deep/er/a"), mode("deep/er/lock")], [0o700, 0o600, 0o600]);
}

#[test]
fn a_folder_that_cannot_be_had_says_which_and_why() {
    let folder = Folder::new();
    std::fs::write(&folder.0, "a file").unwrap();
    let error = RealDisk::open(&folder.0).unwrap_err().to_string();
    std::fs::remove_file(&folder.0).unwrap();
    assert!(error.contains(&folder.0.display().to_string()) && error.contains("cannot be made"), "{error}");
}

#[test]
fn a_file_that_cannot_be_allocated_leaves_no_name() {
    let folder = Folder::new();
    let disk = RealDisk::open(&folder.0).unwrap();
    assert!(disk.create("a", i64::MAX as u64).is_err());
    assert!(disk.create_filled("a", i64::MAX as u64).is_err());
    assert_eq!(disk.list().unwrap(), []);
}

#[test]
fn the_blocks_of_a_created_file_are_there_and_those_of_a_punched_range_are_not() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    let disk = RealDisk::open(&folder.0).unwrap();
    let taken = |name: &str| std::fs::metadata(folder.0.join(name)).unwrap().blocks() * 512;
    let file = disk.create("a", 1 << 20).unwrap();
    assert!(taken("a") >= 1 << 20);
    file.punch(0, 1 << 19).unwrap();
    file.sync().unwrap();
    assert!(taken("a") < 1 << 20);
    assert_eq!(file.len().unwrap(), 1 << 20);
}
