//! A real volume that is small, full, or read-only: a tmpfs in a mount namespace of the test's own.

use super::support::{batch, create, publish};
use crate::store::log::core::Settings;
use crate::store::log::engine::Log;
use crate::store::log::fsck::FolderError;
use crate::store::{Durability, Limits, Op, Store, StoreError, TopicId};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const TOPIC: TopicId = TopicId(5);
const VOLUME: &str = "TOWLINE_TEST_VOLUME";
const MIB: u64 = 1 << 20;

fn settings() -> Settings {
    Settings { segment: MIB, group_max: 256 << 10, watermark: 6 * MIB, spares: 2, ..Settings::default() }
}

/// Runs a test again as a process of its own, in a namespace where a tmpfs of 32 MiB is mounted; in there, its folder.
/// Nothing if the test has been run, or cannot be: then it has said why.
fn volume(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(VOLUME) {
        return Some(folder.into());
    }
    let folder = std::env::temp_dir().join(format!("towline-volume-{}-{test}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder under the temporary one");
    let run = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c", script]).env(VOLUME, &folder);
        unshare.output()
    };
    let mount = "mount -t tmpfs -o size=32m towline \"$TOWLINE_TEST_VOLUME\"";
    let is_possible = run(mount);
    let outcome = match &is_possible {
        Ok(output) if output.status.success() => {
            let exe = std::env::current_exe().expect("the test knows itself");
            let name = std::thread::current().name().expect("a test's thread has its name").to_owned();
            Some(run(&format!("{mount} && exec '{}' --exact '{name}' --nocapture", exe.display())))
        }
        Ok(output) => {
            println!("skipped, no mount namespace (CAP_SYS_ADMIN): {}", String::from_utf8_lossy(&output.stderr).trim());
            None
        }
        Err(error) => {
            println!("skipped, `unshare` (util-linux) cannot be run: {error}");
            None
        }
    };
    fs::remove_dir_all(&folder).expect("it is empty outside the namespace");
    if let Some(output) = outcome {
        let output = output.expect("it ran before");
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "in the namespace:\n{said}");
    }
    None
}

async fn keep(log: &Log, op: Op) -> Result<(), StoreError> {
    log.append(batch(vec![op]), Durability::Disk)?.receipt.await.map(drop)
}

