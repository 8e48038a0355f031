//! Memory that is in no cache, waited for together.
//!
//! Work on many things that lie far apart in memory, one after the other, waits for each of them; a lock taken or a count raised
//! ends whatever the processor had begun ahead. Looked at first, with nothing else between, several come in the time of one.

use std::hint::black_box;

/// Looks at each of these.
#[inline]
pub(crate) fn touch<T>(all: impl IntoIterator<Item = T>, look: impl Fn(T) -> u64) {
    black_box(all.into_iter().fold(0, |seen, each| seen ^ look(each)));
}
