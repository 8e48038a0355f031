//! What was confirmed, handed over and settled, and what of it cannot be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Acks younger than this when the broker is killed may be lost.
const DOUBT: Duration = Duration::from_secs(1);
/// Faults that are told.
const TOLD: usize = 20;

/// The groups that consume.
pub(super) const GROUPS: [&str; 2] = ["billing", "mail"];

#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    next: u64,
    messages: BTreeMap<u64, Message>,
    /// Those that were sent and not confirmed when their broker was killed.
    doubtful: BTreeSet<u64>,
    offsets: HashMap<u64, u64>,
    groups: [HashMap<u64, Seen>; GROUPS.len()],
    kills: Vec<Instant>,
    faults: Vec<String>,
    deliveries: u64,
    redeliveries: u64,
}

#[derive(Debug, Default)]
struct Message {
    /// It is sent with an id, so that it is stored once.
    is_known: bool,
    tries: u32,
    confirmed: Option<u64>,
}

/// What a group has had of an offset.
#[derive(Debug)]
struct Seen {
    /// In which life, and when.
    settled: Option<(usize, Instant)>,
    /// When it was settled last, it was to go to the dead letter.
    is_dead: bool,
}

/// A message to be sent: a new one, or one that is in doubt.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToSend {
    pub(super) id: u64,
    pub(super) is_known: bool,
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to publish next: first what is in doubt.
    pub(super) fn send(&self, rng: &mut fastrand::Rng) -> ToSend {
        let mut pages = self.pages();
        let id = match pages.doubtful.pop_first() {
            Some(id) => id,
            None => {
                pages.next += 1;
                pages.next
            }
        };
        let message =
            pages.messages.entry(id).or_insert_with(|| Message { is_known: rng.bool(), ..Message::default() });
        message.tries += 1;
        ToSend { id, is_known: message.is_known }
    }

    /// A message is stored there.
    pub(super) fn confirmed(&self, id: u64, offset: u64) {
        let mut pages = self.pages();
        pages.place(offset, id);
        let Some(message) = pages.messages.get_mut(&id) else { return };
        let before = message.confirmed.replace(offset);
        let fault = before.filter(|before| *before != offset && message.is_known);
        if let Some(before) = fault {
            pages.fault(format!("message {id} was confirmed at {before} and at {offset}, though it has an id"));
        }
    }

    /// It was not taken: that is certain, and it is tried again.
    pub(super) fn refused(&self, id: u64) {
        self.pages().doubtful.insert(id);
    }

    /// The broker is gone: what it has not confirmed is in doubt.
    pub(super) fn killed(&self, at: Instant) {
        let mut pages = self.pages();
        pages.kills.push(at);
        let doubtful = pages.messages.iter().filter(|(_, message)| message.confirmed.is_none());
        pages.doubtful = doubtful.map(|(id, _)| *id).collect();
    }

    /// A group got a message.
    pub(super) fn delivered(&self, group: usize, offset: u64, id: Option<u64>, is_redelivered: bool) {
        let mut pages = self.pages();
        pages.deliveries += 1;
        pages.redeliveries += u64::from(is_redelivered);
        let Some(id) = id.filter(|id| pages.messages.contains_key(id)) else {
            return pages.fault(format!("{} got at {offset} what nobody has published", GROUPS[group]));
        };
        pages.place(offset, id);
        let group_name = GROUPS[group];
        let Some(seen) = pages.groups[group].get(&offset) else {
            pages.groups[group].insert(offset, Seen { settled: None, is_dead: false });
            return;
        };
        let settled = seen.settled;
        if !is_redelivered {
            pages.fault(format!("{group_name} got {offset} again, and was not told so"));
        }
        let is_doubtful = |(life, at): (usize, Instant)| {
            pages.kills.get(life).is_some_and(|kill| kill.saturating_duration_since(at) < DOUBT)
        };
        if settled.is_some_and(|settled| !is_doubtful(settled)) {
            pages.fault(format!("{group_name} got {offset} again, which it had settled"));
        }
    }

    /// A group has settled a message, or is about to.
    pub(super) fn settled(&self, group: usize, offset: u64, is_dead: bool) {
        let mut pages = self.pages();
        let life = pages.kills.len();
        if let Some(seen) = pages.groups[group].get_mut(&offset) {
            seen.settled = Some((life, Instant::now()));
            seen.is_dead = is_dead;
        }
    }

    /// Messages that are confirmed.
    pub(super) fn confirmations(&self) -> usize {
        self.pages().messages.values().filter(|message| message.confirmed.is_some()).count()
    }

    /// All is consumed: what was confirmed was handed to every group, and what has an id is there once.
    pub(super) fn close(&self, dead: &[BTreeSet<u64>; GROUPS.len()]) {
        let mut pages = self.pages();
        let mut faults = Vec::new();
        let mut places: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (offset, id) in &pages.offsets {
            places.entry(*id).or_default().push(*offset);
        }
        for (id, message) in &pages.messages {
            let Some(offset) = message.confirmed else { continue };
            for (group, seen) in pages.groups.iter().enumerate() {
                if !seen.contains_key(&offset) {
                    faults.push(format!("{} never got {offset}, message {id}, which was confirmed", GROUPS[group]));
                }
            }
            let places = places.get(id).map_or(0, Vec::len);
            if places > 1 && (message.is_known || message.tries < 2) {
                faults.push(format!("message {id} is there {places} times, sent {} times", message.tries));
            }
        }
        for (group, seen) in pages.groups.iter().enumerate() {
            let to_die: BTreeSet<u64> = seen.iter().filter(|(_, seen)| seen.is_dead).map(|(at, _)| *at).collect();
            for offset in to_die.difference(&dead[group]) {
                faults.push(format!("{offset} is no dead letter of {}, which had rejected it", GROUPS[group]));
            }
            for offset in dead[group].difference(&to_die) {
                faults.push(format!("{offset} is a dead letter of {}, which had not rejected it", GROUPS[group]));
            }
        }
        faults.into_iter().for_each(|fault| pages.fault(fault));
    }

    pub(super) fn fault(&self, fault: String) {
        self.pages().fault(fault);
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.pages().faults.clone()
    }

    pub(super) fn summary(&self) -> String {
        let pages = self.pages();
        let confirmed = pages.messages.values().filter(|message| message.confirmed.is_some()).count();
        let (kills, sent) = (pages.kills.len(), pages.messages.len());
        let Pages { deliveries, redeliveries, .. } = *pages;
        format!(
            "{kills} kills, {sent} messages sent, {confirmed} confirmed, {deliveries} deliveries, {redeliveries} of them again"
        )
    }
}

impl Pages {
    /// Each offset is one message's, for ever.
    fn place(&mut self, offset: u64, id: u64) {
        let there = *self.offsets.entry(offset).or_insert(id);
        if there != id {
            self.fault(format!("offset {offset} is that of message {there} and of {id}"));
        }
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < TOLD {
            self.faults.push(fault);
        }
    }
}
