//! Sides measured in turn. Only ratios of the same round count: what else the machine does disturbs all alike.

use super::Failure;
use super::client::Sample;

/// Above this many cores of foreign load a round is dropped, as long as enough others remain.
const FOREIGN_LIMIT: f64 = 0.5;
const ENOUGH_ROUNDS: usize = 3;
/// Where the side a run is about stands in every round; A is before it, peers are behind it.
pub(super) const SUBJECT: usize = 1;

/// All sides, one straight after the other; in the order of the stage, whatever order they were measured in.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) samples: Vec<Sample>,
}

impl Round {
    pub(super) fn foreign_cores(&self) -> f64 {
        self.samples.iter().map(|sample| sample.foreign_cores).fold(0.0, f64::max)
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

/// Something that is measured in turn with others.
pub(super) trait Named {
    fn name(&self) -> &str;
}

/// Measures every side once a round; the first one is another one from round to round.
pub(super) async fn alternate<S: Named>(
    sides: &[S],
    rounds: usize,
    mut measure: impl AsyncFnMut(usize, &S) -> Result<Sample, Failure>,
) -> Result<Vec<Round>, Failure> {
    let mut done = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let mut samples: Vec<Option<Sample>> = vec![None; sides.len()];
        for turn in 0..sides.len() {
            let at = (round + turn) % sides.len();
            let side = &sides[at];
            let sample = measure(round + 1, side).await;
            samples[at] = Some(sample.map_err(|e| Failure::new(format!("{}, round {}: {e}", side.name(), round + 1)))?);
        }
        done.push(Round { samples: samples.into_iter().flatten().collect() });
    }
    Ok(done)
}

/// The rounds that count: all but the disturbed ones, or all if too few would remain.
pub(super) fn undisturbed(rounds: &[Round]) -> Vec<Round> {
    let calm: Vec<Round> = rounds.iter().filter(|round| round.foreign_cores() <= FOREIGN_LIMIT).cloned().collect();
    if calm.len() >= ENOUGH_ROUNDS { calm } else { rounds.to_vec() }
}

/// The side a run is about over another one, round by round.
pub(super) fn ratio(rounds: &[Round], over: usize, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
    Spread::of(rounds.iter().map(|round| of(&round.samples[SUBJECT]) / of(&round.samples[over])))
}
