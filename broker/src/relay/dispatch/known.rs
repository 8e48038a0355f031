//! Routes that requests on this thread have named before: most requests repeat one of those there are, and reading a route
//! and looking it up was a third of the broker's own work for a request.
//!
//! Invariant: nothing is kept alive. What is remembered is a place in one version of the routing table; another version
//! asks again.

use crate::routing::{Place, Table, is_same};
use hashbrown::hash_table::{Entry, HashTable};
use std::cell::RefCell;

/// Routes of each length that are remembered, however few services there are.
const FEW: usize = 512;
/// So many stay in the caches of a processor anyway.
const CACHED: usize = 16 * 1024;
/// Routes that are waited for together.
const AHEAD: usize = 64;
/// Memory for routes of one length, in bytes: more routes than fit take each other's place.
const MOST: usize = 8 << 20;

/// A route and its place, in one line of the cache or two: of 100,000 services each call finds another one, and each further
/// place in memory would be one more to wait for.
#[repr(align(64))]
struct Slot<const N: usize> {
    place: Place,
    /// The length of the tags, and of the binary text behind them.
    lens: [u16; 2],
    bytes: [u8; N],
}

impl<const N: usize> Slot<N> {
    fn new([tags, binary]: [&[u8]; 2], place: Place) -> Self {
        let mut bytes = [0; N];
        bytes[..tags.len()].copy_from_slice(tags);
        bytes[tags.len()..][..binary.len()].copy_from_slice(binary);
        Self { place, lens: [tags.len() as u16, binary.len() as u16], bytes }
    }

    fn parts(&self) -> [&[u8]; 2] {
        let [tags, binary] = self.lens.map(usize::from);
        [&self.bytes[..tags], &self.bytes[tags..tags + binary]]
    }

    #[inline]
    fn is(&self, [tags, binary]: [&[u8]; 2]) -> bool {
        self.lens.map(usize::from) == [tags.len(), binary.len()]
            && is_same(&self.bytes[..tags.len()], tags)
            && (binary.is_empty() || is_same(&self.bytes[tags.len()..][..binary.len()], binary))
    }
}

/// Routes of up to `N` bytes.
struct Class<const N: usize>(HashTable<Slot<N>>);

impl<const N: usize> Class<N> {
    const NEW: Self = Self(HashTable::new());

    #[inline]
    fn recall(&self, hash: u64, route: [&[u8]; 2]) -> Option<Place> {
        self.0.find(hash, |slot| slot.is(route)).map(|slot| slot.place)
    }

    /// Looks at what stands where this hash points, whichever route that is of.
    #[inline]
    fn touch(&self, hash: u64) -> u16 {
        let mut seen = 0;
        let _ = self.0.find(hash, |slot| {
            seen = slot.lens[0];
            false
        });
        seen
    }

    fn remember(
        &mut self,
        hash: u64,
        route: [&[u8]; 2],
        place: Place,
        most: usize,
        hasher: impl Fn([&[u8]; 2]) -> u64,
    ) {
        // A table is full when seven of eight of its buckets are.
        let most = most.min(MOST / size_of::<Slot<N>>() / 8 * 7);
        if self.0.len() >= most && self.0.find(hash, |slot| slot.is(route)).is_none() {
            self.make_room(hash);
        }
        match self.0.entry(hash, |slot| slot.is(route), |slot| hasher(slot.parts())) {
            Entry::Occupied(mut entry) => entry.get_mut().place = place,
            Entry::Vacant(entry) => drop(entry.insert(Slot::new(route, place))),
        }
    }

    /// Forgets one, whichever stands next to where this hash points.
    fn make_room(&mut self, hash: u64) {
        let buckets = self.0.num_buckets();
        let from = (hash >> 32) as usize % buckets;
        let at = (from..buckets).chain(0..from).find(|at| self.0.get_bucket(*at).is_some());
        at.and_then(|at| self.0.get_bucket_entry(at).ok()).map(|entry| entry.remove());
    }
}

/// Endpoints of which a place is kept; services with further ones stay at their own.
const SHARED: usize = 1024;

/// One place in a table for each of the endpoints in it: services that were published together are all remembered at that
/// one, which is in the cache, instead of each at its own.
struct Shared {
    /// Of the table they are in.
    newest: Option<Place>,
    places: HashTable<(usize, Place)>,
}

impl Shared {
    const NEW: Self = Self { newest: None, places: HashTable::new() };

