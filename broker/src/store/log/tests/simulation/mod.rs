//! A deterministic simulation of the store: clients, crashes and a bad disk over the real engine, against a plain model.
//!
//! ```text
//!  model    what is promised, in maps         load     what clients do
//!  world    one store, its clients and its bad luck, step by step      ends     kills, power cuts, and what is there after them
//! ```
//! Everything follows from one seed. `TOWLINE_SIM_SEEDS` says how many are run, from `TOWLINE_SIM_FIRST` on; `TOWLINE_SIM_SEED`
//! runs one and tells its steps.

mod ends;
mod load;
mod model;
mod world;

use super::rare::HELD;
use crate::store::log::mutant::{Mutant, Switch};
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// Runs one seed; what went wrong, if something did.
fn run(seed: u64, is_traced: bool) -> Result<(), String> {
    caught(|| {
        let mut world = World::new(seed);
        world.is_traced = is_traced;
        world.run();
    })
}

fn caught(run: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn seeds() {
    if let Some(seed) = variable("TOWLINE_SIM_SEED") {
        run(seed, true).expect("this seed");
        return;
    }
    let first = variable("TOWLINE_SIM_FIRST").unwrap_or(0);
    for seed in first..first + variable("TOWLINE_SIM_SEEDS").unwrap_or(200) {
        if let Err(why) = run(seed, false) {
            // The same again, told step by step.
            let _ = run(seed, true);
            panic!("seed {seed}: {why}\nTOWLINE_SIM_SEED={seed} cargo test --lib simulation::seeds");
        }
    }
}

/// One life, stopped at operations of the disk, and so are the two recoveries after it; the power goes at the last of them.
fn boundaries(seed: u64, every: usize) {
    for operation in (1..).step_by(every) {
        let mut world = World::new(seed);
        if !world.run_to(operation, 120) {
            return;
        }
        for second in [true, false] {
            for stop in 1.. {
                let draw = operation * 1000 + stop;
                if !world.opens_after(&[(second, Some(stop)), (true, None)], draw) {
                    break;
                }
                for third in [1, 2, 3, 5, 8, 13].map(|more| 1 + (draw + more) % 14) {
                    world.opens_after(&[(second, Some(stop)), (false, Some(third)), (true, None)], draw);
                }
            }
        }
    }
}

/// `TOWLINE_SIM_EVERY=1` stops at each operation.
#[test]
fn every_sync_boundary() {
    boundaries(3, variable("TOWLINE_SIM_EVERY").map_or(7, |every| every as usize));
}

/// The seeds that each mutant gets to be noticed.
const TRIES: u64 = 400;

/// What notices a mutant first: a seed, one life stopped everywhere, or a schedule made for it.
fn noticed(mutant: Mutant) -> Option<(String, String)> {
    let _switch = Switch::on(mutant);
    let by_seed = || (0..TRIES).find_map(|seed| run(seed, false).err().map(|why| (format!("seed {seed}"), why)));
    let by_boundary = || caught(|| boundaries(3, 7)).err().map(|why| ("a boundary".to_owned(), why));
    let by_schedule = || {
        let (_, schedule) = HELD.iter().find(|(held, _)| *held == mutant)?;
        caught(schedule).err().map(|why| ("a schedule of its own".to_owned(), why))
    };
    by_seed().or_else(by_boundary).or_else(by_schedule)
}

/// Without damage nothing follows from these: a sync of a segment that is written covers its first page too; the second
/// snapshot is there for a damaged first one; the record of sealing comes after all that the newest state was made of.
const HARMLESS: [Mutant; 3] = [Mutant::HeaderNotSynced, Mutant::OneSnapshot, Mutant::LiveNow];

/// `TOWLINE_SIM_MUTANT` runs one, also of those that are left out.
#[test]
fn every_mutant_is_caught() {
    let one = std::env::var("TOWLINE_SIM_MUTANT").ok();
    let mut missed = Vec::new();
    let is_run = |mutant: &Mutant| match &one {
        Some(one) => *one == format!("{mutant:?}"),
        None => !HARMLESS.contains(mutant),
    };
    for mutant in Mutant::ALL.into_iter().filter(is_run) {
        match noticed(mutant) {
            Some((by, why)) => println!("{mutant:?}: {by}: {}", why.lines().take(2).collect::<String>()),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "nobody notices {missed:?} in {TRIES} seeds");
}
