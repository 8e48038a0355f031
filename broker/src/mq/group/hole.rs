//! A message that was handed over and is not settled.

use super::Holder;
use crate::store::Offset;

/// The most of a reason that is kept, in bytes.
const REASON: usize = 512;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hole {
    /// Hand-overs.
    pub attempts: u16,
    /// Those that ended with a lost link.
    pub losses: u16,
    /// Those that ended with a nack, or at their deadline.
    pub failures: u16,
    pub state: State,
    pub last_error: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    Held {
        by: Holder,
        deadline: u64,
    },
    #[default]
    Ready,
    Waiting {
        due: u64,
    },
    /// On its way to the dead letter.
    Dying,
}

/// A message that is to go to the dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Death {
    pub offset: Offset,
    pub attempts: u32,
    pub reason: Reason,
    pub last_error: Option<Box<str>>,
}

/// Why a message goes to the dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was not settled often enough.
    Attempts,
    /// Its consumers' links were lost often enough.
    Lost,
    /// A consumer said so.
    Consumer,
}

impl Reason {
    /// As the dead letter's header says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "max-attempts",
            Self::Lost => "lost-consumers",
            Self::Consumer => "rejected",
        }
    }
}

/// After how many hand-overs that ended with a lost link a message is handed over alone.
const ALONE_AFTER: u16 = 3;

/// Bits of the store's number: 12 for hand-overs, 10 for lost links, 10 for failures.
const ATTEMPTS: u32 = 12;
const ENDS: u32 = 10;

impl Hole {
    /// It has cost so many links that nothing else may be at stake with it.
    pub(super) fn is_alone(&self) -> bool {
        self.losses >= ALONE_AFTER
    }

    /// As it was recorded, see [`Self::recorded`].
    pub(super) fn restore(recorded: u32) -> Self {
        let bits = |shift: u32, bits: u32| ((recorded >> shift) & ((1 << bits) - 1)) as u16;
        Self {
            attempts: bits(0, ATTEMPTS),
            losses: bits(ATTEMPTS, ENDS),
            failures: bits(ATTEMPTS + ENDS, ENDS),
            ..Self::default()
        }
    }

    /// Attempts in one number, and when it is due: at once, if it is held when the broker stops.
    pub(super) fn recorded(&self) -> (u32, u64) {
        let capped = |count: u16, bits: u32| u32::from(count).min((1 << bits) - 1);
        let attempt = capped(self.attempts, ATTEMPTS)
            | capped(self.losses, ENDS) << ATTEMPTS
            | capped(self.failures, ENDS) << (ATTEMPTS + ENDS);
        let due = if let State::Waiting { due } = self.state { due } else { 0 };
        (attempt, due)
    }

    pub(super) fn remember(&mut self, reason: Option<&str>) {
        if let Some(reason) = reason {
            let end = (0..=reason.len().min(REASON)).rev().find(|end| reason.is_char_boundary(*end));
            self.last_error = Some(reason[..end.unwrap_or_default()].into());
        }
    }
}
