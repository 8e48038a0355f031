//! What the names in the folder mean: now, and for certain.

use super::luck::Luck;
use fastrand::Rng;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub current: BTreeMap<String, u64>,
    certain: BTreeMap<String, u64>,
    /// Since the last sync of the folder, in order.
    unsynced: Vec<Change>,
}

/// A create takes a name, a remove frees one, a rename does both.
#[derive(Clone, Debug)]
struct Change {
    inode: u64,
    takes: Option<String>,
    frees: Option<String>,
}

impl Names {
    pub(super) fn create(&mut self, name: &str, inode: u64) {
        self.current.insert(name.to_owned(), inode);
        self.unsynced.push(Change { inode, takes: Some(name.to_owned()), frees: None });
    }

    /// False if there is no such name.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(inode) = self.current.remove(from) else { return false };
        self.current.insert(to.to_owned(), inode);
        self.unsynced.push(Change { inode, takes: Some(to.to_owned()), frees: Some(from.to_owned()) });
        true
    }

    /// False if there is no such name.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(inode) = self.current.remove(name) else { return false };
        self.unsynced.push(Change { inode, takes: None, frees: Some(name.to_owned()) });
        true
    }

    /// True if the file may be found by a name, now or after a power cut.
    pub(super) fn may_name(&self, inode: u64) -> bool {
        self.current.values().chain(self.certain.values()).any(|named| *named == inode)
            || self.unsynced.iter().any(|change| change.inode == inode)
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            self.apply(change);
        }
    }

    /// Some become certain, the others never do.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        self.settle(rng);
    }

    pub(super) fn power_cut(&mut self, rng: &mut Rng) {
        self.settle(rng);
        self.current = self.certain.clone();
    }

    fn settle(&mut self, rng: &mut Rng) {
        let luck = Luck::draw(rng);
        let changes = std::mem::take(&mut self.unsynced);
        let mut arrived: Vec<bool> = changes.iter().map(|_| luck.arrives(rng)).collect();
        // No file system gives a name to one file and leaves it to another: what freed the name arrived as well.
        for later in (0..changes.len()).rev().filter(|later| changes[*later].takes.is_some()) {
            if arrived[later] {
                for earlier in 0..later {
                    arrived[earlier] |= changes[earlier].frees == changes[later].takes;
                }
            }
        }
        for (change, _) in changes.into_iter().zip(arrived).filter(|(_, arrived)| *arrived) {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        self.certain.retain(|_, inode| *inode != change.inode);
        if let Some(name) = change.takes {
            self.certain.insert(name, change.inode);
        }
    }
}
