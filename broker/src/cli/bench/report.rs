//! What a run has found, as a table for people and as JSON for scripts.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::client::{Sample, Shape};
use super::compare::{Round, SUBJECT, Spread, ratio, undisturbed};
use super::rsocket::Metadata;
use super::{Failure, show};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
}

/// What A is where calls are relayed.
pub(super) const RELAY: &str = "the relay that only pumps bytes";

/// What a run was: its verb, what it counts, its sides.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) verb: &'static str,
    /// What is counted: `round trips`, `items`.
    pub(super) unit: &'static str,
    /// What A is.
    pub(super) yardstick: &'static str,
    pub(super) sides: Vec<String>,
}

/// All rounds of one shape.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) shape: Shape,
    pub(super) rounds: Vec<Round>,
}

impl Comparison {
    /// Wrong answers of all rounds, the dropped ones included.
    pub(super) fn wrong(&self) -> u64 {
        self.rounds.iter().flat_map(|round| &round.samples).map(|sample| sample.wrong).sum()
    }
}

/// What a mark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    Rate,
    P50,
    P99,
    Cpu,
}

impl Quantity {
    const ALL: [Self; 4] = [Self::Rate, Self::P50, Self::P99, Self::Cpu];

    pub(super) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Rate => sample.rate,
            Self::P50 => sample.p50_us,
            Self::P99 => sample.p99_us,
            Self::Cpu => sample.server_cpu_us,
        }
    }

    fn name(self, unit: &str) -> String {
        match self {
            Self::Rate => format!("{unit}/s"),
            Self::P50 => "p50 us".to_owned(),
            Self::P99 => "p99 us".to_owned(),
            Self::Cpu => "CPU us each".to_owned(),
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::Cpu => "server_cpu_us",
        }
    }
}

/// A ratio to reach, of the broker over a side: `first` at the first milestone, `goal` in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) number: &'static str,
    pub(super) shape: Shape,
    pub(super) over: &'static str,
    pub(super) quantity: Quantity,
    pub(super) first: f64,
    pub(super) goal: f64,
}

impl Mark {
    /// More is better for a rate, less for latency and CPU.
    pub(super) fn is_met(&self, limit: f64, ratio: f64) -> bool {
        if self.quantity == Quantity::Rate { ratio >= limit } else { ratio <= limit }
    }

    fn ratio(&self, run: &Run, comparisons: &[Comparison]) -> Option<Spread> {
        let over = run.sides.iter().position(|side| side == self.over)?;
        let is_it =
            |shape: Shape| shape == Shape { rate: if self.shape.rate == 0 { 0 } else { shape.rate }, ..self.shape };
        let comparison = comparisons.iter().find(|comparison| is_it(comparison.shape))?;
        if (comparison.shape.rate == 0) != (self.shape.rate == 0) {
            return None;
        }
        ratio(&undisturbed(&comparison.rounds), over, |sample| self.quantity.of(sample))
    }
}

/// One line on standard error as soon as a measurement is done.
pub(super) fn progress(shape: Shape, round: usize, side: &str, sample: &Sample) {
    let Sample { rate, p50_us, p99_us, server_cpu_us, foreign_cores, .. } = sample;
    eprintln!(
        "{:<14} round {round} {side:<12} {rate:>9.0}/s  p50 {p50_us:>7.1} us  p99 {p99_us:>7.1} us  CPU {server_cpu_us:>5.2} us  foreign {foreign_cores:.2}",
        shape_name(shape)
    );
}

/// The whole report on standard output.
pub(super) fn print(output: Output, run: &Run, comparisons: &[Comparison], marks: &[Mark]) -> Result<(), Failure> {
    show(&match output {
        Output::Table => table(run, comparisons, marks),
        Output::Json => format!("{:#}\n", json(run, comparisons, marks)),
    })
}

pub(super) fn table(run: &Run, comparisons: &[Comparison], marks: &[Mark]) -> String {
    let subject = &run.sides[SUBJECT];
    let mut lines = vec![format!(
        "A is {}; {} cores shared by all. Medians; ratios of {subject} over each side, round by round.",
        run.yardstick,
        cores()
    )];
    for comparison in comparisons {
        let kept = undisturbed(&comparison.rounds);
        let Some(foreign) = Spread::of(comparison.rounds.iter().map(Round::foreign_cores)) else { continue };
        lines.push(format!(
            "\n{}: {} of {} rounds, foreign load {} cores",
            shape_name(comparison.shape),
            kept.len(),
            comparison.rounds.len(),
            spread(foreign)
        ));
        let heads = Quantity::ALL.map(|quantity| format!("{:>12} {:<18}", quantity.name(run.unit), ""));
        lines.push(format!("{:<14}{}", "", heads.concat()).trim_end().to_owned());
        for (at, side) in run.sides.iter().enumerate() {
            let cells = Quantity::ALL.map(|quantity| {
                let of = |sample: &Sample| quantity.of(sample);
                let median = Spread::of(kept.iter().map(|round| of(&round.samples[at]))).map_or(0.0, |s| s.median);
                let over = ratio(&kept, at, of).filter(|over| at != SUBJECT && over.max.is_finite());
                let digits = if quantity == Quantity::Rate { 0 } else { 2 };
                format!("{median:>12.digits$} {:<18}", over.map(spread).unwrap_or_default())
            });
            lines.push(format!("{side:<14}{}", cells.concat()).trim_end().to_owned());
        }
    }
    let measured: Vec<_> = marks.iter().filter_map(|mark| Some((mark, mark.ratio(run, comparisons)?))).collect();
    if !measured.is_empty() {
        lines.push(format!("\n{:<6} {:<46} {:<22} {:<14} goal", "mark", "", "ratio (min..max)", "first"));
    }
    for (mark, ratio) in measured {
        let limit = |limit| format!("{limit} {}", if mark.is_met(limit, ratio.median) { "met" } else { "not met" });
        let what = format!("{} {} over {}", shape_name(mark.shape), mark.quantity.name(run.unit), mark.over);
        let (first, goal, ratio) = (limit(mark.first), limit(mark.goal), spread(ratio));
        lines.push(format!("{:<6} {what:<46} {ratio:<22} {first:<14} {goal}", mark.number));
    }
    lines.join("\n") + "\n"
}

