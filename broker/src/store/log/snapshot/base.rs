//! What a replay begins from: of every topic the newest state that is good, out of two snapshots.

use super::Loaded;
use crate::store::TopicId;
use crate::store::log::sequence::Sequence;
use crate::store::record::Record;
use crate::store::state::{Frozen, State};
use hashbrown::{HashMap, HashSet};

/// A state whose topics are not all as of the same sequence. Invariant: a record is applied to a topic only if it is younger
/// than what is known of that topic, so that replaying all that is younger than the oldest applies everything once.
#[derive(Debug)]
pub(crate) struct Base {
    pub state: State,
    /// The files that count, as of [`Base::sequence`].
    pub files: Vec<u64>,
    /// Of the newer snapshot: what is not named in `behind`, is as of this.
    pub sequence: Sequence,
    /// Topics that neither snapshot has whole.
    pub lost: Vec<TopicId>,
    /// Topics that are as of the older snapshot, or were created after it.
    behind: HashMap<TopicId, Sequence>,
}

impl Base {
    /// That of a folder without snapshots.
    pub(crate) fn empty(seen_budget: usize) -> Self {
        let (files, lost, behind) = (Vec::new(), Vec::new(), HashMap::new());
        Self { state: State::new(seen_budget), files, sequence: Sequence::default(), lost, behind }
    }

    /// Takes every topic from `newer`, and what is damaged there from `older`. Everything younger than `older` has to be
    /// replayed then, so the log still has to have it.
    pub(crate) fn combine(newer: Loaded, older: Option<Loaded>, seen_budget: usize) -> Self {
        let Loaded { sequence, files, mut next_id, mut tick, mut topics, lost: damaged, .. } = newer;
        let (mut behind, mut lost) = (HashMap::new(), Vec::new());
        let mut before = HashMap::new();
        let mut before_lost = HashSet::new();
        if let Some(older) = &older {
            (next_id, tick) = (next_id.max(older.next_id), tick.max(older.tick));
            before.extend(older.topics.iter().map(|(id, state)| (*id, state.clone())));
            before_lost.extend(older.lost.iter().map(|(id, _)| *id));
        }
        for (id, skeleton) in damaged {
            match (&older, before.remove(&id)) {
                (Some(older), Some(state)) => {
                    behind.insert(id, older.sequence);
                    topics.push((id, state));
                }
                // The older one is good and does not have it: it was created since, and that is replayed.
                (Some(older), None) if !before_lost.contains(&id) => {
                    behind.insert(id, older.sequence);
                }
                _ => {
                    lost.push(id);
                    topics.push((id, skeleton));
                }
            }
        }
        let state = State::thaw(Frozen { topics, next_id, tick }, seen_budget);
        Self { state, files, sequence, lost, behind }
    }

    /// Everything younger than this has to be replayed.
    pub(crate) fn from(&self) -> Sequence {
        self.behind.values().copied().min().unwrap_or(self.sequence).min(self.sequence)
    }

    /// True if a record of this topic, in the group `sequence`, is not in the state yet.
    pub(crate) fn is_younger(&self, sequence: Sequence, topic: TopicId) -> bool {
        sequence > self.behind.get(&topic).copied().unwrap_or(self.sequence)
    }

    /// Replays a record of the group `sequence`. Groups come in their order, from the first one after [`Base::from`].
    pub(crate) fn apply(&mut self, sequence: Sequence, record: &Record<'_>) {
        // Damage concerns all topics, also those that are behind.
        let is_for_all = matches!(record, Record::Damage { .. }) && sequence > self.from();
        if is_for_all || self.is_younger(sequence, record.topic()) {
            self.state.apply(record);
        }
    }
}
