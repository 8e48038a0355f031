//! A process that writes at full speed is killed at any moment: everything it was told is kept, is there.

use crate::Folder;
use crate::operator::{confirm, create, settings};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use towline::store::{Batch, Durability, Limits, Log, Offset, Op, Placed, Publish, Store, TopicId};

const FOLDER: &str = "TOWLINE_TEST_WRITER";
const TOPICS: u64 = 4;

/// The process that is killed: this test binary, called by [`what_was_confirmed_survives_kill_9`].
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it starts");
    runtime.block_on(write(Path::new(&folder)));
}

/// Publishes for ever, and prints `topic offset content` of each message once it is confirmed.
async fn write(folder: &Path) {
    let log = Arc::new(Log::open_folder(folder, settings()).expect("the folder opens"));
    for topic in 1..=TOPICS {
        let durability = if topic == TOPICS { Durability::Os } else { Durability::Disk };
        if log.topic(TopicId(topic)).is_none() {
            confirm(&log, vec![create(TopicId(topic), durability)]).await;
        }
    }
    let tasks = (0..8).map(|task| tokio::spawn(publish(log.clone(), TopicId(1 + task % TOPICS))));
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("it never ends");
    }
}

async fn publish(log: Arc<Log>, topic: TopicId) {
    let mut rng = fastrand::Rng::new();
    loop {
        let number = rng.u64(..);
        let mut content = number.to_le_bytes().to_vec();
        content.resize(8 + rng.usize(..600), number as u8);
        let batch = Batch { ops: vec![Op::Publish(Publish { topic, content: content.into(), dedup: None })], now: 1 };
        let ticket = log.append(batch, Durability::Os).expect("it is taken");
        let [Placed::At(offset)] = ticket.placed[..] else { panic!("it is new") };
        ticket.receipt.await.expect("it is confirmed");
        // In one piece: half a line is that of a killed process.
        let line = format!("{} {offset} {number}\n", topic.0);
        std::io::stdout().write_all(line.as_bytes()).expect("somebody reads");
    }
}

#[tokio::test]
async fn what_was_confirmed_survives_kill_9() {
    let kills = std::env::var("TOWLINE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let seed =
        std::env::var("TOWLINE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("TOWLINE_SEED={seed} TOWLINE_KILLS={kills}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let folder = Folder::new();
    let mut confirmed: BTreeMap<(u64, Offset), u64> = BTreeMap::new();
    for kill in 0..kills {
        let lines = rng.usize(..2000);
        let news = run_and_kill(&folder, lines);
        for (place, number) in news {
            assert_eq!(confirmed.insert(place, number), None, "kill {kill}: {place:?} was given twice");
        }
        let log = Log::open_folder(&folder.0, settings()).expect("it opens after a kill");
        check(&log, &confirmed, kill).await;
        if rng.bool() {
            log.close().await;
        }
    }
    assert!(confirmed.len() > 100, "{} were confirmed", confirmed.len());
}

/// Starts the writer, and kills it once it has confirmed so many messages; what it has confirmed.
fn run_and_kill(folder: &Folder, lines: usize) -> Vec<((u64, Offset), u64)> {
    let mut child = Command::new(std::env::current_exe().expect("this is a program"))
        .args(["--exact", "kill::writer", "--nocapture"])
        .env(FOLDER, &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let (mut found, mut line) = (Vec::new(), String::new());
    loop {
        line.clear();
        if stdout.read_line(&mut line).expect("it is text") == 0 {
            break;
        }
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // What the test harness prints before is no such line, nor is one that the kill has cut.
        if let [topic, offset, number] = numbers[..]
            && line.ends_with('\n')
        {
            found.push(((topic, offset), number));
            if found.len() == lines.max(1) {
                child.kill().expect("it runs");
            }
        }
    }
    let status = child.wait().expect("it was started here");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "it ended by the kill alone");
    found
}

/// Everything confirmed is there; what is there besides was published, and offsets grow.
async fn check(log: &Log, confirmed: &BTreeMap<(u64, Offset), u64>, kill: usize) {
    let mut left = confirmed.clone();
    for topic in 1..=TOPICS {
        let (mut from, mut last) = (0, None);
        loop {
            let limits = Limits { messages: 1000, bytes: 1 << 20 };
            let page = match log.read(TopicId(topic), from, limits).await {
                Ok(page) => page,
                // Killed before its creation was confirmed.
                Err(_) if left.keys().all(|(of, _)| *of != topic) => break,
                Err(error) => panic!("kill {kill}: {error}"),
            };
            assert!(page.damaged.is_empty(), "kill {kill}: {:?}", page.damaged);
            for message in &page.messages {
                assert!(last < Some(message.offset), "kill {kill}: offsets grow");
                last = Some(message.offset);
                let number = u64::from_le_bytes(message.content[..8].try_into().expect("it is as long"));
                let body: Bytes = message.content.slice(8..);
                assert!(body.iter().all(|byte| *byte == number as u8), "kill {kill}: as it was published");
                if let Some(expected) = left.remove(&(topic, message.offset)) {
                    assert_eq!(number, expected, "kill {kill}: {topic} {}", message.offset);
                }
            }
            if page.next == from {
                break;
            }
            from = page.next;
        }
    }
    assert!(left.is_empty(), "kill {kill}: {} of {} are gone: {:?}", left.len(), confirmed.len(), left.iter().next());
}
