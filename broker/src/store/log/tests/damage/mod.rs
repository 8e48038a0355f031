//! What is damaged is noticed, is as small as it can be, and costs nothing else (rule 4).

mod cuts;
mod flips;
mod lost;
mod world;

pub(super) use world::{End, World};
