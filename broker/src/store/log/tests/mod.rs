//! The engine over the simulated disk, step by step, and over a real one.

mod at_once;
mod closed;
mod conformance;
mod damage;
mod faults;
mod finding;
mod fsck;
mod rare;
mod replaced;
mod simulation;
mod steps;
mod support;
mod unsealed;
mod volume;
