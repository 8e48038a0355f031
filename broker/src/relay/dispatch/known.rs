//! Routes that requests on this thread have named before: most requests repeat one of those there are, and reading a route
//! and looking it up was a third of the broker's own work for a request.
//!
//! Invariant: nothing is kept alive. What is remembered are places in one version of the routing table; another version
//! asks again.
//!
//! A route is remembered by a hash of 96 bits alone, 16 bytes with its place: of 100,000 services each call finds another one
//! in memory, and its text would be one or two lines of the cache more to wait for. The hash is strongly universal (multilinear
//! modulo 2^128, of which the upper half counts; Lemire and Kaser, Strongly universal string hashing is fast) under a key
//! that each thread draws: whatever two routes anyone chooses, they have one hash with a chance of 2^-96.

use super::route::Route;
use crate::link::Form;
use crate::routing::{Place, Table};
use hashbrown::hash_table::{Entry, HashTable};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Routes that are remembered, however few services there are.
const FEW: usize = 512;
/// So many stay in the caches of a processor anyway.
const CACHED: usize = 16 * 1024;
/// Requests of one read whose routes are waited for together.
const AHEAD: usize = 512;
/// Memory for routes, in bytes: more than fit take each other's place.
const MOST: usize = 8 << 20;
/// Bytes of the metadata of the last request that are kept, at most.
const LAST: usize = 512;
/// Bytes of a route that is remembered, at most.
const LONGEST: usize = 300;
/// Words of such a route: its length, and two parts of which each may end within a word.
const WORDS: usize = 1 + LONGEST / 8 + 2;

/// A route, and where it stands in the table. No two lines of the cache have a part of one.
#[repr(align(16))]
struct Slot {
    route: Hash,
    at: u32,
}

/// Two hashes of a route that say nothing of each other, of 64 bits and of 32, in words.
type Hash = [u32; 3];

/// Where a route stands. Each hash alone is linear: routes that are numbered may be too even, or too uneven, in a few bits of it.
#[inline]
fn bucket([low, high, other]: Hash) -> u64 {
    let product = u128::from(u64::from(low) | u64::from(high) << 32) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// What routes are hashed with.
struct Key {
    first: [u128; 2],
    words: [[u128; 2]; WORDS],
}

impl Key {
    fn draw() -> Self {
        let (source, mut drawn) = (RandomState::new(), 0u64..);
        let mut random = || {
            [(); 2]
                .map(|()| u128::from(source.hash_one(drawn.next())) << 64 | u128::from(source.hash_one(drawn.next())))
        };
        Self { first: random(), words: [(); WORDS].map(|()| random()) }
    }

    /// `None` for a route that is too long to be remembered.
    #[inline]
    fn hash(&self, [tags, binary]: [&[u8]; 2]) -> Option<Hash> {
        if tags.len() + binary.len() > LONGEST {
            return None;
        }
        let mut keys = self.words.iter();
        let mut sums = self.first;
        let mut add = |word: u64| {
            let key = keys.next().expect("no more words than of the longest route");
            for (sum, key) in sums.iter_mut().zip(key) {
                *sum = sum.wrapping_add(key.wrapping_mul(u128::from(word)));
            }
        };
        add(tags.len() as u64 | (binary.len() as u64) << 32);
        each_word(tags, &mut add);
        each_word(binary, &mut add);
        Some([(sums[0] >> 64) as u32, (sums[0] >> 96) as u32, (sums[1] >> 96) as u32])
    }
}

/// All bytes of these, in words; who knows how many bytes there are knows from the words which.
#[inline]
fn each_word(bytes: &[u8], mut take: impl FnMut(u64)) {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| take(u64::from_le_bytes(*word)));
    if !rest.is_empty() {
        // The last word overlaps the one before, where there is one.
        take(u64::from_le_bytes(bytes.last_chunk::<8>().copied().unwrap_or_else(|| {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            last
        })));
    }
}

/// The routes remembered, each with where it stands in one table.
#[derive(Default)]
struct Routes(HashTable<Slot>);

impl Routes {
    #[inline]
    fn recall(&self, route: Hash) -> Option<u32> {
        self.0.find(bucket(route), |slot| slot.route == route).map(|slot| slot.at)
    }

    fn remember(&mut self, route: Hash, at: u32, most: usize) {
        // A table is full when seven of eight of its buckets are.
        let most = most.min(MOST / size_of::<Slot>() / 8 * 7);
        if self.0.len() >= most && self.recall(route).is_none() {
            self.make_room(route);
        }
        match self.0.entry(bucket(route), |slot| slot.route == route, |slot| bucket(slot.route)) {
            Entry::Occupied(mut entry) => entry.get_mut().at = at,
            Entry::Vacant(entry) => drop(entry.insert(Slot { route, at })),
        }
    }

