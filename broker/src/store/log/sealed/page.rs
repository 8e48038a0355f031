//! A page of a sealed file that is not records: 4 KiB that are checked alone.
//!
//! ```text
//!  0 crc32c seeded with the file's seed, of all that follows   4 role   8 entries   12 number   16 of how many   20 zero   24 ..
//! ```
//! Role and number are in the page: one that lies where another should is noticed.

use crate::store::log::file::PAGE;
use crate::store::wire::{Put, Take};

/// Bytes of a page before its content.
pub(super) const HEADER: usize = 24;
/// Ids of files in one page.
const IDS: usize = (PAGE - HEADER) / 8;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Of the directory; 0 are the leaves.
    Level(u8),
    Runs,
    Replaces,
    Footer,
}

impl Role {
    fn code(self) -> u8 {
        match self {
            Self::Level(level) => level,
            Self::Runs => 0x80,
            Self::Replaces => 0x81,
            Self::Footer => 0x82,
        }
    }
}

/// What a page's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub entries: u32,
    pub number: u32,
    pub of: u32,
}

/// Completes a page: `bytes` are [`HEADER`] bytes and the content. One that is longer can be made in memory only.
pub(super) fn finish(mut bytes: Vec<u8>, role: Role, header: Header, seed: u64) -> Vec<u8> {
    bytes.resize(bytes.len().max(PAGE), 0);
    let mut head = Vec::with_capacity(HEADER);
    head.u32(0);
    for value in [u32::from(role.code()), header.entries, header.number, header.of, 0] {
        head.u32(value);
    }
    bytes[..HEADER].copy_from_slice(&head);
    let crc = checksum(&bytes, seed);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The header of a page that is what it should be.
pub(super) fn check(bytes: &[u8], role: Role, seed: u64) -> Option<Header> {
    let mut take = Take(bytes);
    let is_right = bytes.len() == PAGE && take.u32()? == checksum(bytes, seed);
    if !is_right || take.u32()? != u32::from(role.code()) {
        return None;
    }
    Some(Header { entries: take.u32()?, number: take.u32()?, of: take.u32()? })
}

/// The entries and the content of a page that has been checked.
pub(super) fn content(bytes: &[u8]) -> (u32, &[u8]) {
    let entries = Take(bytes.get(8..).unwrap_or_default()).u32();
    (entries.unwrap_or(0), bytes.get(HEADER..).unwrap_or_default())
}

fn checksum(bytes: &[u8], seed: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&seed.to_le_bytes()), &bytes[4..])
}

/// The pages that list the files a file replaces: one at least.
pub(super) fn replaces(ids: &[u64], seed: u64) -> Vec<Vec<u8>> {
    let of = ids.len().div_ceil(IDS).max(1) as u32;
    let page = |number: u32| {
        let from = number as usize * IDS;
        let ids = &ids[from..ids.len().min(from + IDS)];
        let mut bytes = vec![0; HEADER];
        ids.iter().for_each(|id| bytes.u64(*id));
        finish(bytes, Role::Replaces, Header { entries: ids.len() as u32, number, of }, seed)
    };
    (0..of).map(page).collect()
}

/// The ids in a page of them that has been checked.
pub(super) fn ids(bytes: &[u8]) -> Option<Vec<u64>> {
    let (entries, content) = content(bytes);
    let mut take = Take(content);
    (0..entries).map(|_| take.u64()).collect()
}