    /// A place in this table with the same endpoints as this one.
    fn place(&mut self, table: &Table, place: Place, hasher: impl Fn(usize) -> u64) -> Place {
        let Some(identity) = table.identity(place) else { return place };
        if !self.newest.replace(place).is_some_and(|newest| newest.is_as_old_as(place)) {
            self.places.clear();
        }
        let is_full = self.places.len() >= SHARED;
        match self.places.entry(hasher(identity), |(of, _)| *of == identity, |(of, _)| hasher(*of)) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                if !is_full {
                    entry.insert((identity, place));
                }
                place
            }
        }
    }
}

/// What one thread remembers.
struct Known {
    shared: Shared,
    short: Class<44>,
    middle: Class<108>,
    long: Class<300>,
    /// Drawn by each thread: nobody can make up routes that have one hash.
    key: Option<[u64; 2]>,
}

impl Known {
    fn len(&self) -> usize {
        self.short.0.len() + self.middle.0.len() + self.long.0.len()
    }
}

thread_local! {
    static KNOWN: RefCell<Known> = const {
        RefCell::new(Known { shared: Shared::NEW, short: Class::NEW, middle: Class::NEW, long: Class::NEW, key: None })
    };
}

/// The place remembered for a route; of some version of the table.
pub(super) fn recall(route: [&[u8]; 2]) -> Option<Place> {
    KNOWN.with_borrow(|known| {
        let hash = hash(known.key?, route);
        match len(route) {
            0..=44 => known.short.recall(hash, route),
            45..=108 => known.middle.recall(hash, route),
            _ => known.long.recall(hash, route),
        }
    })
}

/// Brings what is remembered of these routes into the cache, if it is more than a cache holds: looked at one right after the
/// other, they are waited for together. Looked up one by one, with all that relaying a request takes between, each has a wait
/// of its own.
pub(super) fn foresee<'r>(mut routes: impl Iterator<Item = [&'r [u8]; 2]>) {
    KNOWN.with_borrow(|known| {
        let Some(key) = known.key.filter(|_| known.len() > CACHED) else { return };
        let mut found = [(0, 0); AHEAD];
        loop {
            let mut count = 0;
            for (route, found) in routes.by_ref().take(AHEAD).zip(&mut found) {
                *found = (len(route), hash(key, route));
                count += 1;
            }
            let touch = |(len, hash): &(usize, u64)| match len {
                0..=44 => known.short.touch(*hash),
                45..=108 => known.middle.touch(*hash),
                _ => known.long.touch(*hash),
            };
            // For its own sake: nobody needs to know.
            std::hint::black_box(found[..count].iter().map(touch).fold(0, |all, seen| all | seen));
            if count < AHEAD {
                return;
            }
        }
    });
}

/// Remembers the place of a route. More routes are remembered than there are services, but no more than two for each.
pub(super) fn remember(route: [&[u8]; 2], place: Place, table: &Table) {
    KNOWN.with_borrow_mut(|known| {
        let key = *known.key.get_or_insert_with(|| [fastrand::u64(..), fastrand::u64(..) | 1]);
        let (of, most) = (hash(key, route), (2 * table.len()).max(FEW));
        let rehash = |route: [&[u8]; 2]| hash(key, route);
        let place = known.shared.place(table, place, |identity| fold(key[0], key[1], &identity.to_le_bytes()));
        match len(route) {
            0..=44 => known.short.remember(of, route, place, most, rehash),
            45..=108 => known.middle.remember(of, route, place, most, rehash),
            109..=300 => known.long.remember(of, route, place, most, rehash),
            _ => {}
        }
    });
}

fn len(route: [&[u8]; 2]) -> usize {
    route[0].len() + route[1].len()
}

/// Word by word, each multiplied by the key into all bits of the next.
#[inline]
fn hash([seed, key]: [u64; 2], [tags, binary]: [&[u8]; 2]) -> u64 {
    let hash = fold(seed, key, tags);
    if binary.is_empty() { hash } else { fold(hash, key, binary) }
}

