//! A map by topic. Its ids are given in a row, so topics that are made one after the other are side by side in memory, and one of
//! many is found with one look at memory that is in no cache: the pages themselves are few.
//!
//! Invariant: no page is empty.

use super::TopicId;
use hashbrown::HashMap;

/// Ids of a page: few, as groups have ids of the same row.
const PAGE: u64 = 16;
/// Pages that are found by their number alone. There are more only where very many topics and groups were made, or damage was.
const NEAR: u64 = 1 << 16;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct ByTopic<T> {
    /// By their number, up to the last one of these that there was.
    near: Vec<Option<Page<T>>>,
    far: HashMap<u64, Page<T>>,
    len: usize,
}

type Page<T> = Box<[Option<T>; PAGE as usize]>;

impl<T> Default for ByTopic<T> {
    fn default() -> Self {
        Self { near: Vec::new(), far: HashMap::new(), len: 0 }
    }
}

impl<T: PartialEq> PartialEq for ByTopic<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(topic, value)| other.get(topic) == Some(value))
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
        let number = topic.0 / PAGE;
        let page = if number < NEAR { self.near.get(number as usize)?.as_ref() } else { self.far.get(&number) };
        page?[slot(topic)].as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, topic: TopicId) -> Option<&mut T> {
        self.page_mut(topic.0 / PAGE)?[slot(topic)].as_mut()
    }

    #[inline]
    fn page_mut(&mut self, number: u64) -> Option<&mut Page<T>> {
        if number < NEAR { self.near.get_mut(number as usize)?.as_mut() } else { self.far.get_mut(&number) }
    }

    /// What is there; if nothing is, what `make` says is put there.
    #[inline]
    pub(crate) fn get_or_insert_with(&mut self, topic: TopicId, make: impl FnOnce() -> T) -> &mut T {
        let Self { near, far, len } = self;
        slot_of(near, far, topic).get_or_insert_with(|| {
            *len += 1;
            make()
        })
    }

    /// Puts it there; returns what was.
    pub(crate) fn insert(&mut self, topic: TopicId, value: T) -> Option<T> {
        let before = slot_of(&mut self.near, &mut self.far, topic).replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, topic: TopicId) -> Option<T> {
        let number = topic.0 / PAGE;
        let page = self.page_mut(number)?;
        let gone = page[slot(topic)].take()?;
        let is_empty = page.iter().all(Option::is_none);
        self.len -= 1;
        if is_empty {
            match number < NEAR {
                true => self.near[number as usize] = None,
                false => drop(self.far.remove(&number)),
            }
        }
        Some(gone)
    }

    /// Removes those that are not wanted.
    pub(crate) fn retain(&mut self, mut is_wanted: impl FnMut(&mut T) -> bool) {
        let Self { near, far, len } = self;
        let mut is_left = |page: &mut Page<T>| {
            for slot in page.iter_mut() {
                if slot.as_mut().is_some_and(|value| !is_wanted(value)) {
                    *slot = None;
                    *len -= 1;
                }
            }
            page.iter().any(Option::is_some)
        };
        near.iter_mut().for_each(|page| drop(page.take_if(|page| !is_left(page))));
        far.retain(|_, page| is_left(page));
    }

    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TopicId, &T)> {
        let near = (0..).zip(&self.near).filter_map(|(number, page)| Some((number, page.as_ref()?)));
        near.chain(self.far.iter().map(|(number, page)| (*number, page))).flat_map(|(number, page)| {
            let there = page.iter().enumerate();
            there.filter_map(move |(nth, value)| Some((TopicId(number * PAGE + nth as u64), value.as_ref()?)))
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (TopicId, &mut T)> {
        let near = (0..).zip(&mut self.near).filter_map(|(number, page)| Some((number, page.as_mut()?)));
        near.chain(self.far.iter_mut().map(|(number, page)| (*number, page))).flat_map(|(number, page)| {
            let there = page.iter_mut().enumerate();
            there.filter_map(move |(nth, value)| Some((TopicId(number * PAGE + nth as u64), value.as_mut()?)))
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
fn slot_of<'a, T>(
    near: &'a mut Vec<Option<Page<T>>>,
    far: &'a mut HashMap<u64, Page<T>>,
    topic: TopicId,
) -> &'a mut Option<T> {
    let number = topic.0 / PAGE;
    let make = || Box::new([const { None }; PAGE as usize]);
    let page = if number < NEAR {
        let at = number as usize;
        if at >= near.len() {
            near.resize_with(at + 1, || None);
        }
        near[at].get_or_insert_with(make)
    } else {
        far.entry(number).or_insert_with(make)
    };
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
        let id = || prop_oneof![0..40_u64, (1 << 20) - 2..(1 << 20) + 2_u64, Just(u64::MAX), Just(u64::MAX - 16)];
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
                prop_assert_eq!(map.near.iter().flatten().count() + map.far.len(), pages.len(), "no page is empty");
                let same: ByTopic<_> = plain.iter().map(|(id, value)| (TopicId(*id), *value)).collect();
                prop_assert_eq!(&map, &same, "whatever pages there were");
            }
        }
    }
}