    /// Forgets one, whichever stands next to where this hash points.
    fn make_room(&mut self, route: Hash) {
        let buckets = self.0.num_buckets();
        let from = route[0] as usize % buckets;
        let at = (from..buckets).chain(0..from).find(|at| self.0.get_bucket(*at).is_some());
        at.and_then(|at| self.0.get_bucket_entry(at).ok()).map(|entry| entry.remove());
    }
}

/// What is known of a request that is not special, before its metadata is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreseen {
    /// `None` if the route is not remembered.
    pub place: Option<Place>,
    pub has_mime: bool,
    pub well_formed: usize,
    /// It may go over the desk of who serves it, if that is known.
    pub is_direct: Option<bool>,
}

/// The request that was looked up last on this thread, of whatever link: the next one often has the same metadata.
#[derive(Debug, Default)]
struct Last {
    metadata: Vec<u8>,
    known: Option<(Form, Foreseen)>,
}

/// Requests of one read, looked up together. Nothing is said of a request before the one that was asked about last.
///
/// Invariant: a request is known by where its metadata lies, so this is kept no longer than the read buffer stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Where the metadata of each begins in memory, and what is known of it.
    requests: Vec<(usize, Foreseen)>,
    routes: Vec<Hash>,
    next: usize,
    last: Last,
}

impl Ahead {
    /// What is known of the request that has this metadata, of this form.
    #[inline]
    pub(super) fn find(&mut self, metadata: &[u8], form: Form) -> Option<Foreseen> {
        if let Some((_, known)) = self.last.known.filter(|(of, _)| *of == form && *self.last.metadata == *metadata) {
            return Some(known);
        }
        let at = metadata.as_ptr().addr();
        while let Some((request, known)) = self.requests.get(self.next).filter(|(request, _)| *request <= at) {
            self.next += 1;
            if *request == at {
                return Some(*known);
            }
        }
        None
    }

    /// A request that is not special was looked up: the next one may have the same metadata.
    pub(super) fn found(&mut self, metadata: &[u8], form: Form, known: Foreseen) {
        if metadata.len() <= LAST {
            self.last.metadata.clear();
            self.last.metadata.extend_from_slice(metadata);
            self.last.known = Some((form, known));
        }
    }

    /// Keeps its memory for the next read on this thread.
    pub(crate) fn keep(mut self) {
        self.requests.clear();
        self.routes.clear();
        self.next = 0;
        KNOWN.with_borrow_mut(|known| known.spare = self);
    }
}

/// Endpoints of which a place is kept; services with further ones stay at their own.
const SHARED: usize = 1024;

/// What one thread remembers.
struct Known {
    /// The table's.
    version: u64,
    routes: Routes,
    /// One place for each of the endpoints: services that were published together are all remembered at that one, which is in
    /// the cache, instead of each at its own.
    shared: HashMap<usize, u32>,
    /// Empty: every read uses its memory again.
    spare: Ahead,
    key: Key,
}

impl Known {
    fn new() -> Self {
        let (routes, shared) = (Routes::default(), HashMap::new());
        Self { version: u64::MAX, routes, shared, spare: Ahead::default(), key: Key::draw() }
    }

    #[inline]
    fn recall(&self, route: Hash) -> Option<Place> {
        self.routes.recall(route).map(|at| Place { version: self.version, at })
    }

    /// A place in this table with the same endpoints as this one.
    fn shared(&mut self, table: &Table, place: Place) -> u32 {
        let Some(identity) = table.identity(place) else { return place.at };
        match self.shared.len() < SHARED {
            true => *self.shared.entry(identity).or_insert(place.at),
            false => self.shared.get(&identity).copied().unwrap_or(place.at),
        }
    }

