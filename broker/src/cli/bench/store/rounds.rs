//! Both sides in turn, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Failure;
use super::engine::Engine;
use super::load::{self, Sample};
use super::raw::Raw;
use super::shape::{Level, Shape};
use crate::cli::bench::compare::Spread;
use crate::cli::bench::folder::Folder;
use crate::cli::bench::report::Output;
use crate::cli::bench::show;

/// Bytes of messages that retention leaves.
const LIVE: u64 = 256 << 20;
/// What is not counted, before the first round.
const WARM_UP: Duration = Duration::from_millis(500);
const GIB: f64 = (1u64 << 30) as f64;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    /// Of one side in one round.
    pub(super) seconds: Duration,
    pub(super) gib: Option<u64>,
}

/// What one shape brought.
#[derive(Debug)]
pub(super) struct Measured {
    shape: Shape,
    /// The yardstick, if there is one for the shape, and the engine.
    rounds: Vec<(Option<Sample>, Sample)>,
    written: u64,
    disk_bytes: u64,
    /// Messages in a commit group, and in what one sync covered.
    per_group: f64,
    per_sync: f64,
}

pub(super) async fn measure(folder: &Folder, shape: Shape, plan: &Plan) -> Result<Measured, Failure> {
    let (raw_part, engine_part) = (folder.part("raw")?, folder.part("engine")?);
    let raw = Arc::new(Raw::start(raw_part.path(), shape)?);
    let engine = Arc::new(Engine::open(engine_part.path(), shape).await?);
    let keep = (LIVE / (shape.size * shape.topics) as u64).max(1);
    let retain = tokio::spawn(engine.clone().retain(keep));
    let has_yardstick = shape.level == Level::Disk;
    if has_yardstick {
        load::run(&raw, shape, WARM_UP).await?;
    }
    load::run(&engine, shape, WARM_UP).await?;
    engine.settle().await;
    let before = engine.log_stats();
    let (mut rounds, mut written) = (Vec::new(), 0);
    let goal = plan.gib.map_or(0, |gib| gib << 30);
    while rounds.len() < plan.rounds || written < goal {
        // The first one is another one from round to round.
        let is_first = rounds.len() % 2 == 0;
        let mut of_raw = None;
        if has_yardstick && is_first {
            of_raw = Some(load::run(&raw, shape, plan.seconds).await?);
        }
        let of_engine = load::run(&engine, shape, plan.seconds).await?;
        if has_yardstick && !is_first {
            of_raw = Some(load::run(&raw, shape, plan.seconds).await?);
        }
        written += of_engine.messages * shape.size as u64;
        progress(shape, rounds.len() + 1, of_raw.as_ref(), &of_engine);
        rounds.push((of_raw, of_engine));
    }
    let after = engine.log_stats();
    retain.abort();
    // It has been aborted, or has failed: that shows below.
    if let Ok(Err(failure)) = retain.await {
        return Err(failure);
    }
    let messages = (after.messages_written - before.messages_written) as f64;
    engine.close().await;
    Ok(Measured {
        shape,
        rounds,
        written,
        disk_bytes: after.disk_bytes,
        per_group: messages / (after.groups_written - before.groups_written).max(1) as f64,
        per_sync: messages / (after.syncs - before.syncs).max(1) as f64,
    })
}

fn progress(shape: Shape, round: usize, raw: Option<&Sample>, engine: &Sample) {
    let of = |name: &str, sample: &Sample| {
        let Sample { rate, p50_us, p99_us, cpu_us, foreign_cores, .. } = sample;
        eprintln!(
            "{shape} round {round} {name:<9} {rate:>9.0}/s  p50 {p50_us:>7.1} us  p99 {p99_us:>8.1} us  CPU {cpu_us:>5.2} us  foreign {foreign_cores:.2}"
        );
    };
    if let Some(raw) = raw {
        of("yardstick", raw);
    }
    of("engine", engine);
}

type Of = fn(&Sample) -> f64;
const QUANTITIES: [(&str, &str, Of); 4] = [
    ("rate", "messages/s", |sample| sample.rate),
    ("p50_us", "p50 us", |sample| sample.p50_us),
    ("p99_us", "p99 us", |sample| sample.p99_us),
    ("cpu_us", "CPU us", |sample| sample.cpu_us),
];

impl Measured {
    fn engine(&self, of: Of) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|(_, engine)| of(engine)))
    }

    fn raw(&self, of: Of) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|(raw, _)| raw.as_ref().map(of)))
    }

    fn ratio(&self, of: Of) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|(raw, engine)| raw.as_ref().map(|raw| of(engine) / of(raw))))
    }

    fn foreign(&self) -> Option<Spread> {
        Spread::of(
            self.rounds.iter().map(|(raw, engine)| raw.map_or(0.0, |raw| raw.foreign_cores).max(engine.foreign_cores)),
        )
    }

    fn table(&self) -> String {
        let mut text = format!(
            "\n{}: {} rounds, foreign load {} cores; {:.2} GiB of messages, {:.2} GiB of disk at the end; {:.0} messages a group, {:.0} a sync\n",
            self.shape,
            self.rounds.len(),
            self.foreign().map(spread).unwrap_or_default(),
            self.written as f64 / GIB,
            self.disk_bytes as f64 / GIB,
            self.per_group,
            self.per_sync,
        );
        text += &format!("{:<12} {:>12} {:>12} {:>24}\n", "", "yardstick", "engine", "ratio (min..max)");
        for (_, name, of) in QUANTITIES {
            let number = |spread: Option<Spread>| {
                spread.map_or("-".to_owned(), |spread| {
                    let digits = if spread.median < 100.0 { 2 } else { 0 };
                    format!("{:.digits$}", spread.median)
                })
            };
            let ratio = self.ratio(of).map_or("-".to_owned(), spread);
            text += &format!("{name:<12} {:>12} {:>12} {ratio:>24}\n", number(self.raw(of)), number(self.engine(of)));
        }
        text
    }

    fn json(&self) -> Value {
        let part = |of: &dyn Fn(Of) -> Option<Spread>| -> Value {
            let all = QUANTITIES.into_iter().filter_map(|(key, _, each)| {
                let Spread { median, min, max } = of(each)?;
                Some((key.to_owned(), json!({"median": median, "min": min, "max": max})))
            });
            all.collect::<serde_json::Map<_, _>>().into()
        };
        json!({
            "shape": self.shape.json(), "rounds": self.rounds.len(),
            "yardstick": part(&|of| self.raw(of)), "engine": part(&|of| self.engine(of)), "ratio": part(&|of| self.ratio(of)),
            "foreign_cores": self.foreign().map(|spread| spread.max),
            "written_bytes": self.written, "disk_bytes": self.disk_bytes,
            "messages_per_group": self.per_group, "messages_per_sync": self.per_sync,
        })
    }
}

pub(super) fn print(output: Output, all: &[Measured]) -> Result<(), Failure> {
    show(&match output {
        Output::Table => all.iter().map(Measured::table).collect(),
        Output::Json => {
            let shapes: Vec<Value> = all.iter().map(Measured::json).collect();
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            format!("{}\n", json!({"verb": "store", "cores": cores, "shapes": shapes}))
        }
    })
}

fn spread(spread: Spread) -> String {
    format!("{:.2} ({:.2}..{:.2})", spread.median, spread.min, spread.max)
}
