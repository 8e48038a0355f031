//! Messages of full segments again, sorted by topic and offset: what reading behind the front is quick by.
//!
//! ```text
//!  | first page | replaces | records, packed | 0.. | level 0 | level 1 .. root | runs | replaces | footer | footer |
//!  0           4 KiB       by (topic, offset)      from here on pages of 4 KiB, each with its own seeded checksum
//!
//!  level 0   every record: topic, offset, timestamp, length; about 4 bytes for each       entry  leaf
//!  level n   first record of each page of the level below, and how many it covers         inner
//!  runs      for each topic: offsets, count, bytes, timestamps; for accounting            runs
//!  replaces  ids of the files it replaces, before the records and after them              page
//!  footer    where all this is; written and synced after all this was synced              footer
//!
//!  write    what makes a file     builder  its directory, out of its records    window    reading in large pieces
//!  open  directory  what a file is, and its pages    rebuild  a damaged page out of the records    cache     pages of directories in memory
//!  read     by offset, by time    records  merge  sort     streams to write     verify    read back, and what fsck lists
//! ```
//! Invariant: a record is where two say so that do not lie in one page: its own checksummed header and the directory. So one
//! damaged record is one lost message, known by its offset, and a damaged page of the directory loses nothing.
//!
//! A footer that is right says that everything before it was synced: a file without one was never finished, or lost it since.
//! Which of the two, only the log knows; for the second there is [`salvage`].

mod builder;
mod cache;
mod directory;
mod entry;
mod footer;
mod inner;
mod leaf;
mod merge;
mod open;
mod page;
mod read;
mod rebuild;
mod records;
mod runs;
mod sort;
mod verify;
mod window;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use cache::Directories;
pub(crate) use merge::merge;
pub(crate) use open::{Opened, Sealed, open, salvage};
pub(crate) use records::{Keep, Kept};
pub(crate) use sort::{MOST_BYTES, Memory, Piece, sort};
pub(crate) use verify::Damage;
pub(crate) use write::write;
