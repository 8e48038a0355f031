use super::key::RouteKey;
use crate::link::Link;
use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use towline_service_api::ServiceKey;

/// One instance as a target of calls: the newest healthy link of it that publishes the service.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub link: Arc<Link>,
    pub app: Arc<super::App>,
    /// The hash of its uuid.
    pub seed: u64,
    /// The app's: to draw one of a thousand instances must not touch what each of them says of itself.
    pub weight: u32,
}

impl Endpoint {
    pub(crate) fn new(link: Arc<Link>, app: Arc<super::App>) -> Self {
        let seed = super::hash::hash(&app.uuid);
        let weight = app.weight;
        Self { link, app, seed, weight }
    }
}

/// The instances of one service, or of several that the same apps published together.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub list: Vec<Endpoint>,
    pub max_weight: u32,
}

impl Endpoints {
    pub(crate) fn new(list: Vec<Endpoint>) -> Self {
        let max_weight = list.iter().map(|endpoint| endpoint.weight).max().unwrap_or(1);
        Self { list, max_weight }
    }
}

const SHARDS: usize = 256;

/// Which endpoints serve which key. Sharded, so that replacing a table copies one shard and 256 pointers: 10,000 apps
/// that connect do not copy 10,000 entries 10,000 times.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// No other table of this process has it.
    version: u64,
    hasher: DefaultHashBuilder,
    shards: Box<[Arc<Shard>]>,
    len: usize,
}

/// Two pointers a service: the places of many services lie close together.
type Shard = HashTable<(Arc<ServiceKey>, Arc<Endpoints>)>;

/// Where a key stands in the table of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The table's.
    pub version: u64,
    /// The shard, below the bucket in it.
    pub at: u32,
}

impl Default for Table {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Arc::default()).collect();
        Self { version: version(), hasher: DefaultHashBuilder::default(), shards, len: 0 }
    }
}

fn version() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Group, service and version.
type Parts<'a> = (&'a str, &'a str, &'a str);

impl Table {
    /// The endpoints of exactly this group, service and version.
    #[inline]
    pub(crate) fn find(&self, key: &RouteKey<'_>) -> Option<&Arc<Endpoints>> {
        self.locate(key).and_then(|place| self.at(place))
    }

    /// Where they stand.
    pub(crate) fn locate(&self, key: &RouteKey<'_>) -> Option<Place> {
        let parts = (key.group, key.service, key.version);
        let (shard, hash) = self.hash(parts);
        let bucket = self.shards[shard].find_bucket_index(hash, |(key, _)| is_key(key, parts))?;
        // Enough for four thousand million services.
        let at = u32::try_from(bucket * SHARDS + shard).ok()?;
        Some(Place { version: self.version, at })
    }

    /// What stands in a place that was found; `None` if it was found in another table.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> Option<&Arc<Endpoints>> {
        if place.version != self.version {
            return None;
        }
        let at = place.at as usize;
        self.shards[at % SHARDS].get_bucket(at / SHARDS).map(|(_, endpoints)| endpoints)
    }

    /// The endpoints of a place, as a number that no others of this table have.
    pub(crate) fn identity(&self, place: Place) -> Option<usize> {
        self.at(place).map(|endpoints| Arc::as_ptr(endpoints).addr())
    }

    /// Keys in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The keys registered under a service's name, with their number of instances: what an error text and health show.
    pub(crate) fn variants<'a>(&'a self, service: &'a str) -> impl Iterator<Item = (&'a ServiceKey, usize)> {
        let (shard, _) = self.hash(("", service, ""));
        self.shards[shard]
            .iter()
            .filter(move |(key, _)| key.service == service)
            .map(|(key, ends)| (&**key, ends.list.len()))
    }

    /// Every key with its endpoints, in no order.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&ServiceKey, &Endpoints)> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|(key, endpoints)| (&**key, &**endpoints)))
    }

    /// A table in which these keys have these endpoints; none removes the key.
    pub(crate) fn replaced(&self, changes: impl IntoIterator<Item = (ServiceKey, Option<Arc<Endpoints>>)>) -> Self {
        let mut table = Self { version: version(), ..self.clone() };
        for (key, endpoints) in changes {
            let parts = parts(&key);
            let (shard, hash) = self.hash(parts);
            let shard = Arc::make_mut(&mut table.shards[shard]);
            let rehash = |(key, _): &(Arc<ServiceKey>, _)| self.hash(self::parts(key)).1;
            match (shard.entry(hash, |(key, _)| is_key(key, parts), rehash), endpoints) {
                (Entry::Occupied(entry), None) => {
                    entry.remove();
                    table.len -= 1;
                }
                (Entry::Occupied(mut entry), Some(endpoints)) => entry.get_mut().1 = endpoints,
                (Entry::Vacant(entry), Some(endpoints)) => {
                    entry.insert((Arc::new(key), endpoints));
                    table.len += 1;
                }
                (Entry::Vacant(_), None) => {}
            }
        }
        table
    }

    /// The shard, by the service alone, and the hash within it.
    fn hash(&self, (group, service, version): Parts<'_>) -> (usize, u64) {
        let hash = self.hasher.hash_one(service);
        let shard = (hash >> 32) as usize % SHARDS;
        let is_bare = group.is_empty() && version.is_empty();
        (shard, if is_bare { hash } else { self.hasher.hash_one((hash, group, version)) })
    }
}

