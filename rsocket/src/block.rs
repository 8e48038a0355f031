//! Blocks of memory that are read into and written from, handed on from use to use on one thread: still in the cache, with
//! no page to fault in and nothing to copy while they grow.

use bytes::BytesMut;
use std::cell::RefCell;

/// What one block is meant to hold, in bytes; a larger one is not kept.
pub const SIZE: usize = 64 * 1024;
/// The smallest that is worth keeping.
const LEAST: usize = 4 * 1024;
/// Blocks each thread keeps.
const KEPT: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty block that this thread has used before, or one without memory if it has none.
#[must_use]
pub fn take() -> BytesMut {
    SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// Keeps a block for the next [`take`], if it is nobody else's, neither small nor large, and this thread has few.
pub fn give(mut block: BytesMut) {
    block.clear();
    if block.try_reclaim(LEAST) && block.capacity() < 2 * SIZE {
        // At the end of a thread there is nothing to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(block);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_handed_on_and_shared_or_large_ones_are_not() {
        give(BytesMut::with_capacity(SIZE));
        assert!(take().capacity() >= SIZE);
        assert_eq!(take().capacity(), 0);

        let mut shared = BytesMut::from(&[1; SIZE][..]);
        let _part = shared.split_to(SIZE - 10);
        give(shared);
        give(BytesMut::with_capacity(3 * SIZE));
        give(BytesMut::with_capacity(LEAST / 2));
        assert_eq!(take().capacity(), 0);

        (0..2 * KEPT).for_each(|_| give(BytesMut::with_capacity(SIZE)));
        assert_eq!((0..2 * KEPT).filter(|_| take().capacity() > 0).count(), KEPT);
    }
}
