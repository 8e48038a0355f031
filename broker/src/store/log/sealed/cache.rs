//! Pages of directories in memory: so many bytes, whatever the number of files.

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// File id, and position of the page in it.
pub(super) type Place = (u64, u64);

/// Pages of the directories of all sealed files. What was asked for again since the hand last came by stays, so reading
/// through a file once drives out little.
#[derive(Debug)]
pub(crate) struct Directories {
    clock: Mutex<Clock>,
}

#[derive(Debug)]
struct Clock {
    slots: Vec<Slot>,
    places: HashMap<Place, usize>,
    hand: usize,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    place: Place,
    page: Bytes,
    was_used: bool,
}

impl Directories {
    /// Holds so many bytes of pages.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let clock = Clock { slots: Vec::new(), places: HashMap::new(), hand: 0, bytes: 0, max_bytes };
        Self { clock: Mutex::new(clock) }
    }

    #[cfg(test)]
    /// Bytes of the pages held now.
    pub(crate) fn bytes(&self) -> usize {
        self.clock.lock().bytes
    }

    pub(super) fn page(&self, place: Place) -> Option<Bytes> {
        let mut clock = self.clock.lock();
        let slot = *clock.places.get(&place)?;
        let slot = &mut clock.slots[slot];
        slot.was_used = true;
        Some(slot.page.clone())
    }

    pub(super) fn insert(&self, place: Place, page: Bytes) {
        let mut clock = self.clock.lock();
        if clock.places.contains_key(&place) || page.len() > clock.max_bytes {
            return;
        }
        while clock.bytes + page.len() > clock.max_bytes {
            clock.drive_out();
        }
        clock.bytes += page.len();
        let slot = clock.slots.len();
        clock.slots.push(Slot { place, page, was_used: false });
        clock.places.insert(place, slot);
    }
}

impl Clock {
    /// Takes out the next page that was not used since the last round. The youngest takes its slot.
    fn drive_out(&mut self) {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let slot = &mut self.slots[self.hand];
            if !std::mem::take(&mut slot.was_used) {
                break;
            }
            self.hand += 1;
        }
        let slot = self.slots.swap_remove(self.hand);
        self.places.remove(&slot.place);
        self.bytes -= slot.page.len();
        if let Some(moved) = self.slots.get(self.hand) {
            self.places.insert(moved.place, self.hand);
        }
        self.hand += 1;
    }
}
