//! Reading a file in large pieces.

use crate::store::log::disk::File;
use bytes::Bytes;
use std::io;

/// Bytes read at once, at least.
pub(super) const PIECE: usize = 1 << 20;

/// A piece of a file in memory. What it gave out stays when it moves on.
#[derive(Debug)]
pub(super) struct Window<'a> {
    file: &'a dyn File,
    /// Reads the disk itself.
    is_past_cache: bool,
    /// Where it may read to.
    end: u64,
    from: u64,
    bytes: Bytes,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn File, is_past_cache: bool, end: u64) -> Self {
        Self { file, is_past_cache, end, from: 0, bytes: Bytes::new() }
    }

    /// So many bytes at `at`: fewer, if the file or what may be read of it ends before.
    pub(super) fn bytes(&mut self, at: u64, len: usize) -> io::Result<Bytes> {
        let len = len.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        let has_all = at >= self.from && at + len as u64 <= self.from + self.bytes.len() as u64;
        if !has_all {
            let piece = PIECE.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
            // Nothing is held of a piece that could not be read.
            self.bytes = Bytes::new();
            self.bytes = read(self.file, at, len.max(piece), self.is_past_cache)?;
            self.from = at;
        }
        let start = (at - self.from) as usize;
        Ok(self.bytes.slice(start..self.bytes.len().min(start + len)))
    }
}

/// So many bytes of a file, fewer at its end.
pub(super) fn read(file: &dyn File, at: u64, len: usize, is_past_cache: bool) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    let read = if is_past_cache { file.read_past_cache(&mut bytes, at)? } else { file.read_at(&mut bytes, at)? };
    bytes.truncate(read);
    Ok(bytes.into())
}