    fn foresee<'r>(&mut self, requests: impl Iterator<Item = (&'r [u8], Route<'r>)>) -> Ahead {
        let mut ahead = std::mem::take(&mut self.spare);
        if self.routes.0.len() <= CACHED {
            return ahead;
        }
        for (metadata, route) in requests.take(AHEAD) {
            if let Some(hash) = self.key.hash(route.bytes()) {
                let Route { has_mime, well_formed, .. } = route;
                ahead
                    .requests
                    .push((metadata.as_ptr().addr(), Foreseen { place: None, has_mime, well_formed, is_direct: None }));
                ahead.routes.push(hash);
            }
        }
        for ((_, request), route) in ahead.requests.iter_mut().zip(&ahead.routes) {
            request.place = self.recall(*route);
        }
        ahead
    }

    fn remember(&mut self, route: [&[u8]; 2], place: Place, table: &Table) {
        let Some(route) = self.key.hash(route) else { return };
        if self.version != place.version {
            self.version = place.version;
            self.shared.clear();
            self.routes.0.clear();
        }
        let at = self.shared(table, place);
        self.routes.remember(route, at, (2 * table.len()).max(FEW));
    }
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::new(Known::new());
}

/// The place remembered for a route, in the table that was asked last.
pub(super) fn recall(route: [&[u8]; 2]) -> Option<Place> {
    KNOWN.with_borrow(|known| known.recall(known.key.hash(route)?))
}

/// Looks up these requests by their metadata, if more routes are remembered than a cache holds: looked at one right after the
/// other, they are waited for together. Looked up one by one, with all that relaying a request takes between, each has a wait
/// of its own.
pub(super) fn foresee<'r>(requests: impl Iterator<Item = (&'r [u8], Route<'r>)>) -> Ahead {
    KNOWN.with_borrow_mut(|known| known.foresee(requests))
}

