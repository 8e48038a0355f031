//! Limits, and those who do not keep to them or to their credit: scripted peers over real TCP.

mod harness;

#[path = "pressure/budget.rs"]
mod budget;
#[path = "pressure/limits.rs"]
mod limits;
#[path = "pressure/overrun.rs"]
mod overrun;
#[path = "pressure/stalls.rs"]
mod stalls;
