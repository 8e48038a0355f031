//! What every file of the log begins with, and is called.

use crate::store::wire::Put;
use std::fmt;

#[cfg(test)]
mod tests;

/// Bytes before a file's own content.
pub(crate) const PAGE: usize = 4096;
/// The format this version writes; what a newer one wrote is refused, and so is what an older one did, by its number.
pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"TOWLINE\0";

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Segment,
    Sealed,
    Snapshot,
    /// Preallocated, and nothing in it.
    Spare,
}

impl Kind {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Segment, "segment"), (Self::Sealed, "sealed"), (Self::Snapshot, "snapshot"), (Self::Spare, "spare")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

/// Which file: its name says the same as its first page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    pub kind: Kind,
    /// Given once in a folder, whatever the kind; the greater one is the younger.
    pub id: u64,
    /// Random: bytes that another file left behind, or that a message holds, fit no checksum seeded with it.
    pub seed: u64,
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:011x}-{:016x}.v{VERSION}", self.kind.word(), self.id, self.seed)
    }
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A file of this version.
    Ours(FileId),
    /// A file of another version of the format.
    Version(u32),
    /// None of ours.
    Other,
}

impl Named {
    pub(crate) fn read(name: &str) -> Self {
        let Some((stem, version)) = name.rsplit_once(".v") else { return Self::Other };
        let Ok(version) = version.parse() else { return Self::Other };
        let mut parts = stem.split('-');
        let (Some(word), Some(id), Some(seed), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Self::Other;
        };
        let Some((kind, _)) = Kind::ALL.into_iter().find(|(_, known)| *known == word) else { return Self::Other };
        if version != VERSION {
            return Self::Version(version);
        }
        match (u64::from_str_radix(id, 16), u64::from_str_radix(seed, 16)) {
            (Ok(id), Ok(seed)) => {
                let file = FileId { kind, id, seed };
                if file.to_string() == name { Self::Ours(file) } else { Self::Other }
            }
            _ => Self::Other,
        }
    }
}

/// The first page of a file.
pub(crate) fn page(file: FileId) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE);
    page.extend_from_slice(MAGIC);
    page.u32(VERSION);
    page.u8(Kind::ALL.iter().position(|(kind, _)| *kind == file.kind).unwrap_or(0) as u8);
    page.extend_from_slice(&[0; 3]);
    page.u64(file.id);
    page.u64(file.seed);
    page.u32(crc32c::crc32c(&page));
    page.resize(PAGE, 0);
    page
}

/// True if a file begins as the file it is named: what is not, was never finished, or is damaged.
pub(crate) fn is_page_of(page: &[u8], file: FileId) -> bool {
    let expected = self::page(file);
    page.len() >= 36 && page[..36] == expected[..36]
}
