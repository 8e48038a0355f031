//! Who takes messages: whose turn it is, who waits for some, and who has enough.

use crate::mq::group::Holder;
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

/// One who takes; in the order they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeatId(u64);

#[derive(Debug)]
pub(super) struct Seat {
    /// Who then holds what is taken.
    holder: Holder,
    /// A member, and not a fetch that is over soon.
    is_member: bool,
    waker: Option<Waker>,
    /// Messages it may take before it lets others.
    turn: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It takes, or could.
    Busy,
    /// In `waiting`.
    Waiting,
    /// Told that there is something, and not come yet.
    Called,
    /// It has all it may have, or another one is before it.
    Parked,
}

#[derive(Debug, Default)]
pub(super) struct Seats {
    seats: BTreeMap<SeatId, Seat>,
    waiting: VecDeque<SeatId>,
    called: usize,
    last: u64,
}

impl Seats {
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    pub(super) fn members(&self) -> u32 {
        u32::try_from(self.seats.values().filter(|seat| seat.is_member).count()).unwrap_or(u32::MAX)
    }

    pub(super) fn join(&mut self, holder: Holder, is_member: bool) -> SeatId {
        self.last += 1;
        let id = SeatId(self.last);
        self.seats.insert(id, Seat { holder, is_member, waker: None, turn: 0, place: Place::Busy });
        id
    }

    /// Takes a seat away; who sat there is to be woken.
    pub(super) fn leave(&mut self, id: SeatId) -> Option<Waker> {
        let seat = self.seats.remove(&id)?;
        match seat.place {
            Place::Waiting => self.waiting.retain(|other| *other != id),
            Place::Called => self.called -= 1,
            Place::Busy | Place::Parked => {}
        }
        seat.waker
    }

    /// Takes all seats away; those who sat there are to be woken.
    pub(super) fn clear(&mut self) -> Vec<Waker> {
        self.waiting.clear();
        self.called = 0;
        std::mem::take(&mut self.seats).into_values().filter_map(|seat| seat.waker).collect()
    }

    /// It comes to take something: who holds it then.
    pub(super) fn arrive(&mut self, id: SeatId) -> Option<Holder> {
        let seat = self.seats.get_mut(&id)?;
        match seat.place {
            Place::Called => self.called -= 1,
            Place::Waiting => self.waiting.retain(|other| *other != id),
            Place::Busy | Place::Parked => {}
        }
        seat.place = Place::Busy;
        Some(seat.holder)
    }

    /// Its turn is over and others were called: it is to come again, after them.
    pub(super) fn must_yield(&mut self, id: SeatId, quantum: u32) -> bool {
        let is_contended = self.called > 0;
        let Some(seat) = self.seats.get_mut(&id) else { return false };
        if seat.turn > 0 {
            return false;
        }
        seat.turn = quantum;
        is_contended
    }

    pub(super) fn took(&mut self, id: SeatId) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.turn = seat.turn.saturating_sub(1);
        }
    }

    /// The first that came is the only one an exclusive group has.
    pub(super) fn is_first(&self, id: SeatId) -> bool {
        self.seats.first_key_value().is_some_and(|(first, _)| *first == id)
    }

    /// Nothing is there for it.
    pub(super) fn wait(&mut self, id: SeatId, waker: &Waker) {
        self.sit(id, waker, Place::Waiting);
        self.waiting.push_back(id);
    }

    /// There may be something, but not for it.
    pub(super) fn park(&mut self, id: SeatId, waker: &Waker) {
        self.sit(id, waker, Place::Parked);
    }

    fn sit(&mut self, id: SeatId, waker: &Waker, place: Place) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if !seat.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            seat.waker = Some(waker.clone());
        }
        seat.place = place;
    }

    /// Calls those that wait, at most so many, each to take at least `quantum`.
    pub(super) fn call(&mut self, most: usize, quantum: u32) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while wakers.len() < most
            && let Some(id) = self.waiting.pop_front()
        {
            let Some(seat) = self.seats.get_mut(&id) else { continue };
            (seat.place, seat.turn) = (Place::Called, quantum);
            self.called += 1;
            wakers.extend(seat.waker.take());
        }
        wakers
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What `holder` has may be less now.
    pub(super) fn unpark(&mut self, holder: Holder) -> Vec<Waker> {
        let parked = self.seats.values_mut().filter(|seat| seat.holder == holder && seat.place == Place::Parked);
        parked.filter_map(|seat| seat.waker.take()).collect()
    }

    /// Everybody is to look again.
    pub(super) fn wake_all(&mut self) -> Vec<Waker> {
        self.seats.values_mut().filter_map(|seat| seat.waker.take()).collect()
    }
}