/// Remembers the place of a route. More routes are remembered than there are services, but no more than two for each.
pub(super) fn remember(route: [&[u8]; 2], place: Place, table: &Table) {
    KNOWN.with_borrow_mut(|known| known.remember(route, place, table));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{RouteKey, Table};
    use proptest::prelude::*;
    use std::collections::HashSet;
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
        let mut known = Known::new();
        let mut found = |table: &Table| {
            let found =
                NAMES.map(|name| (name, table.locate(&RouteKey { service: name, ..RouteKey::default() }).unwrap()));
            found.iter().for_each(|(name, place)| known.remember([name.as_bytes(), b""], *place, table));
            found.map(|(name, _)| known.recall(known.key.hash([name.as_bytes(), b""])?))
        };
        let (together, apart) = (table(true), table(false));
        let [first, ..] = found(&together);
        assert_eq!(found(&together), [first; 4]);
        assert!(Arc::ptr_eq(together.at(first.unwrap()).unwrap(), together.at(places(&together)[3]).unwrap()));
        assert_eq!(found(&apart), places(&apart).map(Some), "each has its own");
        let next = together.with("a.E");
        let [of_next, ..] = found(&next);
        assert!(next.at(of_next.unwrap()).is_some() && together.at(of_next.unwrap()).is_none());
    }

    #[test]
    fn of_many_routes_those_of_a_read_are_found_by_their_metadata_in_their_order() {
        let mut known = Known::new();
        let names: Vec<_> = (0..=CACHED).map(|nth| format!("com.acme.Service{nth}.find")).collect();
        let remember = |known: &mut Known, nth: usize| {
            let route = known.key.hash([names[nth].as_bytes(), b""]).unwrap();
            known.routes.remember(route, nth as u32, usize::MAX);
        };
        // Number 3 will have been forgotten.
        let wanted = [7, 3, CACHED, 12_345, 3, 0];
        let read: String = wanted.map(|nth| &*names[nth]).concat();
        let mut rest = read.as_bytes();
        let requests = wanted.map(|nth| rest.split_off(..names[nth].len()).unwrap());
        let routes = || requests.iter().map(|metadata| (*metadata, Route::read(metadata, Form::Routing)));
        (0..CACHED).for_each(|nth| remember(&mut known, nth));
        assert_eq!(known.foresee(routes()).find(requests[0], Form::Routing), None, "so few are in the cache anyway");
        remember(&mut known, CACHED);
        known.routes.0.retain(|slot| slot.at != 3);
        known.routes.remember([1, 2, 3], u32::MAX, usize::MAX);
        let mut ahead = known.foresee(routes());
        let mut found =
            |nth: usize| ahead.find(requests[nth], Form::Routing).map(|found| found.place.map(|place| place.at));
        assert_eq!([found(0), found(1), found(2)], [Some(Some(7)), Some(None), Some(Some(CACHED as u32))]);
        assert_eq!(found(1), None, "its turn is over");
        assert_eq!([found(5), found(4)], [Some(Some(0)), None], "others may be left out");
        let copy = requests[0].to_vec();
        assert_eq!(
            known.foresee(routes()).find(&copy, Form::Routing),
            None,
            "another place in memory is another request"
        );
        let all: Vec<_> = (0..2 * AHEAD).map(|_| requests[0]).collect();
        let ahead = known.foresee(all.iter().map(|metadata| (*metadata, Route::read(metadata, Form::Routing))));
        assert_eq!(ahead.requests.len(), AHEAD);
    }

    #[test]
    fn a_request_that_has_the_metadata_of_the_one_before_is_known() {
        let table = table(false);
        let [place, ..] = places(&table);
        let known = Foreseen { place: Some(place), has_mime: true, well_formed: 3, is_direct: Some(true) };
        let mut ahead = Ahead::default();
        let find = |ahead: &mut Ahead, metadata: &[u8], form| ahead.find(metadata, form);
        assert_eq!(find(&mut ahead, b"a.A", Form::Routing), None);
        ahead.found(b"a.A", Form::Routing, known);
        assert_eq!(find(&mut ahead, b"a.A", Form::Routing), Some(known));
        assert_eq!(find(&mut ahead, b"a.A", Form::Routing), Some(known), "as often as it comes");
        assert_eq!(find(&mut ahead, b"a.A", Form::Composite), None, "the same bytes mean something else");
        assert_eq!(find(&mut ahead, b"a.B", Form::Routing), None);
        assert_eq!(find(&mut ahead, b"a.A.", Form::Routing), None);
        ahead.found(&[7; LAST + 1], Form::Routing, known);
        assert_eq!(find(&mut ahead, &[7; LAST + 1], Form::Routing), None, "what is long is not kept");
        assert_eq!(find(&mut ahead, b"a.A", Form::Routing), Some(known), "another thing is not forgotten for it");
        assert!(table.with("a.E").at(place).is_none(), "what is known is of one table");
    }

    #[test]
    fn a_table_that_was_replaced_is_not_asked_any_more() {
        let (old, mut known) = (table(false), Known::new());
        let new = old.with("a.E");
        for (name, place) in NAMES.iter().zip(places(&old)) {
            known.remember([name.as_bytes(), b""], place, &old);
        }
        known.remember([b"a.A", b""], places(&new)[0], &new);
        assert_eq!(known.recall(known.key.hash([b"a.A", b""]).unwrap()), Some(places(&new)[0]));
        assert_eq!(known.recall(known.key.hash([b"a.B", b""]).unwrap()), None);
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
    fn many_routes_stand_apart_whichever_bits_are_looked_at() {
        let key = Key::draw();
        let routes = (0..20_000).map(|nth| format!("com.acme.orders.Service{nth}.findById"));
        let buckets: Vec<_> = routes.map(|route| bucket(key.hash([route.as_bytes(), b""]).expect("short"))).collect();
        for shift in [0, 24, 48] {
            let seen = buckets.iter().map(|bucket| (bucket >> shift) as u16).collect::<HashSet<_>>().len();
            // Of 65,536, as many as of 20,000 drawn at random.
            assert!((16_500..18_000).contains(&seen), "{seen} from bit {shift}");
        }
    }

    #[test]
    fn a_route_has_one_hash_for_each_way_its_bytes_are_split_and_for_each_key() {
        let (key, other) = (Key::draw(), Key::draw());
        let text = [0; 300];
        let mut seen = HashSet::new();
        for len in [0, 1, 7, 8, 9, 16, 297, 300] {
            for at in 0..=len {
                let route = [&text[..at], &text[at..len]];
                assert!(seen.insert(key.hash(route)), "{len} zeros split at {at}");
                assert!(seen.insert(other.hash(route)), "{len} zeros split at {at}");
            }
        }
        assert_eq!(key.hash([&text, &text[..1]]), None);
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_was_said_last(said in prop::collection::vec((0u8..40, 0..44usize, 0..4u32), 1..200)) {
            let (mut routes, mut model, key) = (Routes::default(), HashMap::new(), Key::draw());
            let hash = |name: u8, cut: usize| {
                let bytes = [name; 44];
                let (tags, binary) = bytes.split_at(cut);
                key.hash([tags, binary]).expect("short")
            };
            for (name, cut, at) in said {
                routes.remember(hash(name, cut), at, 16);
                model.insert((name, cut), at);
                prop_assert_eq!(routes.recall(hash(name, cut)), Some(at));
                prop_assert!(routes.0.len() <= 16);
                for ((name, cut), at) in &model {
                    prop_assert!(routes.recall(hash(*name, *cut)).is_none_or(|found| found == *at));
                }
            }
            prop_assert!(routes.0.len() >= model.len().min(16));
        }
    }
}