pub(super) fn json(run: &Run, comparisons: &[Comparison], marks: &[Mark]) -> Value {
    let shapes: Vec<Value> = comparisons.iter().map(|comparison| comparison_json(run, comparison)).collect();
    let marks: Vec<Value> = marks
        .iter()
        .filter_map(|mark| {
            let ratio = mark.ratio(run, comparisons)?;
            Some(json!({
                "mark": mark.number, "shape": shape_json(mark.shape), "over": mark.over, "quantity": mark.quantity.key(),
                "ratio": spread_json(ratio),
                "first": mark.first, "first_met": mark.is_met(mark.first, ratio.median),
                "goal": mark.goal, "goal_met": mark.is_met(mark.goal, ratio.median),
            }))
        })
        .collect();
    json!({"verb": run.verb, "unit": run.unit, "cores": cores(), "shapes": shapes, "marks": marks})
}

fn comparison_json(run: &Run, comparison: &Comparison) -> Value {
    let kept = undisturbed(&comparison.rounds);
    let foreign = Spread::of(comparison.rounds.iter().map(Round::foreign_cores)).map(spread_json);
    let (mut sides, mut ratios) = (Map::new(), Map::new());
    for (at, side) in run.sides.iter().enumerate() {
        let (mut medians, mut over) = (Map::new(), Map::new());
        for quantity in Quantity::ALL {
            let of = |sample: &Sample| quantity.of(sample);
            if let Some(spread) = Spread::of(kept.iter().map(|round| of(&round.samples[at]))) {
                medians.insert(quantity.key().to_owned(), spread.median.into());
            }
            if let Some(spread) = ratio(&kept, at, of).filter(|spread| at != SUBJECT && spread.max.is_finite()) {
                over.insert(quantity.key().to_owned(), spread_json(spread));
            }
        }
        sides.insert(side.clone(), medians.into());
        if at != SUBJECT {
            ratios.insert(side.clone(), over.into());
        }
    }
    let rounds: Vec<Value> = comparison
        .rounds
        .iter()
        .map(|round| run.sides.iter().cloned().zip(round.samples.iter().map(sample_json)).collect::<Map<_, _>>().into())
        .collect();
    json!({
        "shape": shape_json(comparison.shape), "sides": sides, "ratios": ratios, "kept": kept.len(),
        "wrong": comparison.wrong(), "rounds": rounds, "foreign_cores": foreign,
    })
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "rate": sample.rate, "p50_us": sample.p50_us, "p99_us": sample.p99_us,
        "server_cpu_us": sample.server_cpu_us, "load_cpu_us": sample.load_cpu_us,
        "foreign_cores": sample.foreign_cores, "behind": sample.behind, "wrong": sample.wrong,
        "server_bytes": sample.server_bytes,
    })
}

/// What differs from a plain shape is said, the rest is left out.
fn shape_json(shape: Shape) -> Value {
    let mut json = json!({
        "connections": shape.connections, "in_flight": shape.in_flight, "size": shape.size,
        "services": shape.services, "instances": shape.instances,
    });
    let metadata = ValueEnum::to_possible_value(&shape.metadata).map(|value| value.get_name().to_owned());
    let more = [
        ("metadata", (shape.metadata != Metadata::Typed).then(|| json!(metadata))),
        ("fragment", (shape.fragment != 0).then(|| json!(shape.fragment))),
        ("credit", (shape.credit != 0).then(|| json!(shape.credit))),
        ("rate", (shape.rate != 0).then(|| json!(shape.rate))),
    ];
    for (key, value) in more {
        value.into_iter().for_each(|value| json[key] = value);
    }
    shape.topics.into_iter().for_each(|topics| topics.describe(&mut json));
    json
}

fn shape_name(shape: Shape) -> String {
    let json = shape_json(shape);
    let more = json
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(&key[..], "connections" | "in_flight" | "size"))
        .filter(|(key, value)| !matches!(&key[..], "services" | "instances") || *value != 1);
    let more: String = more.map(|(key, value)| format!(" {key} {}", value.to_string().trim_matches('"'))).collect();
    format!("{}x{} {} B{more}", shape.connections, shape.in_flight, shape.size)
}

fn spread_json(spread: Spread) -> Value {
    json!({"median": spread.median, "min": spread.min, "max": spread.max})
}

fn spread(ratio: Spread) -> String {
    format!("{:.2} ({:.2}..{:.2})", ratio.median, ratio.min, ratio.max)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
