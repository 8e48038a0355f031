//! The embedded engine: one log holds everything first; what is sorted or summed up out of it can be made again.
//!
//! ```text
//!  the data folder
//!    lock                      held by one process; the pid in it is for people
//!    segment-ID-SEED.v1        the log, in preallocated files          64 MiB each
//!    sealed-ID-SEED.v1         full segments again, sorted by topic    replace segments and older sealed files
//!    snapshot-ID-SEED.v1       the state as of one sequence            two that count are kept
//!    spare-ID-SEED.v1          preallocated, for a disk that is full
//!    quarantine/               what no rule explains
//!
//!  a file       | 4 KiB: magic, version, kind, id, seed, crc | ... |      ids are given once; the name says id and seed too
//!  a segment    | file header | group | group | ... | zeros or what a former life of the file left, which no seed fits |
//!
//!  a group      begins at a multiple of 64
//!    0 crc32c seeded with the file's seed: of what follows, and of all records' checksums and lengths
//!    4 records    8 sequence   16 sequence of the group before   24 synced
//!   32 kept   40 first   48 last        (of the recovery the file was begun by, else zeros)
//!   56 bytes of the records   60 flags   64 records (../record.rs), then zeros to the next multiple of 64
//! ```
//! A **sequence** is the place of a group: segment id x 2^20 + position / 64; sequences grow. **synced** is the highest one such
//! that every file that holds a sequence up to it was synced after that was written.
//!
//! The rules that follow from it, each with its test, are drawn where they are kept:
//!
//! ```text
//!  group  sequence  file   pure: encode, check            disk/      real, simulated
//!  front  reserved   the open batch: offsets are given    write  sync  roll     batches to groups to certainty
//!  recover    what of a folder counts                     snapshot   state, as of one sequence
//!  sealed  seal     sorted files, and what they replace   index  recent  ranges  reader     where a message is
//!  unread     files that could not be read                threads    who runs what
//!  fsck       looks at a folder without changing it
//! ```

mod catalog;
mod certainty;
mod chain;
mod core;
pub(crate) mod disk;
mod engine;
mod file;
mod front;
pub mod fsck;
mod fuzzing;
mod group;
mod index;
mod keeper;
pub(crate) mod mutant;
mod ranges;
mod reader;
mod recent;
mod recover;
mod reserved;
mod scan;
mod seal;
pub(crate) mod sealed;
mod segment;
mod sequence;
mod snapshot;
mod survey;
mod threads;
mod unread;
mod write;

#[cfg(test)]
mod tests;

pub use core::Settings as LogSettings;
pub use engine::Log;
pub(crate) use fuzzing::{check_group, finish_group, sequence_at, snapshot_contents, snapshot_pages};
pub(crate) use group::Found as GroupFound;
