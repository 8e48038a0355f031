//! What holders say became of what they have.

use super::{Group, Holder, LADDER, Reason, Refusal, State};
use crate::store::Offset;

impl Group {
    /// Done.
    pub(crate) fn ack(&mut self, by: Holder, offset: Offset) -> Result<(), Refusal> {
        self.check(by, offset, true)?;
        self.settle(offset);
        Ok(())
    }

    /// Done: all that `by` has up to `offset`. How many.
    pub(crate) fn ack_to(&mut self, by: Holder, offset: Offset) -> Result<u64, Refusal> {
        if offset >= self.next {
            return Err(Refusal::Invalid);
        }
        let held = self.holders.get(&by).map(|hands| hands.held.range(..=offset).copied().collect::<Vec<_>>());
        let held = held.unwrap_or_default();
        held.iter().for_each(|offset| self.settle(*offset));
        Ok(held.len() as u64)
    }

    /// Again, in `delay` milliseconds or as the ladder says.
    pub(crate) fn nack(
        &mut self,
        by: Holder,
        offset: Offset,
        delay: Option<u64>,
        reason: Option<&str>,
        now: u64,
    ) -> Result<(), Refusal> {
        self.check(by, offset, false)?;
        let failures = self.fail(offset, reason);
        if failures >= self.rules.max_attempts {
            self.die(offset, Reason::Attempts);
            return Ok(());
        }
        let step = LADDER[usize::from(failures - 1).min(LADDER.len() - 1)];
        self.wait_until(offset, now.saturating_add(delay.unwrap_or(step * 1000)), now);
        Ok(())
    }

    /// The deadline starts again, `by_millis` from now.
    pub(crate) fn extend(&mut self, by: Holder, offset: Offset, millis: Option<u64>, now: u64) -> Result<(), Refusal> {
        self.check(by, offset, false)?;
        let until = now.saturating_add(millis.unwrap_or(self.rules.ack_deadline));
        let Some(hole) = self.holes.get_mut(&offset) else { return Err(Refusal::Stale) };
        if let State::Held { deadline, .. } = &mut hole.state {
            self.times.remove(&(*deadline, offset));
            *deadline = until;
            self.times.insert((until, offset));
        }
        Ok(())
    }

    /// A ready one cannot be read now: it is not ready before then.
    pub(crate) fn postpone(&mut self, offset: Offset, until: u64) {
        if self.ready.remove(&offset) || self.alone.remove(&offset) {
            self.wait_until(offset, until, 0);
        }
    }

    /// To the dead letter now.
    pub(crate) fn kill(&mut self, by: Holder, offset: Offset, reason: Option<&str>) -> Result<(), Refusal> {
        self.check(by, offset, true)?;
        self.release(offset);
        if let Some(hole) = self.holes.get_mut(&offset) {
            hole.remember(reason);
        }
        self.die(offset, Reason::Consumer);
        Ok(())
    }

    /// Whether `by` may settle it; only some settles are open to those who do not hold it.
    fn check(&self, by: Holder, offset: Offset, is_open: bool) -> Result<(), Refusal> {
        if offset >= self.next {
            return Err(Refusal::Invalid);
        }
        match self.holes.get(&offset).map(|hole| hole.state) {
            Some(State::Held { by: holder, .. }) if holder == by => Ok(()),
            Some(State::Ready | State::Waiting { .. }) if is_open => Ok(()),
            _ => Err(Refusal::Stale),
        }
    }
}
