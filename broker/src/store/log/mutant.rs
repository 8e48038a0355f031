//! Faults in the engine that a test can switch on, to see that it would notice them. Outside tests there are none.
//!
//! Each stands for one clause of the rules, at the one place that keeps it: `is_on(Mutant::X)` is constant there.

/// What is left out or done wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Rule 1: the mark says what is written.
    MarkOfWritten,
    /// Rule 1: a round counts for what was written after it began.
    LateRound,
    /// Rule 1: a failed sync is ignored.
    FailedSyncIgnored,
    /// Rule 2: after a roll only the new file is synced.
    OldFileNotSynced,
    /// Rule 2: a new segment's first page is not synced before it is used.
    HeaderNotSynced,
    /// Rule 2: a new segment's name is not synced before it is used.
    NameNotSynced,
    /// Rule 3: a recovery counts though no group says that its copies are synced.
    CopiesTrusted,
    /// Rule 3: copies do not name their recovery.
    NoTriple,
    /// Rule 3: what is kept is said to reach up to the originals of the copies.
    KeptWithCopies,
    /// Rule 3: the folder is cleaned before the mark is synced.
    EarlyClean,
    /// Rule 3: heads are as they were after a cut.
    HeadsNotRaised,
    /// Rule 3: what a recovery decided is not written.
    NoDecisions,
    /// Rule 3: a group counts though a record of it is torn.
    TornGroup,
    /// Rule 3: a group counts though the one before it is missing.
    PreviousNotChecked,
    /// Rule 5: a snapshot is written before its sequence is synced.
    EarlySnapshot,
    /// Rule 5: a snapshot counts though it was never finished.
    UnfinishedSnapshot,
    /// Rule 5: segments are sealed with one snapshot.
    OneSnapshot,
    /// Rule 5: segments are sealed up to what is written, whatever the snapshots are.
    NoSnapshot,
    /// Rule 6: progress that does not join leaves no holes.
    GapSettled,
    /// Rule 7: a sealed file's content is not synced before its record.
    SealedNotSynced,
    /// Rule 7: a sealed file's name is not synced before its record.
    SealedNameNotSynced,
    /// Rule 7: sources are removed before the record is synced.
    EarlyRemoval,
    /// Rule 7: what is dropped at sealing follows from the newest state, synced or not.
    LiveNow,
    /// Rule 8: offsets are used before their reservation is synced.
    NotReserved,
    /// Rule 9: files are merged that leave another's offsets in between.
    Interleaved,
    /// Messages can be read once they are written, whatever their topic says.
    VisibleEarly,
}

#[cfg(not(test))]
pub(crate) const fn is_on(_: Mutant) -> bool {
    false
}

#[cfg(test)]
pub(crate) use switch::{Switch, is_on};

impl Mutant {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 26] = [
        Self::MarkOfWritten,
        Self::LateRound,
        Self::FailedSyncIgnored,
        Self::OldFileNotSynced,
        Self::HeaderNotSynced,
        Self::NameNotSynced,
        Self::CopiesTrusted,
        Self::NoTriple,
        Self::KeptWithCopies,
        Self::EarlyClean,
        Self::HeadsNotRaised,
        Self::NoDecisions,
        Self::TornGroup,
        Self::PreviousNotChecked,
        Self::EarlySnapshot,
        Self::UnfinishedSnapshot,
        Self::OneSnapshot,
        Self::NoSnapshot,
        Self::GapSettled,
        Self::SealedNotSynced,
        Self::SealedNameNotSynced,
        Self::EarlyRemoval,
        Self::LiveNow,
        Self::NotReserved,
        Self::Interleaved,
        Self::VisibleEarly,
    ];
}

#[cfg(test)]
mod switch {
    use super::Mutant;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub(crate) fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// One is on in this thread as long as this lives.
    #[derive(Debug)]
    pub(crate) struct Switch(());

    impl Switch {
        pub(crate) fn on(mutant: Mutant) -> Self {
            ON.set(Some(mutant));
            Self(())
        }
    }

    impl Drop for Switch {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
}
