//! Blocks of memory that are read into and written from, handed on from use to use on one thread: still in the cache, with
//! no page to fault in and nothing to copy while they grow.

use bytes::BytesMut;
use std::cell::RefCell;

/// What a block that is written from holds, in bytes.
pub const SIZE: usize = 64 * 1024;
/// What one that is read into holds: all that a connection with 32 requests of 4 KB has outstanding.
pub const WIDE: usize = 4 * SIZE;
/// Blocks of each size that a thread keeps.
const KEPT: [usize; 2] = [8, 4];

thread_local! {
    static SPARE: RefCell<[Vec<BytesMut>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// An empty block, if there is one that this thread has used before.
#[must_use]
pub fn take() -> BytesMut {
    spare(0).unwrap_or_else(|| BytesMut::with_capacity(SIZE))
}

/// The same of a wide one.
#[must_use]
pub fn take_wide() -> BytesMut {
    spare(1).unwrap_or_else(|| BytesMut::with_capacity(WIDE))
}

fn spare(class: usize) -> Option<BytesMut> {
    SPARE.try_with(|spare| spare.borrow_mut()[class].pop()).ok().flatten()
}

/// Keeps a block for the next [`take`], if it is whole, nobody else's and this thread has few.
pub fn give(mut block: BytesMut) {
    let seen = block.capacity();
    block.clear();
    // The last one that holds a part of a block has all of it.
    let is_whole = block.try_reclaim(seen + 1) || [SIZE, WIDE].contains(&seen);
    let class = match block.capacity() {
        SIZE..WIDE => 0,
        WIDE => 1,
        _ => return,
    };
    if is_whole {
        // At the end of a thread there is nothing to keep it for.
        let _ = SPARE.try_with(|spare| {
            let spare = &mut spare.borrow_mut()[class];
            if spare.len() < KEPT[class] {
                spare.push(block);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_handed_on_and_shared_small_or_large_ones_are_not() {
        let kept = || SPARE.with_borrow(|spare| spare.each_ref().map(Vec::len));
        give(BytesMut::with_capacity(SIZE));
        give(BytesMut::with_capacity(WIDE));
        assert_eq!(kept(), [1, 1]);
        assert_eq!([take().capacity(), take_wide().capacity()], [SIZE, WIDE]);
        assert_eq!(kept(), [0, 0]);

        give(BytesMut::with_capacity(3 * WIDE));
        give(BytesMut::with_capacity(SIZE / 2));
        assert_eq!(kept(), [0, 0]);

        (0..2 * KEPT[0]).for_each(|_| give(BytesMut::with_capacity(SIZE)));
        (0..2 * KEPT[1]).for_each(|_| give(BytesMut::with_capacity(WIDE)));
        assert_eq!(kept(), KEPT);
    }

    #[test]
    fn a_block_in_parts_is_handed_on_by_the_last_who_has_one() {
        for (at, used) in [(1, WIDE), (100, WIDE), (WIDE - 10, WIDE), (SIZE, 2 * SIZE)] {
            let mut rest = take_wide();
            rest.resize(used, 7);
            let [one, two] = [rest.split_to(at), rest.split_to((used - at) / 2)];
            for (nth, part) in [two, rest, one].into_iter().enumerate() {
                assert_eq!(SPARE.with_borrow(|spare| spare[1].len()), 0, "{nth} of {at}");
                give(part);
            }
            assert_eq!(take_wide().capacity(), WIDE);
        }
    }
}
