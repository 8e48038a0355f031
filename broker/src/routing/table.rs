use super::key::RouteKey;
use crate::link::Link;
use hashbrown::{Equivalent, HashMap};
use std::sync::Arc;
use towline_service_api::ServiceKey;

/// A key borrowed from a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Borrowed<'a>(&'a str, &'a str, &'a str);

impl Equivalent<ServiceKey> for Borrowed<'_> {
    fn equivalent(&self, key: &ServiceKey) -> bool {
        self.1 == key.service && self.2 == key.version && self.0 == key.group
    }
}

/// One instance as a target of calls: the newest healthy link of it that publishes the service.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub link: Arc<Link>,
    pub app: Arc<super::App>,
    /// The hash of its uuid.
    pub seed: u64,
}

impl Endpoint {
    pub(crate) fn new(link: Arc<Link>, app: Arc<super::App>) -> Self {
        let seed = super::hash::hash(&app.uuid);
        Self { link, app, seed }
    }
}

/// The instances of one service.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub list: Vec<Endpoint>,
    pub max_weight: u32,
}

impl Endpoints {
    pub(crate) fn new(list: Vec<Endpoint>) -> Self {
        let max_weight = list.iter().map(|endpoint| endpoint.app.weight).max().unwrap_or(1);
        Self { list, max_weight }
    }
}

const SHARDS: usize = 256;

/// Which endpoints serve which key. Sharded, so that replacing a table copies one shard and 256 pointers: 10,000 apps
/// that connect do not copy 10,000 entries 10,000 times.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    shards: Box<[Arc<Shard>]>,
}

type Shard = HashMap<ServiceKey, Arc<Endpoints>>;

impl Default for Table {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Arc::default()).collect() }
    }
}

fn shard(service: &str) -> usize {
    // FNV-1a: any spread will do, names are no attack on 256 shards of hash maps.
    let hash = service.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ hash >> 16) as usize % SHARDS
}

impl Table {
    /// The endpoints of exactly this group, service and version.
    #[inline]
    pub(crate) fn find(&self, key: &RouteKey<'_>) -> Option<&Arc<Endpoints>> {
        self.shards[shard(key.service)].get(&Borrowed(key.group, key.service, key.version))
    }

    /// The keys registered under a service's name, with their number of instances: what an error text and health show.
    pub(crate) fn variants<'a>(&'a self, service: &'a str) -> impl Iterator<Item = (&'a ServiceKey, usize)> {
        self.shards[shard(service)]
            .iter()
            .filter(move |(key, _)| key.service == service)
            .map(|(key, ends)| (key, ends.list.len()))
    }

    /// Every key with its endpoints, in no order.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&ServiceKey, &Endpoints)> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|(key, endpoints)| (key, &**endpoints)))
    }

    /// A table in which these keys have these endpoints; none removes the key.
    pub(crate) fn replaced(&self, changes: impl IntoIterator<Item = (ServiceKey, Vec<Endpoint>)>) -> Self {
        let mut table = self.clone();
        for (key, endpoints) in changes {
            let shard = Arc::make_mut(&mut table.shards[shard(&key.service)]);
            if endpoints.is_empty() {
                shard.remove(&key);
            } else {
                shard.insert(key, Arc::new(Endpoints::new(endpoints)));
            }
        }
        table
    }
}
