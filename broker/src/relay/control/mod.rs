//! Stream 0: frames of the connection itself, and what an app tells of itself by METADATA_PUSH.
//!
//! Invariant: whatever of this costs more than reading it has a rate.

mod events;
mod frames;
mod pace;

pub(crate) use events::Events;
pub(crate) use frames::Control;
pub(crate) use pace::Pace;
