//! Routes that requests on this thread have named before: most requests repeat one of a few, and reading a route and
//! looking it up was a third of the broker's own work for a request.
//!
//! Invariant: nothing is kept alive. What is remembered is a place in one version of the routing table; another version
//! asks again.

use crate::routing::{Place, is_same};
use std::cell::RefCell;

/// Routes remembered, each in the one slot its bytes lead to.
const SLOTS: usize = 512;
/// The longest route remembered, in bytes.
const LONGEST: usize = 256;

struct Slot {
    /// Tags and binary text, one after the other, and where the second begins.
    bytes: Vec<u8>,
    cut: usize,
    place: Place,
}

thread_local! {
    static KNOWN: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) };
}

/// The place remembered for a route; of some version of the table.
pub(super) fn recall(route: [&[u8]; 2]) -> Option<Place> {
    KNOWN.with_borrow(|slots| {
        let slot = slots.get(slot(route))?.as_ref()?;
        let (tags, binary) = slot.bytes.split_at(slot.cut);
        (is_same(tags, route[0]) && is_same(binary, route[1])).then_some(slot.place)
    })
}

/// Remembers the place of a route, for as long as no other one needs its slot.
pub(super) fn remember(route: [&[u8]; 2], place: Place) {
    if route.iter().map(|bytes| bytes.len()).sum::<usize>() > LONGEST {
        return;
    }
    KNOWN.with_borrow_mut(|slots| {
        slots.resize_with(SLOTS, || None);
        let slot = &mut slots[slot(route)];
        let mut bytes = slot.take().map(|slot| slot.bytes).unwrap_or_default();
        bytes.clear();
        route.iter().for_each(|part| bytes.extend_from_slice(part));
        *slot = Some(Slot { bytes, cut: route[0].len(), place });
    });
}

/// Routes differ at their ends (methods) or in their middle (services).
fn slot(route: [&[u8]; 2]) -> usize {
    let part = if route[0].is_empty() { route[1] } else { route[0] };
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let middle = word(part[part.len() / 2..].first_chunk());
    let hash = mix(mix(part.len() as u64, word(part.last_chunk())), middle);
    (hash >> 7) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{RouteKey, Table};

    #[test]
    fn a_route_is_known_by_all_its_bytes() {
        let key = RouteKey { service: "a.B", ..RouteKey::default() };
        let place = Table::of([("a.B", "")]).locate(&key).expect("it is there");
        let route = *b"\x0bcom.acme.A.call";
        remember([&route, b""], place);
        assert!(recall([&route, b""]).is_some());
        assert!(recall([b"", &route]).is_none());
        for at in 0..route.len() {
            let mut other = route;
            other[at] ^= 1;
            assert!(recall([&other, b""]).is_none(), "byte {at}");
            assert!(recall([&route[..at], b""]).is_none());
        }
        let long = [7; LONGEST + 1];
        remember([&long, b""], place);
        assert!(recall([&long, b""]).is_none());
    }
}
