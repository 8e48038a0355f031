use std::fmt::Display;
use std::time::Duration;

use towline_service_api::builtin::Settle;

/// What is kept of a reason, in bytes.
const REASON: usize = 1024;

/// Why a delivery was not handled, and when to try again. Anything that can be shown becomes one by `?`.
///
/// ```
/// use std::time::Duration;
/// use towline_responder::Nack;
///
/// fn charge(card: &str) -> Result<(), Nack> {
///     if card.is_empty() {
///         return Err(Nack::new("there is no card").dead());
///     }
///     let digits: u64 = card.parse()?;
///     if digits == 0 { Err(Nack::new("the bank is away").after(Duration::from_secs(5))) } else { Ok(()) }
/// }
/// # assert_eq!(charge("x"), Err(Nack::new("invalid digit found in string")));
/// # assert!(charge("4").is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    reason: String,
    delay: Option<Duration>,
    is_dead: bool,
}

// It has no `Display` of its own, or it would be two things that become one.
impl<E: Display> From<E> for Nack {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

impl Nack {
    /// It is delivered again when the group's ladder says: in 10 s, then 30 s, and so on.
    pub fn new(reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let end = (0..=reason.len().min(REASON)).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or_default());
        Self { reason, delay: None, is_dead: false }
    }

    /// It is delivered again at the earliest so long from now.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// It is not delivered again: the dead letter has it.
    #[must_use]
    pub fn dead(self) -> Self {
        Self { is_dead: true, ..self }
    }

    pub(super) fn settle(self, offset: u64) -> Settle {
        let Self { reason, delay, is_dead } = self;
        match (is_dead, delay) {
            (true, _) => Settle::dead(offset),
            (false, Some(delay)) => Settle::nack(offset).after(delay),
            (false, None) => Settle::nack(offset),
        }
        .because(reason)
    }
}
