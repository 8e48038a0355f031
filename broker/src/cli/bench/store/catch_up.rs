//! Many messages written, and then: read from the start, opened again, given up. And what that takes of memory and disk.

use std::collections::VecDeque;

use serde_json::json;
use tokio::time::{Duration, Instant, sleep};
use towline::store::{Limits, Offset, Store};

use super::Failure;
use super::engine::Engine;
use super::given_up::GivenUp;
use super::load::Target;
use super::shape::{Level, Shape};
use crate::cli::bench::figures::Figures;
use crate::cli::bench::folder::Folder;
use crate::cli::bench::memory::Memory;
use crate::cli::bench::report::Output;

/// Messages on their way while many are written.
const IN_FLIGHT: usize = 4096;
/// Messages after which memory is read for the first time.
const FEW: u64 = 50_000;
/// What one read may bring.
const PAGE: Limits = Limits { messages: 10_000, bytes: 1 << 20 };
/// Bytes of a record that are not content.
const RECORD: u64 = 40;
const SEGMENT: u64 = 64 << 20;
const MIB: f64 = 1024.0 * 1024.0;
/// How often the disk is looked at while it is given back, and when that is over at the latest.
const LOOK: Duration = Duration::from_millis(20);
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(60);

/// Of what is written.
pub(super) fn shape(topics: usize, size: usize) -> Shape {
    Shape { tasks: 1, in_flight: IN_FLIGHT, topics, size, level: Level::Disk }
}

pub(super) async fn run(
    folder: &Folder,
    messages: u64,
    shape: Shape,
    given_up: GivenUp,
    output: Output,
) -> Result<(), Failure> {
    let about = json!({"messages": messages, "size": shape.size, "topics": shape.topics});
    let mut found = Figures::new("store", about);
    let part = folder.part("engine")?;
    let begun = Instant::now();
    let engine = Engine::open(part.path(), shape).await?;
    found.add("create_seconds", "opening an empty folder and making the topics, s", begun.elapsed().as_secs_f64());

    let few = FEW.min(messages / 2);
    let mut took = write(&engine, few).await?;
    engine.settle().await;
    let before = resident()?;
    took += write(&engine, messages - few).await?;
    let stats = engine.settle().await;
    let after = resident()?;
    found.add("write_rate", "written and confirmed, messages/s", messages as f64 / took.as_secs_f64());
    found.add("resident_few_mib", "resident memory of the process after the first 50,000, MiB", before / MIB);
    found.add("resident_all_mib", "the same after all of them, MiB", after / MIB);
    found.add("growth_mib", "its growth, MiB", (after - before) / MIB);
    found.add("disk_mib", "disk used, MiB", stats.disk_bytes as f64 / MIB);

    let Read { messages: read, took, .. } = read_all(&engine).await?;
    if read != messages {
        return Err(Failure::new(format!("{messages} messages were confirmed, and {read} can be read")));
    }
    found.add("read_rate", "read from the first offset on, messages/s", messages as f64 / took.as_secs_f64());
    found.add("read_growth_mib", "resident memory more than before it was read, MiB", (resident()? - after) / MIB);

    let begun = Instant::now();
    engine.close().await;
    found.add("close_seconds", "closing, s", begun.elapsed().as_secs_f64());
    drop(engine);
    let engine =
        reopen(part.path(), shape, messages, "open_seconds", "opening after it was closed, s", &mut found).await?;
    let more = messages / 50;
    write(&engine, more).await?;
    drop(engine);
    let all = messages + more;
    let text = "opening after it ended without being closed, s";
    let engine = reopen(part.path(), shape, all, "open_unclosed_seconds", text, &mut found).await?;

    give_back(&engine, given_up, shape.size as u64, &mut found).await?;
    engine.close().await;
    found.print(output)?;
    Ok(())
}

