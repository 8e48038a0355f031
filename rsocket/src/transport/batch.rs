use crate::block;
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Bytes to be written, in chunks that keep their memory.
#[derive(Debug, Default)]
pub struct Batch {
    chunks: VecDeque<BytesMut>,
    len: usize,
}

impl Batch {
    /// Appends a chunk; an empty one is dropped.
    pub fn push(&mut self, chunk: BytesMut) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `slices` with the front chunks and returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    /// Drops `n` bytes from the front; a chunk that is all gone is a spare block.
    pub fn advance(&mut self, mut n: usize) {
        self.len -= n;
        while n > 0 {
            let front = self.chunks.front_mut().expect("advance stays within the batch");
            if n < front.len() {
                front.advance(n);
                return;
            }
            n -= front.len();
            self.chunks.pop_front().into_iter().for_each(block::give);
        }
    }

    /// Moves what will have to wait into memory of its own size, so that it pins no block: also what may be a part of one that
    /// others read into, as any chunk without room behind it may be.
    pub fn fit(&mut self) {
        let is_part = |chunk: &BytesMut| chunk.capacity() == chunk.len() && chunk.len() < block::WIDE / 2;
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.capacity() / 2 > chunk.len() || is_part(chunk)) {
            let fitting = BytesMut::from(&chunk[..]);
            block::give(std::mem::replace(chunk, fitting));
        }
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        while self.len > len {
            let over = self.len - len;
            let back = self.chunks.back_mut().expect("a batch has as many bytes as it counts");
            if back.len() > over {
                back.truncate(back.len() - over);
                self.len = len;
            } else {
                self.len -= back.len();
                self.chunks.pop_back();
            }
        }
    }

    /// Puts a chunk behind the first `at` bytes.
    pub fn insert(&mut self, at: usize, chunk: BytesMut) {
        let (mut index, mut left) = (0, at);
        while left > 0 {
            let len = self.chunks[index].len();
            if left < len {
                let rest = self.chunks[index].split_off(left);
                self.chunks.insert(index + 1, rest);
            }
            left -= left.min(len);
            index += 1;
        }
        self.len += chunk.len();
        self.chunks.insert(index, chunk);
    }

    /// Takes the first chunk out.
    pub fn pop(&mut self) -> Option<BytesMut> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len();
        Some(chunk)
    }

    /// The first chunk, if the batch holds that one alone: what a plain write takes.
    pub fn single(&self) -> Option<&[u8]> {
        (self.chunks.len() == 1).then(|| &self.chunks[0][..])
    }
}
