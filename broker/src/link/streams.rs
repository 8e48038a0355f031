//! The streams of one link: ids, and which stream of which other link each one leads to.
//!
//! Invariant: a stream is in this table as long as frames of it may still be read from, or must still be counted
//! against, this link's app. Both entries of a relayed stream carry one [`Serial`]; an id may be used again, a serial
//! never, so whatever crosses links names both.

use super::packet::Step;
use super::window::Window;
use hashbrown::HashMap;
use rsocket::frame::MAX_STREAM_ID;
use rsocket::stream::{Halves, Role, Signal};
use rsocket::{FrameType, StreamId};

/// The identity of one relayed stream, drawn by the requester's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Serial(u64);

impl Serial {
    /// Of frames that belong to no relayed stream.
    pub(crate) const NONE: Self = Self(0);
}

/// One side of a relayed stream, as the other side knows it.
#[derive(Clone, Debug)]
pub(crate) struct Leg<L> {
    pub link: L,
    pub stream: StreamId,
    pub serial: Serial,
}

#[derive(Debug)]
pub(crate) struct Entry<L> {
    pub serial: Serial,
    pub kind: FrameType,
    /// What this link's app is on this stream.
    pub role: Role,
    pub halves: Halves,
    /// The other side; none while the requester's link looks for a responder.
    pub to: Option<(L, StreamId)>,
    /// Fragments of the request are still to come.
    pub is_request_open: bool,
    /// An item read from this link's app has fragments to come, and what it weighs so far.
    pub is_sending: bool,
    pub sent: u32,
    /// An item for this link's app has fragments to come.
    pub is_receiving: bool,
    /// CANCEL was sent to this responder: the entry only counts, until the stream ends or a later KEEPALIVE is echoed.
    pub is_cancelled: bool,
    /// Its request went past the desk of the service it is for.
    pub is_detour: bool,
    /// The place its request got in this link's outbox, if it was queued there.
    pub opened: u64,
    /// Bytes of the request queued since they were last looked at.
    pub unchecked: u32,
    /// Of the items that flow to this link's app.
    pub window: Option<Box<Window>>,
}

impl<L: Clone> Entry<L> {
    /// The other side, once known.
    pub(crate) fn leg(&self) -> Option<Leg<L>> {
        let (link, stream) = self.to.clone()?;
        Some(Leg { link, stream, serial: self.serial })
    }

    /// The other side, without a copy.
    pub(crate) fn into_leg(self) -> Option<Leg<L>> {
        let (link, stream) = self.to?;
        Some(Leg { link, stream, serial: self.serial })
    }

    /// What a frame that is queued for this app does to the stream.
    pub(crate) fn arrive(&mut self, step: Step) {
        let sender = match self.role {
            Role::Requester => Role::Responder,
            Role::Responder => Role::Requester,
        };
        match step.kind {
            FrameType::Error => self.halves.apply(sender, Signal::Error),
            FrameType::Cancel => self.halves.apply(sender, Signal::Cancel),
            FrameType::Payload => {
                if sender == Role::Requester && self.is_request_open {
                    self.is_request_open = step.follows();
                }
                if step.is_complete() {
                    self.halves.apply(sender, Signal::Complete);
                }
            }
            _ => {}
        }
    }

    /// Nothing more can come from this app, nor go to it. Who was answered need not send the rest of its request.
    pub(crate) fn is_over(&self) -> bool {
        self.halves.is_ended() && !(self.is_request_open && self.kind == FrameType::RequestFnf)
    }
}

#[derive(Debug)]
pub(crate) struct Streams<L> {
    entries: HashMap<StreamId, Entry<L>>,
    last_id: StreamId,
    last_serial: u64,
    /// Streams this app opened, and streams opened towards it.
    counts: [usize; 2],
}

impl<L> Streams<L> {
    /// The table of the link with this number (at most 2^24 at a time differ in their serials' high bits).
    pub(crate) fn new(link: u64) -> Self {
        Self { entries: HashMap::new(), last_id: 0, last_serial: (link << 40) | 1, counts: [0; 2] }
    }

    /// A serial that no other stream has.
    pub(crate) fn draw_serial(&mut self) -> Serial {
        self.last_serial += 1;
        Serial(self.last_serial)
    }

    /// The serial drawn last.
    pub(crate) fn last_serial(&self) -> Serial {
        Serial(self.last_serial)
    }

    /// The next free even id: ids grow by 2, wrap after 2^31-2 and skip those in use.
    pub(crate) fn draw_id(&mut self) -> StreamId {
        loop {
            self.last_id = if self.last_id >= MAX_STREAM_ID - 1 { 2 } else { self.last_id + 2 };
            if !self.entries.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    pub(crate) fn contains(&self, stream: StreamId) -> bool {
        self.entries.contains_key(&stream)
    }

    pub(crate) fn insert(&mut self, stream: StreamId, entry: Entry<L>) {
        self.counts[side(entry.role)] += 1;
        let before = self.entries.insert(stream, entry);
        debug_assert!(before.is_none(), "an id in use is not given away");
    }

    #[inline]
    pub(crate) fn entry(&mut self, stream: StreamId) -> Option<&mut Entry<L>> {
        self.entries.get_mut(&stream)
    }

    /// The entry of this stream if it is still the one meant.
    #[inline]
    pub(crate) fn exact(&mut self, stream: StreamId, serial: Serial) -> Option<&mut Entry<L>> {
        self.entries.get_mut(&stream).filter(|entry| entry.serial == serial)
    }

    pub(crate) fn remove(&mut self, stream: StreamId) -> Option<Entry<L>> {
        let entry = self.entries.remove(&stream)?;
        self.counts[side(entry.role)] -= 1;
        Some(entry)
    }

    /// Gives the table's memory back if no stream is open. For whoever looks now and then: a busy link empties its table
    /// many times a second.
    pub(crate) fn rest(&mut self) {
        if self.entries.is_empty() {
            self.entries = HashMap::new();
        }
    }

    /// Streams on which this app has this role.
    pub(crate) fn count(&self, role: Role) -> usize {
        self.counts[side(role)]
    }

    /// All streams.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> HashMap<StreamId, Entry<L>> {
        self.counts = [0; 2];
        std::mem::take(&mut self.entries)
    }

    #[cfg(test)]
    pub(crate) fn set_last_id(&mut self, id: StreamId) {
        self.last_id = id;
    }
}

fn side(role: Role) -> usize {
    match role {
        Role::Requester => 0,
        Role::Responder => 1,
    }
}
