//! What a run has found, as a table for people and as JSON for scripts.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::client::{Sample, Shape};
use super::compare::{Round, Spread, ratio, undisturbed};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
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
        self.rounds.iter().map(|round| round.a.wrong + round.b.wrong).sum()
    }
}

/// What a mark is about; its ratio is always the target's over A's.
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

    fn name(self) -> &'static str {
        match self {
            Self::Rate => "round trips/s",
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::Cpu => "CPU us/round trip",
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

/// A ratio to reach: `first` at the first milestone, `goal` in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) number: u32,
    pub(super) shape: Shape,
    pub(super) quantity: Quantity,
    pub(super) first: f64,
    pub(super) goal: f64,
}

impl Mark {
    /// More is better for a rate, less for latency and CPU.
    pub(super) fn is_met(&self, limit: f64, ratio: f64) -> bool {
        if self.quantity == Quantity::Rate { ratio >= limit } else { ratio <= limit }
    }

    fn ratio(&self, comparisons: &[Comparison]) -> Option<Spread> {
        let comparison = comparisons.iter().find(|comparison| comparison.shape == self.shape)?;
        ratio(&undisturbed(&comparison.rounds), |sample| self.quantity.of(sample))
    }
}

/// One line on standard error as soon as a measurement is done.
pub(super) fn progress(shape: Shape, round: usize, side: &str, sample: &Sample) {
    let Sample { rate, p50_us, p99_us, server_cpu_us, foreign_cores, .. } = sample;
    eprintln!(
        "{:<14} round {round} {side:<8} {rate:>9.0}/s  p50 {p50_us:>7.1} us  p99 {p99_us:>7.1} us  CPU {server_cpu_us:>5.2} us  foreign {foreign_cores:.2}",
        shape_name(shape)
    );
}

/// The whole report on standard output.
pub(super) fn print(output: Output, target: &str, comparisons: &[Comparison], marks: &[Mark]) {
    match output {
        Output::Table => print!("{}", table(target, comparisons, marks)),
        Output::Json => println!("{:#}", json(target, comparisons, marks)),
    }
}

pub(super) fn table(target: &str, comparisons: &[Comparison], marks: &[Mark]) -> String {
    let cores = cores();
    let mut lines = vec![format!(
        "{target} against A, the relay that only pumps bytes; {cores} cores shared by all. Medians; ratios of the same round."
    )];
    lines.push(format!(
        "{:<14} {:<18} {:>10} {:>10}  {:<22} rounds, foreign load",
        "shape", "", "A", target, "ratio (min..max)"
    ));
    for comparison in comparisons {
        let kept = undisturbed(&comparison.rounds);
        let foreign = Spread::of(comparison.rounds.iter().map(Round::foreign_cores));
        for quantity in Quantity::ALL {
            let of = |sample: &Sample| quantity.of(sample);
            let a = Spread::of(kept.iter().map(|round| of(&round.a)));
            let b = Spread::of(kept.iter().map(|round| of(&round.b)));
            let (Some(a), Some(b), Some(ratio), Some(foreign)) = (a, b, ratio(&kept, of), foreign) else { continue };
            let is_first = quantity == Quantity::Rate;
            let shape = if is_first { shape_name(comparison.shape) } else { String::new() };
            let noise = format!(
                "  {} of {}, {:.2} ({:.2}..{:.2})",
                kept.len(),
                comparison.rounds.len(),
                foreign.median,
                foreign.min,
                foreign.max
            );
            let noise = if is_first { noise } else { String::new() };
            let digits = if is_first { 0 } else { 2 };
            let row = format!(
                "{shape:<14} {:<18} {:>10.digits$} {:>10.digits$}  {:<22}{noise}",
                quantity.name(),
                a.median,
                b.median,
                spread(ratio)
            );
            lines.push(row.trim_end().to_owned());
        }
    }
    let measured: Vec<_> = marks.iter().filter_map(|mark| Some((mark, mark.ratio(comparisons)?))).collect();
    if !measured.is_empty() {
        lines.push(format!("\n{:<6} {:<33} {:<22} {:<14} goal", "mark", "", "ratio (min..max)", "first"));
    }
    for (mark, ratio) in measured {
        let limit = |limit| format!("{limit} {}", if mark.is_met(limit, ratio.median) { "met" } else { "not met" });
        let (what, first, goal) = (mark.quantity.name(), limit(mark.first), limit(mark.goal));
        let ratio = spread(ratio);
        lines.push(format!(
            "{:<6} {:<14} {what:<18} {ratio:<22} {first:<14} {goal}",
            mark.number,
            shape_name(mark.shape)
        ));
    }
    lines.join("\n") + "\n"
}

pub(super) fn json(target: &str, comparisons: &[Comparison], marks: &[Mark]) -> Value {
    let shapes: Vec<Value> = comparisons.iter().map(comparison_json).collect();
    let marks: Vec<Value> = marks
        .iter()
        .filter_map(|mark| {
            let ratio = mark.ratio(comparisons)?;
            Some(json!({
                "mark": mark.number, "shape": shape_json(mark.shape), "quantity": mark.quantity.key(),
                "ratio": spread_json(ratio),
                "first": mark.first, "first_met": mark.is_met(mark.first, ratio.median),
                "goal": mark.goal, "goal_met": mark.is_met(mark.goal, ratio.median),
            }))
        })
        .collect();
    json!({"target": target, "cores": cores(), "shapes": shapes, "marks": marks})
}

fn comparison_json(comparison: &Comparison) -> Value {
    let kept = undisturbed(&comparison.rounds);
    let medians: serde_json::Map<String, Value> = Quantity::ALL
        .into_iter()
        .filter_map(|quantity| {
            let of = |sample: &Sample| quantity.of(sample);
            let a = Spread::of(kept.iter().map(|round| of(&round.a)))?;
            let b = Spread::of(kept.iter().map(|round| of(&round.b)))?;
            let ratio = spread_json(ratio(&kept, of)?);
            Some((quantity.key().to_owned(), json!({"a": a.median, "target": b.median, "ratio": ratio})))
        })
        .collect();
    let rounds: Vec<Value> = comparison
        .rounds
        .iter()
        .map(|round| json!({"a": sample_json(&round.a), "target": sample_json(&round.b)}))
        .collect();
    json!({
        "shape": shape_json(comparison.shape), "medians": medians,
        "kept": kept.len(), "wrong": comparison.wrong(), "rounds": rounds,
    })
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "rate": sample.rate, "p50_us": sample.p50_us, "p99_us": sample.p99_us,
        "server_cpu_us": sample.server_cpu_us, "load_cpu_us": sample.load_cpu_us,
        "foreign_cores": sample.foreign_cores, "wrong": sample.wrong,
    })
}

fn shape_json(shape: Shape) -> Value {
    json!({"connections": shape.connections, "in_flight": shape.in_flight, "size": shape.size})
}

fn spread_json(spread: Spread) -> Value {
    json!({"median": spread.median, "min": spread.min, "max": spread.max})
}

fn shape_name(shape: Shape) -> String {
    format!("{}x{} {} B", shape.connections, shape.in_flight, shape.size)
}

fn spread(ratio: Spread) -> String {
    format!("{:.2} ({:.2}..{:.2})", ratio.median, ratio.min, ratio.max)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
