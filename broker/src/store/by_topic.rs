//! A map by topic. Its ids are given in a row, so topics that are made one after the other are side by side in memory, and one of
//! many is found with one look at memory that is in no cache: the pages themselves are few.
//!
//! Invariant: no page is empty.

use super::TopicId;
use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Ids of a page: few, as groups have ids of the same row.
const PAGE: u64 = 16;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ByTopic<T> {
    pages: Pages<T>,
    len: usize,
}

type Pages<T> = HashMap<u64, Box<[Option<T>; PAGE as usize]>, BuildHasherDefault<PageHasher>>;

/// Spreads the numbers of pages: they are the store's own, so nobody can choose them to collide.
#[derive(Default)]
struct PageHasher(u64);

impl Hasher for PageHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, page: u64) {
        // 2^64 over the golden ratio: pages in a row differ in their lowest bits, and in their highest.
        self.0 = page.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<T> Default for ByTopic<T> {
    fn default() -> Self {
        Self { pages: Pages::default(), len: 0 }
    }
}

impl<T> FromIterator<(TopicId, T)> for ByTopic<T> {
    fn from_iter<I: IntoIterator<Item = (TopicId, T)>>(all: I) -> Self {
        let mut map = Self::default();
        for (topic, value) in all {
            map.insert(topic, value);
        }
        map
    }
}

impl<T> ByTopic<T> {
    /// Topics that are in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn contains(&self, topic: TopicId) -> bool {
        self.get(topic).is_some()
    }

    #[inline]
    pub(crate) fn get(&self, topic: TopicId) -> Option<&T> {
        self.pages.get(&(topic.0 / PAGE))?[slot(topic)].as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, topic: TopicId) -> Option<&mut T> {
        self.pages.get_mut(&(topic.0 / PAGE))?[slot(topic)].as_mut()
    }

    /// What is there; if nothing is, what `make` says is put there.
    #[inline]
    pub(crate) fn get_or_insert_with(&mut self, topic: TopicId, make: impl FnOnce() -> T) -> &mut T {
        let Self { pages, len } = self;
        slot_of(pages, topic).get_or_insert_with(|| {
            *len += 1;
            make()
        })
    }

    /// Puts it there; returns what was.
    pub(crate) fn insert(&mut self, topic: TopicId, value: T) -> Option<T> {
        let before = slot_of(&mut self.pages, topic).replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, topic: TopicId) -> Option<T> {
        let at = topic.0 / PAGE;
        let page = self.pages.get_mut(&at)?;
        let gone = page[slot(topic)].take()?;
        self.len -= 1;
        if page.iter().all(Option::is_none) {
            self.pages.remove(&at);
        }
        Some(gone)
    }

    /// Removes those that are not wanted.
    pub(crate) fn retain(&mut self, mut is_wanted: impl FnMut(&mut T) -> bool) {
        let len = &mut self.len;
        self.pages.retain(|_, page| {
            for slot in page.iter_mut() {
                if slot.as_mut().is_some_and(|value| !is_wanted(value)) {
                    *slot = None;
                    *len -= 1;
                }
            }
            page.iter().any(Option::is_some)
        });
    }

    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicId, &T)> {
        self.pages.iter().flat_map(|(page, slots)| {
            let there = slots.iter().enumerate();
            there.filter_map(move |(nth, value)| Some((TopicId(page * PAGE + nth as u64), value.as_ref()?)))
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (TopicId, &mut T)> {
        self.pages.iter_mut().flat_map(|(page, slots)| {
            let there = slots.iter_mut().enumerate();
            there.filter_map(move |(nth, value)| Some((TopicId(page * PAGE + nth as u64), value.as_mut()?)))
        })
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.iter().map(|(topic, _)| topic)
    }
}

fn slot(topic: TopicId) -> usize {
    (topic.0 % PAGE) as usize
}

/// Where a topic is, or will be.
#[inline]
fn slot_of<T>(pages: &mut Pages<T>, topic: TopicId) -> &mut Option<T> {
    let page = pages.entry(topic.0 / PAGE).or_insert_with(|| Box::new([const { None }; PAGE as usize]));
    &mut page[slot(topic)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u8),
        Make(u64, u8),
        Change(u64, u8),
        Remove(u64),
        Retain(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = || prop_oneof![0..40_u64, Just(1 << 20), Just(u64::MAX), Just(u64::MAX - 16)];
        prop_oneof![
            (id(), any::<u8>()).prop_map(|(id, value)| Step::Insert(id, value)),
            (id(), any::<u8>()).prop_map(|(id, value)| Step::Make(id, value)),
            (id(), any::<u8>()).prop_map(|(id, value)| Step::Change(id, value)),
            id().prop_map(Step::Remove),
            any::<u8>().prop_map(Step::Retain),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_holds_what_a_plain_map_holds(steps in prop::collection::vec(step(), 0..60)) {
            let (mut map, mut plain) = (ByTopic::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Insert(id, value) => prop_assert_eq!(map.insert(TopicId(id), value), plain.insert(id, value)),
                    Step::Make(id, value) => {
                        let there = *map.get_or_insert_with(TopicId(id), || value);
                        prop_assert_eq!(there, *plain.entry(id).or_insert(value));
                    }
                    Step::Change(id, value) => {
                        map.get_mut(TopicId(id)).into_iter().for_each(|there| *there = value);
                        plain.get_mut(&id).into_iter().for_each(|there| *there = value);
                    }
                    Step::Remove(id) => prop_assert_eq!(map.remove(TopicId(id)), plain.remove(&id)),
                    Step::Retain(below) => {
                        map.retain(|value| *value < below);
                        plain.retain(|_, value| *value < below);
                    }
                }
                let mut all: Vec<_> = map.iter().map(|(topic, value)| (topic.0, *value)).collect();
                all.sort_unstable();
                prop_assert_eq!(all, plain.iter().map(|(id, value)| (*id, *value)).collect::<Vec<_>>());
                prop_assert_eq!(map.len(), plain.len());
                let pages = plain.keys().map(|id| id / PAGE).collect::<std::collections::BTreeSet<_>>();
                prop_assert_eq!(map.pages.len(), pages.len(), "no page is empty");
            }
        }
    }
}