/// Writes so many messages, many at a time.
async fn write(engine: &Engine, messages: u64) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    for _ in 0..messages {
        if waiting.len() == IN_FLIGHT
            && let Some(first) = waiting.pop_front()
        {
            Box::pin(first).await?;
        }
        waiting.push_back(engine.send()?);
    }
    for answer in waiting {
        answer.await?;
    }
    Ok(begun.elapsed())
}

/// All that can be read.
struct Read {
    messages: u64,
    /// Behind the last message of each topic: a recovery may have left out offsets before the head.
    ends: Vec<Offset>,
    took: Duration,
}

async fn read_all(engine: &Engine) -> Result<Read, Failure> {
    let (begun, mut messages, mut ends) = (Instant::now(), 0, Vec::new());
    for topic in &engine.topics {
        let view = engine.log.topic(*topic).ok_or_else(|| Failure::new(format!("{topic:?} is gone")))?;
        let (mut from, mut end) = (0, 0);
        while from < view.head {
            let page = engine.log.read(*topic, from, PAGE).await.map_err(|e| Failure::new(format!("read: {e}")))?;
            if page.next <= from || !page.damaged.is_empty() {
                return Err(Failure::new(format!("reading {topic:?} at {from} does not go on")));
            }
            messages += page.messages.len() as u64;
            end = page.messages.last().map_or(end, |last| last.offset + 1);
            from = page.next;
        }
        ends.push(end);
    }
    Ok(Read { messages, ends, took: begun.elapsed() })
}

async fn reopen(
    folder: &std::path::Path,
    shape: Shape,
    messages: u64,
    key: &'static str,
    text: &'static str,
    found: &mut Figures,
) -> Result<Engine, Failure> {
    let begun = Instant::now();
    let engine = Engine::open(folder, shape).await?;
    found.add(key, text, begun.elapsed().as_secs_f64());
    engine.settle().await;
    let read = read_all(&engine).await?.messages;
    if read != messages {
        return Err(Failure::new(format!("{messages} messages were confirmed, and {read} are there after opening")));
    }
    Ok(engine)
}

/// Gives up a part, and watches the disk.
async fn give_back(engine: &Engine, given_up: GivenUp, size: u64, found: &mut Figures) -> Result<(), Failure> {
    let ends = read_all(engine).await?.ends;
    let begun = Instant::now();
    let kept = given_up.apply(engine, &ends).await?;
    found.add("trim_seconds", given_up.text(), begun.elapsed().as_secs_f64());
    let live = kept * (size + RECORD);
    let allowed = 2 * live + 8 * SEGMENT;
    let (mut peak, mut last, mut within) = (0, Duration::ZERO, None);
    let mut before = engine.log_stats().disk_bytes;
    while begun.elapsed() < GIVEN_BACK_WITHIN && last + GIVEN_BACK_WITHIN / 4 > begun.elapsed() {
        let now = engine.log_stats().disk_bytes;
        peak = peak.max(now);
        if now != before {
            (before, last) = (now, begun.elapsed());
        }
        if now <= allowed {
            within.get_or_insert(begun.elapsed());
        }
        sleep(LOOK).await;
    }
    found.add("live_mib", "live then, MiB", live as f64 / MIB);
    found.add("allowed_mib", "twice that and 8 segments, MiB", allowed as f64 / MIB);
    found.add("peak_mib", "disk used at most from then on, MiB", peak as f64 / MIB);
    found.add("left_mib", "disk used in the end, MiB", before as f64 / MIB);
    found.add("given_back_seconds", "the last change of it came after, s", last.as_secs_f64());
    let within = within.map_or(f64::NAN, |within| within.as_secs_f64());
    found.add("within_seconds", "no more than allowed after, s", within);
    match read_all(engine).await?.messages {
        read if read == kept => Ok(()),
        read => Err(Failure::new(format!("{kept} messages are live, and {read} can be read"))),
    }
}

fn resident() -> Result<f64, Failure> {
    Ok(Memory::of(std::process::id())?.resident as f64)
}
