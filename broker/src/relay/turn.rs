//! Whether a read loop gives the others a turn before it writes.
//!
//! What they read meanwhile joins the same writes, which under load saves half of the system calls. With nobody else to
//! read, the turn is one more look at the poller before each write: a loop that has waited in vain tries it only now and
//! then.

use std::cell::Cell;

/// Turns given in vain before they become rare.
const PATIENCE: u32 = 4;
/// Then one in so many.
const RARELY: u32 = 32;
/// A read of so many bytes is worth a write of its own, while it is still in the cache.
const LARGE: usize = 32 * 1024;

thread_local! {
    /// Reads handled on this thread, by whichever loop.
    static READS: Cell<u64> = const { Cell::new(0) };
}

/// What one read loop has seen of the others.
#[derive(Debug, Default)]
pub(super) struct Turn {
    in_vain: u32,
}

impl Turn {
    /// A read was handled.
    pub(super) fn taken() {
        READS.set(READS.get().wrapping_add(1));
    }

    /// Whether to give one now, after a read of so many bytes; then, [`Self::given`] is told what this returned.
    pub(super) fn is_due(&mut self, read: usize) -> Option<u64> {
        if read >= LARGE {
            return None;
        }
        if self.in_vain >= PATIENCE {
            self.in_vain += 1;
            if self.in_vain < PATIENCE + RARELY {
                return None;
            }
            self.in_vain = PATIENCE - 1;
        }
        Some(READS.get())
    }

    /// The turn is over. On another thread than before the count says nothing, and passes for company.
    pub(super) fn given(&mut self, before: u64) {
        self.in_vain = if READS.get() == before { self.in_vain + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(turn: &mut Turn, has_company: bool) -> bool {
        let Some(before) = turn.is_due(1) else { return false };
        if has_company {
            Turn::taken();
        }
        turn.given(before);
        true
    }

    #[test]
    fn alone_a_loop_soon_writes_at_once_and_goes_on_looking_for_company() {
        let mut turn = Turn::default();
        let given = (0..PATIENCE + 4 * RARELY).filter(|_| due(&mut turn, false)).count() as u32;
        assert_eq!(given, PATIENCE + 4);
        let until_noticed = (0..).take_while(|_| !due(&mut turn, true)).count() as u32;
        assert!(until_noticed <= RARELY, "{until_noticed}");
        assert!((0..100).all(|_| due(&mut turn, true)), "in company every write waits a turn");
        assert_eq!(turn.is_due(LARGE), None);
    }
}
