//! Credit, and those who do not keep to it: scripted peers over real TCP.

mod harness;

#[path = "pressure/budget.rs"]
mod budget;
#[path = "pressure/credit.rs"]
mod credit;
#[path = "pressure/limits.rs"]
mod limits;
#[path = "pressure/overrun.rs"]
mod overrun;
#[path = "pressure/stalls.rs"]
mod stalls;
