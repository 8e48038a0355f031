//! Which halves of a stream are open. Used by the app engine and by the broker's links, so that both end streams alike.
//!
//! ```text
//!  request-response, stream                 channel
//!                                            up: requester -> responder    down: responder -> requester
//!  [down open] --C from responder--> ended   C from requester closes up;   C from responder closes down
//!              --ERROR, CANCEL-----> ended   CANCEL from responder closes up only
//!                                            ERROR either way, CANCEL from requester: ended
//!                                            ended when both halves are closed
//! ```
//! Protocol.md, "Request Channel" and "Stream Lifetime"; CANCEL from a responder is what java and js do.

use crate::frame::FrameType;

/// Who sent a frame, seen from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side that opened the stream.
    Requester,
    /// The other side.
    Responder,
}

/// What a frame does to its stream, beside carrying an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The C flag.
    Complete,
    /// An ERROR frame.
    Error,
    /// A CANCEL frame.
    Cancel,
}

/// The open halves of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halves {
    up: bool,
    down: bool,
}

impl Halves {
    /// A stream just opened by this kind of request; `complete` is the request's own C flag (channels only).
    pub fn open(kind: FrameType, complete: bool) -> Self {
        Self { up: kind == FrameType::RequestChannel && !complete, down: kind != FrameType::RequestFnf }
    }

    /// Whether this side may still send items.
    pub fn is_open(self, sender: Role) -> bool {
        match sender {
            Role::Requester => self.up,
            Role::Responder => self.down,
        }
    }

    /// Applies a signal; a signal for a half already closed changes nothing.
    pub fn apply(&mut self, from: Role, signal: Signal) {
        match (from, signal) {
            (Role::Requester, Signal::Complete) | (Role::Responder, Signal::Cancel) => self.up = false,
            (Role::Responder, Signal::Complete) => self.down = false,
            (_, Signal::Error) | (Role::Requester, Signal::Cancel) => *self = Self { up: false, down: false },
        }
    }

    /// Both halves are closed: the id is free.
    pub fn is_ended(self) -> bool {
        !self.up && !self.down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_ends_when_both_halves_have() {
        let mut halves = Halves::open(FrameType::RequestChannel, false);
        halves.apply(Role::Responder, Signal::Complete);
        assert!(halves.is_open(Role::Requester) && !halves.is_ended());
        halves.apply(Role::Requester, Signal::Complete);
        assert!(halves.is_ended());
    }

    #[test]
    fn cancel_from_the_responder_stops_the_upstream_only() {
        let mut halves = Halves::open(FrameType::RequestChannel, false);
        halves.apply(Role::Responder, Signal::Cancel);
        assert!(!halves.is_open(Role::Requester) && halves.is_open(Role::Responder));
        halves.apply(Role::Requester, Signal::Cancel);
        assert!(halves.is_ended());
    }

    #[test]
    fn errors_end_everything_and_single_answers_have_one_half() {
        for from in [Role::Requester, Role::Responder] {
            let mut halves = Halves::open(FrameType::RequestChannel, false);
            halves.apply(from, Signal::Error);
            assert!(halves.is_ended());
        }
        assert!(!Halves::open(FrameType::RequestResponse, false).is_open(Role::Requester));
        assert!(!Halves::open(FrameType::RequestChannel, true).is_open(Role::Requester));
        assert!(Halves::open(FrameType::RequestFnf, false).is_ended());
    }
}
