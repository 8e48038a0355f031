//! Names of things in a store.

/// The place of a message in its topic: from 0 on, growing, never given twice.
pub type Offset = u64;

/// A topic; an id is never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u64);

impl TopicId {
    /// Holds entries of the broker itself, and no message. It is always there.
    pub const BROKER: Self = Self(0);
}

/// A group of consumers; its id is unique among all topics' groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// What a confirmation means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// In the memory of the broker; of a topic only.
    Memory,
    /// Written: kept when the process dies; a sync begins within 100 ms.
    Os,
    /// Synced: kept when the power goes.
    #[default]
    Disk,
}

impl Durability {
    /// As it is written in records.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Memory => 0,
            Self::Os => 1,
            Self::Disk => 2,
        }
    }

    /// As it was written.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Memory),
            1 => Some(Self::Os),
            2 => Some(Self::Disk),
            _ => None,
        }
    }
}
