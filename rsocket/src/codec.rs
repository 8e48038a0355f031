//! 24-bit length framing over a read buffer: frames are found in place, large ones cut out without a copy.

use crate::block;
use crate::error::FrameError;
use crate::frame::{LENGTH, MAX_FRAME};
use bytes::{Buf, BytesMut};

/// Bytes read from a byte stream and not yet handled.
///
/// The buffer grows only as bytes arrive: a length field that announces 16 MiB reserves nothing by itself.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    bytes: BytesMut,
}

/// Bytes asked of the socket by one read.
const READ: usize = block::WIDE;
/// A rest so short moves to memory of its own.
const SHORT: usize = READ / 16;

impl ReadBuffer {
    /// An empty buffer that holds no memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where a transport appends what it reads. It doubles while a long frame arrives, but not past that frame's end.
    pub fn space(&mut self) -> &mut BytesMut {
        let len = self.bytes.len();
        if self.bytes.capacity() == 0 {
            self.bytes = block::take_wide();
        }
        let free = self.bytes.capacity() - len;
        let long = self.announced().map(|frame| LENGTH + frame).filter(|end| *end > len.max(READ));
        match long {
            Some(end) if free == 0 => {
                // What is left at the end is taken along rather than asked for again: no more than the frame.
                let doubled = len.max(READ) * 2;
                let mut grown = BytesMut::with_capacity(if end < doubled + READ { end } else { doubled });
                grown.extend_from_slice(&self.bytes);
                self.bytes = grown;
            }
            // The rest moves to another block: parts of this one may be on their way to others.
            None if free < READ / 4 && len <= READ / 2 => {
                let mut block = block::take_wide();
                block.extend_from_slice(&self.bytes);
                block::give(std::mem::replace(&mut self.bytes, block));
            }
            None if free < READ / 4 => self.bytes.reserve(READ),
            _ => {}
        }
        &mut self.bytes
    }

    /// The length of the first frame, its 3 length bytes included, if all of it is here.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] as soon as the length field says more than `max`.
    #[inline]
    pub fn complete(&self, max: usize) -> Result<Option<usize>, FrameError> {
        self.complete_at(0, max)
    }

    /// The same for the frame that begins `at` bytes behind the front.
    ///
    /// # Errors
    /// As [`Self::complete`].
    #[inline]
    pub fn complete_at(&self, at: usize, max: usize) -> Result<Option<usize>, FrameError> {
        match announced(&self.bytes[at..]) {
            Some(len) if len > max => Err(FrameError::TooLong { len, max }),
            Some(len) if self.bytes.len() - at >= LENGTH + len => Ok(Some(LENGTH + len)),
            _ => Ok(None),
        }
    }

    /// What the first length field says, once it is here: at most [`MAX_FRAME`].
    #[inline]
    pub fn announced(&self) -> Option<usize> {
        announced(&self.bytes)
    }

    /// All bytes, in place.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes in place.
    #[inline]
    pub fn range(&mut self, at: std::ops::Range<usize>) -> &mut [u8] {
        &mut self.bytes[at]
    }

    /// The frames that are here whole, without their lengths, up to one that is longer than `max`.
    pub fn frames(&self, max: usize) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let len = self.complete_at(at, max).ok()??;
            at += len;
            Some(&self.bytes[at - len + LENGTH..at])
        })
    }

    /// Drops the first `len` bytes.
    #[inline]
    pub fn consume(&mut self, len: usize) {
        self.bytes.advance(len);
    }

    /// Cuts the first `len` bytes out, without a copy.
    pub fn take(&mut self, len: usize) -> BytesMut {
        self.bytes.split_to(len)
    }

    /// Bytes that wait for the rest of their frame.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Memory held: all of the block, if this may be the rest of one.
    pub fn capacity(&self) -> usize {
        let capacity = self.bytes.capacity();
        if self.bytes.len() < SHORT { capacity } else { capacity.max(READ) }
    }

    /// Gives the memory back if nothing waits; a short rest moves to memory of its own size, so that an idle
    /// connection pins no read block.
    pub fn shrink(&mut self) {
        if self.bytes.is_empty() {
            block::give(std::mem::take(&mut self.bytes));
        } else if self.bytes.len() < SHORT {
            let rest = BytesMut::from(&self.bytes[..]);
            block::give(std::mem::replace(&mut self.bytes, rest));
        }
    }
}

fn announced(bytes: &[u8]) -> Option<usize> {
    const { assert!(MAX_FRAME == 0xFF_FFFF) }
    let [a, b, c] = *bytes.first_chunk::<3>()?;
    Some(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_any_cut() {
        let wire = [0, 0, 6, 0, 0, 0, 1, 36, 0, 0, 0, 7, 0, 0, 0, 2, 40, 64, 9];
        for step in 1..=wire.len() {
            let mut buffer = ReadBuffer::new();
            let mut frames = Vec::new();
            for part in wire.chunks(step) {
                buffer.space().extend_from_slice(part);
                while let Some(len) = buffer.complete(100).unwrap() {
                    frames.push(buffer.take(len).to_vec());
                }
            }
            assert_eq!(frames, [wire[..9].to_vec(), wire[9..].to_vec()], "cut every {step} bytes");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_long_frame_takes_no_more_memory_than_it_has_bytes() {
        for len in [READ - 3, READ, 100_000, 1 << 20, MAX_FRAME] {
            let mut wire = vec![0; LENGTH + len];
            wire[..LENGTH].copy_from_slice(&(len as u32).to_be_bytes()[1..]);
            let mut buffer = ReadBuffer::new();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let space = buffer.space();
                let free = (space.capacity() - space.len()).min(rest.len());
                assert!(free > 0, "{} bytes are left", rest.len());
                space.extend_from_slice(&rest[..free]);
                rest = &rest[free..];
            }
            assert!(buffer.capacity() <= (LENGTH + len).max(2 * READ), "{} bytes for {len}", buffer.capacity());
            assert_eq!(buffer.complete(MAX_FRAME), Ok(Some(LENGTH + len)));
        }
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut buffer = ReadBuffer::new();
        buffer.space().extend_from_slice(&[0xFF, 0xFF, 0xFF, 0]);
        assert_eq!(buffer.complete(MAX_FRAME), Ok(None));
        buffer.shrink();
        assert!(buffer.capacity() <= 64, "{}", buffer.capacity());
        assert_eq!(buffer.complete(1000), Err(FrameError::TooLong { len: MAX_FRAME, max: 1000 }));
    }
}
