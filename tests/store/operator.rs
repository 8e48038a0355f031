//! `towline fsck` and `towline store stat`.

use crate::Folder;
use bytes::Bytes;
use std::os::unix::fs::FileExt;
use std::process::{Command, Output, Stdio};
use towline::store::{Batch, Durability, GroupId, Log, LogSettings, Op, Publish, Store, TopicId, TopicSettings};

const TOPIC: TopicId = TopicId(1);
const GROUP: GroupId = GroupId(2);

fn towline(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towline"));
    command.args(args).current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOWLINE_")) {
        command.env_remove(name);
    }
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn settings() -> LogSettings {
    LogSettings { segment: 1 << 20, group_max: 64 << 10, watermark: 0, spares: 1, ..LogSettings::default() }
}

pub(crate) fn create(topic: TopicId, durability: Durability) -> Op {
    let name = format!("orders-{}", topic.0);
    Op::PutTopic { topic, settings: TopicSettings { name, durability, dedup_window: 120_000, rest: Bytes::new() } }
}

pub(crate) async fn confirm(log: &Log, ops: Vec<Op>) {
    let ticket = log.append(Batch { ops, now: 1 }, Durability::Disk).expect("it is taken");
    ticket.receipt.await.expect("it is confirmed");
}

async fn fill(log: &Log) {
    confirm(log, vec![create(TOPIC, Durability::Disk)]).await;
    confirm(log, vec![Op::PutGroup { topic: TOPIC, group: GROUP, settings: Bytes::new(), start: 0 }]).await;
    for nth in 0..20u8 {
        let content = Bytes::from(vec![nth; 500]);
        confirm(log, vec![Op::Publish(Publish { topic: TOPIC, content, dedup: None })]).await;
    }
}

#[tokio::test]
async fn fsck_says_what_is_there_what_is_damaged_and_repairs_it() {
    let folder = Folder::new();
    let log = Log::open_folder(&folder.0, settings()).expect("an empty folder opens");
    fill(&log).await;
    let refused = towline(&["fsck", "--data", folder.text()]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let pid = std::process::id().to_string();
    assert!(text(&refused.stderr).contains(&pid), "it names who has the folder: {refused:?}");
    log.close().await;
    drop(log);
    let clean = towline(&["fsck", "--data", folder.text()]);
    let said = text(&clean.stdout);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    for part in ["topic orders-1 (1): 20 messages, offsets 0 to 20", "group 2 of topic 1: next 0", "nothing is damaged"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    damage(&folder);
    let damaged = towline(&["fsck", "--data", folder.text()]);
    assert_eq!(damaged.status.code(), Some(1), "{damaged:?}");
    assert!(text(&damaged.stdout).contains("damage: the log from"), "{damaged:?}");
    assert_eq!(towline(&["fsck", "--data", folder.text()]).stdout, damaged.stdout, "it has changed nothing");
    let repaired = towline(&["fsck", "--repair", "--data", folder.text()]);
    assert_eq!(repaired.status.code(), Some(0), "{repaired:?}");
    let said = text(&repaired.stdout);
    let promised = said.lines().filter_map(|line| line.strip_prefix("--repair would "));
    let done: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("done: ")).collect();
    assert!(!done.is_empty() && promised.eq(done.iter().copied()), "it does what it said: {said}");
    let after = towline(&["fsck", "--data", folder.text()]);
    assert_eq!(after.status.code(), Some(0), "{after:?}");
    assert!(text(&after.stdout).contains("19 messages"), "one group is lost, and no more: {after:?}");
}

/// Flips a bit of the tenth message.
fn damage(folder: &Folder) {
    for entry in std::fs::read_dir(&folder.0).expect("the folder is there") {
        let path = entry.expect("it is listed").path();
        let bytes = std::fs::read(&path).expect("it can be read");
        if let Some(at) = bytes.windows(400).position(|window| window.iter().all(|byte| *byte == 10)) {
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it can be written");
            file.write_all_at(&[11], at as u64 + 200).expect("it is written");
        }
    }
}

#[tokio::test]
async fn stat_counts_topics_messages_and_bytes() {
    let folder = Folder::new();
    let log = Log::open_folder(&folder.0, settings()).expect("an empty folder opens");
    fill(&log).await;
    log.close().await;
    drop(log);
    let stat = towline(&["store", "stat", "--data", folder.text(), "-o", "json"]);
    assert_eq!(stat.status.code(), Some(0), "{stat:?}");
    let found: serde_json::Value = serde_json::from_slice(&stat.stdout).expect("it is JSON");
    assert_eq!(found["messages"], 20);
    assert_eq!(found["topics"][0]["name"], "orders-1");
    assert_eq!(found["groups"][0]["next"], 0);
    assert!(found["bytes"]["segment"].as_u64().is_some_and(|bytes| bytes >= 1 << 20), "{found}");
    let table = text(&towline(&["store", "stat", "--data", folder.text()]).stdout);
    assert!(table.contains("1 topics, 20 messages"), "{table}");
}

#[test]
fn a_folder_that_is_not_there_is_not_made() {
    let folder = Folder::new();
    for command in [&["fsck"][..], &["store", "stat"]] {
        let refused = towline(&[command, &["--data", folder.text()]].concat());
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(text(&refused.stderr).contains("there is no folder"), "{refused:?}");
    }
    assert!(!folder.0.exists());
}