fn parts(key: &ServiceKey) -> Parts<'_> {
    (&key.group, &key.service, &key.version)
}

fn is_key(key: &ServiceKey, (group, service, version): Parts<'_>) -> bool {
    is_same(&*key.service, service) && is_same(&*key.version, version) && is_same(&*key.group, group)
}

/// Compares word by word. glibc's `memcmp` reads short texts with masked loads, and one that ends a page before memory that
/// was never touched costs it 100 ns: with such a name, that was a tenth of all the broker did for a request.
fn is_same(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> bool {
    let (a, b) = (a.as_ref(), b.as_ref());
    let words = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
    if a.len() != b.len() {
        return false;
    }
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        // The last word overlaps the one before.
        (Some(a_end), Some(b_end)) => words((a_end, b_end)) && a.as_chunks().0.iter().zip(b.as_chunks().0).all(words),
        _ => a.iter().zip(b).all(|(a, b)| a == b),
    }
}

#[cfg(test)]
impl Table {
    /// A table in which one link serves these.
    pub(crate) fn of(keys: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let link = crate::link::tests_support::link(1);
        let endpoints = Arc::new(Endpoints::new(vec![Endpoint::new(link, Arc::default())]));
        let key = |(service, version)| (tests::key(service, version), Some(endpoints.clone()));
        Self::default().replaced(keys.into_iter().map(key))
    }

    /// The same table with one more service, which has endpoints of its own.
    pub(crate) fn with(&self, service: &'static str) -> Self {
        let endpoints = Endpoints::new(vec![Endpoint::new(crate::link::tests_support::link(2), Arc::default())]);
        self.replaced([(tests::key(service, ""), Some(Arc::new(endpoints)))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn key(service: &'static str, version: &'static str) -> ServiceKey {
        ServiceKey { group: "".into(), service: service.into(), version: version.into() }
    }

    #[test]
    fn a_place_says_nothing_of_another_table() {
        let table = Table::of([("a.B", ""), ("a.B", "2")]);
        let asked = RouteKey { service: "a.B", version: "2", ..RouteKey::default() };
        let place = table.locate(&asked).expect("it is there");
        assert!(Arc::ptr_eq(table.at(place).unwrap(), table.find(&asked).unwrap()));
        let next = table.replaced([(key("a.B", "2"), None)]);
        assert!(next.at(place).is_none() && next.find(&asked).is_none() && Table::default().at(place).is_none());
        assert_eq!(next.variants("a.B").count(), 1);
        assert_eq!(table.variants("a.B").count(), 2);
    }

    #[test]
    fn texts_are_compared_to_their_last_byte() {
        let text = b"com.example.user.UserService";
        for len in 0..text.len() {
            let copy = text[..len].to_vec();
            assert!(is_same(&text[..len], &copy));
            assert!(!is_same(&text[..len], &text[..=len]));
            for at in 0..len {
                let mut other = text[..len].to_vec();
                other[at] ^= 1;
                assert!(!is_same(&text[..len], &other), "byte {at} of {len}");
            }
        }
    }
}
