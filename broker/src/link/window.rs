//! How much credit is passed on, for the items of one stream in one direction.
//!
//! ```text
//!  receiver --asked--> Window --passed--> sender         passed <= asked
//!  receiver <--written-- Window <--arrived-- sender      passed - written <= width at every grant
//! ```
//! An item arrives with its last fragment and is written once the write that held its last byte has returned. The
//! window lives with the receiver's link: three of the four events happen under that link's lock.

use bytes::BytesMut;
use rsocket::flags;
use rsocket::frame::LENGTH;
use std::collections::VecDeque;

/// Bounds of a window, from configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that all windows towards one receiver share.
    pub total: usize,
    /// The least and the most bytes one window may hold.
    pub bytes: (usize, usize),
    /// The most items.
    pub items: u64,
    /// Bytes that may be parked for one stream.
    pub park: usize,
}

impl Limits {
    /// Bytes one of `streams` windows towards a receiver may hold; a receiver over its mark gets items one by one.
    pub(crate) fn share(&self, streams: usize, is_over_mark: bool) -> usize {
        if is_over_mark { 1 } else { (self.total / streams.max(1)).clamp(self.bytes.0, self.bytes.1) }
    }

    /// Items of `size` bytes (0: not known yet) that fit a share.
    pub(crate) fn width(&self, share: usize, size: usize) -> u64 {
        match size {
            _ if share <= 1 => 1,
            0 => 8,
            size => (share / size).clamp(1, self.items as usize) as u64,
        }
    }
}

/// A decaying maximum of item sizes: what one item should be expected to weigh.
pub(crate) fn expected_size(before: usize, item: usize) -> usize {
    item.max(before - before / 64)
}

/// What to do with an item that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Relay it.
    Relay,
    /// Relay it, and count: the sender had not been given credit for it, but the receiver had asked.
    Early,
    /// Keep it: the receiver has not asked for it.
    Park,
}

#[derive(Debug, Default)]
pub(crate) struct Window {
    asked: u64,
    passed: u64,
    arrived: u64,
    written: u64,
    size: usize,
    unfinished: usize,
    parked: VecDeque<(BytesMut, bool)>,
    parked_bytes: usize,
}

impl Window {
    /// A window whose receiver has asked for `asked` items.
    pub(crate) fn new(asked: u64) -> Self {
        Self { asked, ..Self::default() }
    }

    /// The sender was told of `passed` items in the request itself and is expected to send items of `size` bytes.
    pub(crate) fn opened(&mut self, passed: u64, size: usize) {
        self.passed = self.passed.max(passed);
        self.size = self.size.max(size);
    }

    /// The receiver asked for more.
    pub(crate) fn ask(&mut self, n: u64) {
        self.asked = self.asked.saturating_add(n).min(i64::MAX as u64);
    }

    /// Credit to pass on now: nothing until half the width is used up.
    pub(crate) fn grant(&mut self, limits: &Limits, share: usize) -> u32 {
        let width = limits.width(share, self.size);
        if self.passed.saturating_sub(self.written) > width / 2 {
            return 0;
        }
        let target = self.asked.min(self.written + width);
        let grant = target.saturating_sub(self.passed);
        self.passed += grant;
        grant as u32
    }

    /// A frame of an item came; `is_last` if the item ends with it.
    pub(crate) fn arrive(&mut self, bytes: usize, is_last: bool) -> Arrival {
        self.unfinished += bytes;
        let is_asked = self.arrived < self.asked && self.parked.is_empty();
        if is_last {
            self.size = expected_size(self.size, self.unfinished);
            self.unfinished = 0;
            if is_asked {
                self.arrived += 1;
            }
        }
        if !is_asked {
            Arrival::Park
        } else if self.arrived > self.passed {
            self.passed = self.arrived;
            Arrival::Early
        } else {
            Arrival::Relay
        }
    }

