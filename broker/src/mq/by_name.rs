//! Topics, by name.

use super::topic::Topic;
use crate::touch::touch;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ByName {
    topics: HashTable<Named>,
    hasher: DefaultHashBuilder,
}

/// A topic, beside the hash of its name: the name, which is elsewhere, is looked at once, to be sure.
#[derive(Debug)]
struct Named {
    hash: u64,
    topic: Arc<Topic>,
}

impl ByName {
    pub(super) fn insert(&mut self, topic: Arc<Topic>) {
        self.remove(&topic.name);
        let hash = self.hasher.hash_one(&*topic.name);
        self.topics.insert_unique(hash, Named { hash, topic }, |named| named.hash);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<Topic>> {
        let hash = self.hasher.hash_one(name);
        let found = self.topics.find_entry(hash, |named| named.is(hash, name)).ok()?;
        Some(found.remove().0.topic)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        let hash = self.hasher.hash_one(name);
        self.topics.find(hash, |named| named.is(hash, name)).map(|named| &named.topic)
    }

    /// The topics of these names, up to one that is not there. Each step is done for all of them before the next one.
    pub(super) fn get_all<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<&Arc<Topic>> {
        let mut before = ("", self.hasher.hash_one(""));
        let hashed = names.map(|name| {
            // Most often it is that of the message before.
            if before.0 != name {
                before = (name, self.hasher.hash_one(name));
            }
            before
        });
        let hashed: Vec<_> = hashed.collect();
        let found = hashed.iter().map(|(_, hash)| self.topics.find(*hash, |named| named.hash == *hash));
        let found: Vec<_> = found.map(|found| found.map(|named| &named.topic)).collect();
        touch(found.iter().flatten(), |topic| topic.touched());
        let each = found.into_iter().zip(hashed);
        // Where only the hashes are the same, the slow way.
        each.map_while(|(found, (name, _))| found.filter(|topic| topic.name == name).or_else(|| self.get(name)))
            .collect()
    }

    /// All, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.iter().map(|named| &named.topic)
    }
}

impl Named {
    fn is(&self, hash: u64, name: &str) -> bool {
        self.hash == hash && self.topic.name == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{QueueMeters, recorder};
    use crate::mq::queues::Limits;
    use crate::mq::settings::TopicRest;
    use crate::mq::shared::Shared;
    use crate::mq::topic::to_settings;
    use crate::store::{MemoryStore, TopicId};
    use hashbrown::HashMap;

    fn topics(names: &[&str]) -> Vec<Arc<Topic>> {
        let (store, meters) = (Arc::new(MemoryStore::new()), Arc::new(QueueMeters::new(&recorder())));
        let shared = Shared::new(store, meters, HashMap::new(), Limits { volume: 0, intake: 0, ahead: 0 });
        let open =
            |(id, name): (u64, &&str)| Topic::open(&shared, TopicId(id), &to_settings(name, &TopicRest::default()));
        (1..).zip(names).map(open).collect()
    }

    fn found(by_name: &ByName, names: &[&str]) -> Vec<u64> {
        by_name.get_all(names.iter().copied()).iter().map(|topic| topic.id.0).collect()
    }

    #[test]
    fn topics_are_found_in_the_order_of_their_names_up_to_one_that_is_not_there() {
        let mut by_name = ByName::default();
        topics(&["a", "b", "c"]).into_iter().for_each(|topic| by_name.insert(topic));
        assert_eq!(found(&by_name, &["b", "b", "a", "b", "c", "c"]), [2, 2, 1, 2, 3, 3]);
        assert_eq!(found(&by_name, &["c", "d", "a"]), [3]);
        assert!(found(&by_name, &["", "a"]).is_empty());
        assert_eq!(by_name.remove("b").map(|topic| topic.id.0), Some(2));
        assert!(by_name.remove("b").is_none() && by_name.get("b").is_none());
        assert_eq!(found(&by_name, &["a", "b", "c"]), [1]);
        let anew = topics(&["c"]).remove(0);
        by_name.insert(anew.clone());
        assert!(
            by_name.get("c").is_some_and(|topic| Arc::ptr_eq(topic, &anew)),
            "it takes the place of the one before"
        );
        assert_eq!(by_name.iter().count(), 2);
    }

    #[test]
    fn names_with_the_same_hash_are_told_apart() {
        let mut by_name = ByName::default();
        let [a, b] = &*topics(&["a", "b"]) else { panic!("two were made") };
        let hash = by_name.hasher.hash_one("a");
        by_name.topics.insert_unique(hash, Named { hash, topic: b.clone() }, |named| named.hash);
        assert!(found(&by_name, &["a"]).is_empty(), "it is another one's");
        by_name.insert(a.clone());
        assert_eq!(found(&by_name, &["a", "a"]), [1, 1]);
        assert_eq!(by_name.remove("a").map(|topic| topic.id.0), Some(1));
        assert!(by_name.get("a").is_none());
    }
}
