//! Reading a file in large pieces.

use crate::store::log::disk::File;
use bytes::Bytes;
use std::io;
use std::ops::Range;

/// Bytes read at once, at least: what has to come from the disk in large pieces, else as much as stays in the processor's cache.
const PIECE: [usize; 2] = [128 << 10, 1 << 20];

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

    /// Goes on in another file, with the same memory.
    pub(super) fn turn_to(&mut self, file: &'a dyn File) {
        (self.file, self.from) = (file, u64::MAX);
    }

    /// So many bytes at `at`: fewer, if the file or what may be read of it ends before.
    pub(super) fn bytes(&mut self, at: u64, len: usize) -> io::Result<Bytes> {
        let range = self.load(at, len)?;
        Ok(self.bytes.slice(range))
    }

    /// The same for who is done with them before it asks again.
    pub(super) fn peek(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let range = self.load(at, len)?;
        Ok(&self.bytes[range])
    }

    /// Where they are in memory.
    fn load(&mut self, at: u64, len: usize) -> io::Result<Range<usize>> {
        let len = len.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        let has_all = at >= self.from && at + len as u64 <= self.from + self.bytes.len() as u64;
        if !has_all {
            let piece = PIECE[usize::from(self.is_past_cache)]
                .min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
            // Nothing is held of a piece that could not be read. What nobody else holds is read into again.
            let before = std::mem::take(&mut self.bytes).try_into_mut().ok();
            // One large record does not keep its memory.
            let mut bytes = before.filter(|bytes| bytes.capacity() <= len.max(PIECE[1])).unwrap_or_default();
            bytes.resize(len.max(piece), 0);
            let read = read_into(self.file, &mut bytes, at, self.is_past_cache)?;
            bytes.truncate(read);
            (self.bytes, self.from) = (bytes.freeze(), at);
        }
        let start = (at - self.from) as usize;
        Ok(start..self.bytes.len().min(start + len))
    }
}

/// So many bytes of a file, fewer at its end.
pub(super) fn read(file: &dyn File, at: u64, len: usize, is_past_cache: bool) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    let read = read_into(file, &mut bytes, at, is_past_cache)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

fn read_into(file: &dyn File, bytes: &mut [u8], at: u64, is_past_cache: bool) -> io::Result<usize> {
    if is_past_cache { file.read_past_cache(bytes, at) } else { file.read_at(bytes, at) }
}