#[inline]
fn fold(seed: u64, key: u64, bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: [u8; 8]| {
        let product = u128::from(hash ^ u64::from_le_bytes(word)) * u128::from(key);
        product as u64 ^ (product >> 64) as u64
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(seed ^ bytes.len() as u64, |hash, word| mix(hash, *word));
    // The last word overlaps the one before, where there is one.
    let last = bytes.last_chunk::<8>().copied().unwrap_or_else(|| {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last
    });
    mix(hash, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{RouteKey, Table};
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::sync::Arc;

    const NAMES: [&str; 4] = ["a.A", "a.B", "a.C", "a.D"];

    fn places(table: &Table) -> [Place; 4] {
        NAMES.map(|service| table.locate(&RouteKey { service, ..RouteKey::default() }).expect("it is there"))
    }

    /// Services that were published together, or one by one.
    fn table(is_together: bool) -> Table {
        match is_together {
            true => Table::of(NAMES.map(|name| (name, ""))),
            false => NAMES.into_iter().fold(Table::default(), |table, name| table.with(name)),
        }
    }

    #[test]
    fn services_with_the_same_endpoints_are_remembered_at_one_place_of_one_table() {
        let hasher = |identity: usize| identity as u64 >> 4;
        let mut shared = Shared::NEW;
        let mut found = |table: &Table| places(table).map(|place| shared.place(table, place, hasher));
        let (together, apart) = (table(true), table(false));
        let [first, ..] = found(&together);
        assert_eq!(found(&together), [first; 4]);
        assert!(Arc::ptr_eq(together.at(first).unwrap(), together.at(places(&together)[3]).unwrap()));
        assert_eq!(found(&apart), places(&apart), "each has its own");
        let next = together.with("a.E");
        let of_next = found(&next);
        assert!(next.at(of_next[0]).is_some() && together.at(of_next[0]).is_none());
        assert_eq!(shared.place(&together, of_next[0], hasher), of_next[0], "another table is not asked");
    }

    #[test]
    fn a_route_is_known_by_all_its_bytes() {
        let table = table(false);
        let [place, other_place, ..] = places(&table);
        for len in [2, 44, 45, 108, 109, 300] {
            let route: Vec<u8> = (0..len).map(|at| at as u8).collect();
            remember([&route, b""], place, &table);
            assert_eq!(recall([&route, b""]), Some(place));
            assert_eq!(recall([b"", &route]), None);
            for at in 0..len {
                let mut other = route.clone();
                other[at] ^= 1;
                assert_eq!(recall([&other, b""]), None, "byte {at} of {len}");
                assert_eq!(recall([&route[..at], &route[at..]]), None);
            }
            remember([&route, b""], other_place, &table);
            assert_eq!(recall([&route, b""]), Some(other_place));
        }
        remember([&[7; 301], b""], place, &table);
        assert_eq!(recall([&[7; 301], b""]), None);
    }

    #[test]
    fn hashes_of_many_routes_differ_in_all_bits() {
        let key = [fastrand::u64(..), fastrand::u64(..) | 1];
        let routes: Vec<_> = (0..20_000).map(|nth| format!("com.acme.orders.Service{nth}.findById")).collect();
        for bits in [0..16, 24..40, 48..64] {
            let seen: std::collections::HashSet<_> =
                routes.iter().map(|route| hash(key, [route.as_bytes(), b""]) << (64 - bits.end) >> 48).collect();
            // Of 65,536, as many as of 20,000 drawn at random.
            assert!((16_500..18_000).contains(&seen.len()), "{} in bits {bits:?}", seen.len());
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_was_said_last(said in prop::collection::vec((0u8..40, 0..44usize, 0..4usize), 1..200)) {
            let places = places(&table(false));
            let (mut class, mut model) = (Class::<44>::NEW, HashMap::new());
            let hash = |route: [&[u8]; 2]| super::hash([1, 0x9E37_79B9_7F4A_7C15], route);
            for (name, cut, nth) in said {
                let bytes = [name; 44];
                let (tags, binary) = bytes.split_at(cut);
                let (route, place) = ([tags, binary], places[nth]);
                class.remember(hash(route), route, place, 16, hash);
                model.insert((name, cut), place);
                prop_assert_eq!(class.recall(hash(route), route), Some(place));
                prop_assert!(class.0.len() <= 16);
                for ((name, cut), place) in &model {
                    let bytes = [*name; 44];
                    let (tags, binary) = bytes.split_at(*cut);
                    let found = class.recall(hash([tags, binary]), [tags, binary]);
                    prop_assert!(found.is_none_or(|found| found == *place));
                }
            }
            prop_assert!(class.0.len() >= model.len().min(16));
        }
    }
}
