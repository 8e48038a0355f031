//! What fuzzing runs: one function per target, from bytes to nothing; a panic is a finding.
//!
//! `src/bin/` gives each to libFuzzer, `tests/fuzz.rs` runs each over its corpus and over seeded mutations of it.
//!
//! ```text
//!  frames  metadata  websocket  calls  config    decoders, each with the promise that goes beyond "no panic"
//!  (broker)                                      decoders inside the broker, in towline::fuzzing
//!  relay                                         a broker, and connections that play a script
//!  engine                                        an app's connection, and a peer that plays a script
//! ```

mod calls;
mod config;
mod engine;
mod frames;
mod input;
mod metadata;
mod panics;
mod relay;
mod script;
mod seeds;
mod websocket;

pub use calls::{answering, arguments, errors};
pub use config::config;
pub use engine::engine;
pub use frames::{codec, fragments, frame};
pub use metadata::{composite, credentials, mimes, tags};
pub use relay::relay;
pub use seeds::seeds;
pub use towline::fuzzing::{event, gathering, hessian, log_group, log_record, log_snapshot, reframe, route, setup};
pub use websocket::{upgrade, websocket};