/// Publishes until it is refused, and says how many messages were kept.
async fn fill(log: &Log) -> u64 {
    for kept in 0..100_000 {
        match keep(log, publish(TOPIC, &[7; 10_000])).await {
            Ok(()) => {}
            Err(StoreError::Full { .. }) => return kept,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it is never full");
}

/// Others take what is left, once the store does not take or give back any more by itself.
async fn take_rest(log: &Log, others: &Path) {
    let mut before = None;
    while before != Some(log.stats().free_bytes) {
        before = Some(log.stats().free_bytes);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    take_what_is_left(others);
}

fn take_what_is_left(others: &Path) {
    let mut others = fs::File::create(others).expect("there is room for a name");
    while others.write_all(&[1; 4096]).is_ok() {}
}

async fn count(log: &Log) -> u64 {
    let (mut count, mut from) = (0, 0);
    loop {
        let page = log.read(TOPIC, from, Limits { messages: 1000, bytes: 1 << 20 }).await.expect("it can be read");
        assert!(page.damaged.is_empty());
        count += page.messages.len() as u64;
        if page.next == from {
            return count;
        }
        from = page.next;
    }
}

/// Waits until messages are taken again, or are not any more.
async fn until(log: &Log, is_full: bool) {
    let begun = Instant::now();
    while log.stats().is_full != is_full || keep(log, publish(TOPIC, b"x")).await.is_err() != is_full {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", log.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn start(folder: &Path) -> Log {
    Log::open_folder(folder, settings()).expect("the folder opens")
}

#[test]
fn a_full_volume_refuses_messages_alone_and_takes_them_when_there_is_room() {
    let Some(folder) = volume("full") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = start(&folder.join("data"));
        keep(&log, create(TOPIC, Durability::Disk)).await.expect("a topic is made");
        let kept = fill(&log).await;
        assert!(kept > 500, "{kept} messages in 32 MiB");
        take_rest(&log, &folder.join("others")).await;
        for nth in 0..200u8 {
            let put = Op::Put { topic: TOPIC, key: vec![nth].into(), value: vec![nth].into() };
            keep(&log, put).await.expect("what is no message is taken");
        }
        assert!(count(&log).await >= kept, "all of them can be read");
        fs::remove_file(folder.join("others")).expect("it is there");
        let head = log.topic(TOPIC).expect("it is there").head;
        keep(&log, Op::Trim { topic: TOPIC, to: head - 10 }).await.expect("giving up is taken");
        until(&log, false).await;
        let before = count(&log).await;
        assert!(!log.stats().is_poisoned);
        log.close().await;
        drop(log);
        assert_eq!(count(&start(&folder.join("data"))).await, before);
    });
}

/// Each opening after a kill takes a file that is kept in reserve, as long as there is one.
#[test]
fn a_folder_on_a_volume_without_any_room_opens_from_its_reserve_and_then_says_what_it_needs() {
    let Some(folder) = volume("no-room") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (data, others) = (folder.join("data"), |nth: usize| folder.join(format!("others-{nth}")));
        let log = start(&data);
        keep(&log, create(TOPIC, Durability::Disk)).await.expect("a topic is made");
        for _ in 0..20 {
            keep(&log, publish(TOPIC, b"x")).await.expect("it is kept");
        }
        let is_spare = |file: &fs::DirEntry| file.file_name().to_string_lossy().starts_with("spare");
        let spares = || fs::read_dir(&data).expect("it can be listed").filter(|file| is_spare(file.as_ref().unwrap()));
        let begun = Instant::now();
        while spares().count() < settings().spares {
            assert!(begun.elapsed() < Duration::from_secs(30), "its reserve is made");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(log);
        let (mut opened, mut refused) = (0, None);
        for nth in 0..8 {
            take_what_is_left(&others(nth));
            match Log::open_folder(&data, settings()) {
                Ok(log) => {
                    assert_eq!(count(&log).await, 20);
                    opened += 1;
                }
                Err(error) => {
                    refused = Some((nth, error));
                    break;
                }
            }
        }
        let (last, error) = refused.expect("the reserve has an end");
        assert!(opened > 0, "there is a reserve");
        assert!(matches!(error, FolderError::Full { .. }), "{error}");
        (0..=last).for_each(|nth| drop(fs::remove_file(others(nth))));
        assert_eq!(count(&start(&data)).await, 20, "once there is room, all of it is there");
    });
}

#[test]
fn a_read_only_volume_is_not_opened_and_not_changed() {
    let Some(folder) = volume("read-only") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&folder).status();
        assert!(done.expect("mount was run before").success(), "{how}");
    };
    runtime.block_on(async {
        let data = folder.join("data");
        let log = start(&data);
        keep(&log, create(TOPIC, Durability::Disk)).await.expect("a topic is made");
        for nth in 0..300u32 {
            keep(&log, publish(TOPIC, &[&nth.to_le_bytes()[..], &[7; 10_000]].concat())).await.expect("it is kept");
        }
        // As after a kill.
        drop(log);
        let names = || {
            let files = fs::read_dir(&data).expect("it can be listed").map(|file| file.unwrap());
            let mut names: Vec<_> = files.map(|file| (file.file_name(), file.metadata().unwrap().len())).collect();
            names.sort();
            names
        };
        let before = names();
        remount("ro");
        let error = Log::open_folder(&data, settings()).expect_err("nothing can be written there");
        assert!(error.to_string().contains("data"), "it says where: {error}");
        remount("rw");
        assert_eq!(names(), before);
        assert_eq!(count(&start(&data)).await, 300);
    });
}