    /// Whether what comes now must wait behind parked frames.
    pub(crate) fn is_parking(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Keeps a frame until the receiver asks; false if that would be more than `limits.park`.
    #[must_use]
    pub(crate) fn park(&mut self, frame: BytesMut, ends_item: bool, limits: &Limits) -> bool {
        self.parked_bytes += frame.len();
        self.parked.push_back((frame, ends_item));
        self.parked_bytes + 64 * self.parked.len() <= limits.park
    }

    /// The next parked frame the receiver has asked for, and whether it ends an item. Frames that end no item and
    /// follow the last one asked for (COMPLETE, ERROR) come at once.
    pub(crate) fn release(&mut self) -> Option<(BytesMut, bool)> {
        let is_asked = self.arrived < self.asked;
        let has_item = self.parked.iter().any(|(frame, ends_item)| *ends_item || is_fragment(frame));
        if !is_asked && has_item {
            return None;
        }
        let (frame, ends_item) = self.parked.pop_front()?;
        self.parked_bytes -= frame.len();
        if ends_item {
            self.arrived += 1;
            self.passed = self.passed.max(self.arrived);
        }
        Some((frame, ends_item))
    }

    /// Bytes parked.
    pub(crate) fn parked(&self) -> usize {
        self.parked_bytes + 64 * self.parked.len()
    }

    /// An item was written to the receiver.
    pub(crate) fn written(&mut self) {
        self.written += 1;
    }
}

/// Whether a parked frame has more of its item behind it; beside COMPLETE, FOLLOWS says nothing.
fn is_fragment(frame: &[u8]) -> bool {
    let bits = frame.get(LENGTH + 5).map_or(0, |bits| u16::from(*bits));
    bits & (flags::FOLLOWS | flags::COMPLETE) == flags::FOLLOWS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { total: 8 << 20, bytes: (8 << 10, 256 << 10), items: 1024, park: 256 << 10 };

    #[derive(Clone, Debug)]
    enum Op {
        Ask(u32),
        Arrive(usize),
        Overrun(usize),
        Write,
        Crowd(usize),
        Mark(bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            prop_oneof![1u32..300, Just(0x7FFF_FFFF)].prop_map(Op::Ask),
            (1usize..100_000).prop_map(Op::Arrive),
            (1usize..1_000).prop_map(Op::Overrun),
            Just(Op::Write),
            (1usize..2_000).prop_map(Op::Crowd),
            any::<bool>().prop_map(Op::Mark),
        ]
    }

    proptest! {
        #[test]
        fn credit_is_never_in_excess_and_eventually_granted(ops in prop::collection::vec(op(), 1..400)) {
            let mut window = Window::new(1);
            let (mut streams, mut over) = (1, false);
            let (mut queued, mut relayed, mut parked) = (0u64, 0u64, 0u64);
            let first = window.grant(&LIMITS, LIMITS.share(1, false));
            prop_assert_eq!(first, 1);
            for op in ops {
                let can_send = window.passed.saturating_sub(window.arrived);
                match op {
                    Op::Ask(n) => {
                        window.ask(n.into());
                        while let Some((_, ends)) = window.release() { parked -= u64::from(ends); queued += u64::from(ends); relayed += 1; }
                    }
                    Op::Arrive(size) if can_send > 0 && parked == 0 => {
                        prop_assert_eq!(window.arrive(size, true), Arrival::Relay);
                        queued += 1;
                        relayed += 1;
                    }
                    Op::Arrive(_) => {}
                    Op::Overrun(size) => match window.arrive(size, true) {
                        Arrival::Park => { parked += 1; prop_assume!(window.park(BytesMut::zeroed(size), true, &LIMITS)); }
                        _ => { queued += 1; relayed += 1; }
                    },
                    Op::Write if queued > 0 => { queued -= 1; window.written(); }
                    Op::Write => {}
                    Op::Crowd(n) => streams = n,
                    Op::Mark(is) => over = is,
                }
                let share = LIMITS.share(streams, over);
                let granted = window.grant(&LIMITS, share);
                prop_assert!(window.passed <= window.asked, "passed more than asked");
                prop_assert!(relayed <= window.asked, "an item nobody asked for was relayed");
                if granted > 0 {
                    prop_assert!(window.passed - window.written <= LIMITS.width(share, window.size));
                }
            }
            let mut turns = 0;
            // The receiver reads everything: whatever it asked for is granted in the end.
            let goal = window.asked.min(window.arrived + 2_000);
            while window.passed < goal {
                let owed = window.passed - window.written;
                for _ in 0..owed { if window.arrived < window.passed { window.arrive(10, true); } window.written(); }
                window.grant(&LIMITS, LIMITS.share(streams, over));
                turns += 1;
                prop_assert!(turns < 20_000, "credit starved");
            }
        }
    }

    #[test]
    fn widths_follow_share_and_size() {
        assert_eq!(LIMITS.share(1, false), 256 << 10);
        assert_eq!(LIMITS.share(100, false), (8 << 20) / 100);
        assert_eq!(LIMITS.share(10_000, false), 8 << 10);
        assert_eq!(LIMITS.width(256 << 10, 0), 8);
        assert_eq!(LIMITS.width(256 << 10, 128), 1024);
        assert_eq!(LIMITS.width(256 << 10, 16 << 20), 1);
        assert_eq!(LIMITS.width(LIMITS.share(1, true), 16), 1);
    }

    #[test]
    fn credit_beyond_what_can_be_counted_is_credit_without_end() {
        let mut window = Window::new(i64::MAX as u64 - 1);
        for n in [1, 0x7FFF_FFFF, u64::MAX] {
            window.ask(n);
            assert_eq!(window.asked, i64::MAX as u64);
        }
        window.passed = 1 << 40;
        (window.arrived, window.written) = (window.passed, window.passed);
        assert_eq!(window.grant(&LIMITS, LIMITS.share(1, false)), 8, "beyond 2^31 and 2^32 items it goes on");
        assert_eq!(window.arrive(5, true), Arrival::Relay);
    }

    #[test]
    fn a_complete_behind_parked_items_waits_for_them() {
        let mut window = Window::new(1);
        assert_eq!(window.arrive(5, true), Arrival::Early);
        assert_eq!(window.arrive(5, true), Arrival::Park);
        assert!(window.park(BytesMut::zeroed(5), true, &LIMITS));
        assert!(window.is_parking());
        assert!(window.park(BytesMut::zeroed(3), false, &LIMITS));
        assert_eq!(window.release(), None);
        window.ask(1);
        assert!(window.release().unwrap().1);
        assert_eq!(window.release(), Some((BytesMut::zeroed(3), false)));
        assert_eq!(window.release(), None);
    }

    #[test]
    fn parking_is_bounded() {
        let mut window = Window::new(0);
        let taken = (0..).take_while(|_| window.park(BytesMut::new(), true, &LIMITS)).count();
        assert_eq!(taken, (256 << 10) / 64);
    }
}
