//! Ways for [`crate::store::fuzzing`] to the readers inside.

use super::file::PAGE;
use super::group::{self, Found, Header};
use super::sequence::Sequence;
use super::snapshot::{self, Base};
use crate::store::state::{SEEN_BUDGET, State, TopicState};
use crate::store::wire::Take;

/// Where the group is.
pub(crate) fn sequence_at() -> Sequence {
    Sequence::at(5, PAGE as u64)
}

pub(crate) fn finish_group(bytes: &mut Vec<u8>, seed: u64) {
    let header = Header { sequence: sequence_at(), ..Header::default() };
    group::finish(bytes, &header, seed);
}

pub(crate) fn check_group(bytes: &[u8], sequence: Sequence, seed: u64) -> Found {
    group::check(bytes, sequence, seed, true)
}

/// Reads a snapshot the checksums of whose first and last page are made to fit them; and the bytes as a topic's state.
pub(crate) fn snapshot_pages(bytes: &[u8], seed: u64) -> Option<State> {
    TopicState::decode(&mut Take(bytes));
    let mut bytes = bytes.to_vec();
    let last = bytes.len().checked_sub(PAGE)?;
    snapshot::seal(&mut bytes[..PAGE], seed);
    snapshot::seal(&mut bytes[last..], seed);
    let loaded = snapshot::read(&bytes, seed)?;
    Some(Base::combine(loaded, None, SEEN_BUDGET).state)
}

/// A snapshot of a state.
pub(crate) fn snapshot_contents(state: &State, seed: u64) -> Vec<u8> {
    snapshot::write(&state.freeze(), sequence_at(), &[7], seed)
}
