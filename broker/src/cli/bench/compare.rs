//! Two sides measured in turn. Only ratios of the same round count: what else the machine does disturbs both alike.

use std::net::SocketAddr;

use super::Failure;
use super::client::Sample;
use super::cpu::Processes;

/// Above this many cores of foreign load a round is dropped, as long as enough others remain.
const FOREIGN_LIMIT: f64 = 0.5;
const ENOUGH_ROUNDS: usize = 3;

/// What is measured: where the load goes, and whose CPU counts.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) processes: Processes,
}

/// The yardstick and the other side, one straight after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub(super) a: Sample,
    pub(super) b: Sample,
}

impl Round {
    pub(super) fn foreign_cores(&self) -> f64 {
        self.a.foreign_cores.max(self.b.foreign_cores)
    }
}

/// The middle of some numbers and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// None of no numbers.
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
        Some(Self { median, min, max })
    }
}

/// Measures `a`, `b`, `a`, `b` ...: `measure` is called twice a round.
pub(super) async fn alternate(
    a: &Side,
    b: &Side,
    rounds: usize,
    mut measure: impl AsyncFnMut(&Side) -> Result<Sample, Failure>,
) -> Result<Vec<Round>, Failure> {
    let mut done = Vec::with_capacity(rounds);
    for at in 1..=rounds {
        let mut samples = Vec::with_capacity(2);
        for side in [a, b] {
            samples.push(measure(side).await.map_err(|e| Failure::new(format!("{}, round {at}: {e}", side.name)))?);
        }
        if let [a, b] = samples[..] {
            done.push(Round { a, b });
        }
    }
    Ok(done)
}

/// The rounds that count: all but the disturbed ones, or all if too few would remain.
pub(super) fn undisturbed(rounds: &[Round]) -> Vec<Round> {
    let calm: Vec<Round> = rounds.iter().copied().filter(|round| round.foreign_cores() <= FOREIGN_LIMIT).collect();
    if calm.len() >= ENOUGH_ROUNDS { calm } else { rounds.to_vec() }
}

/// The other side over the yardstick, round by round.
pub(super) fn ratio(rounds: &[Round], of: impl Fn(&Sample) -> f64) -> Option<Spread> {
    Spread::of(rounds.iter().map(|round| of(&round.b) / of(&round.a)))
}
