//! What a data folder holds and what of it counts: read, and nothing changed. An opening carries out what is found here, and
//! `towline fsck` shows it.
//!
//! ```text
//!  names -> segments scanned, snapshots read, sealed files opened
//!        -> the newest good snapshot of each topic, then the groups behind it, in order
//!        -> the sealed files that count, what they replace, what nobody knows
//! ```

use super::chain::{Chain, Seen};
use super::disk::Disk;
use super::file::{FileId, Kind, Named, VERSION};
use super::group;
use super::index::{Index, Spot};
use super::scan::Scanned;
use super::sealed::{Directories, Opened, Sealed, open, salvage};
use super::segment::Segment;
use super::sequence::Sequence;
use super::snapshot::{self, Base};
use crate::store::TopicId;
use crate::store::record::Record;
use crate::store::state::{SEEN_BUDGET, State};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

/// What a folder holds. Made by [`Survey::of`].
#[derive(Debug)]
pub(crate) struct Survey {
    /// Those that hold groups that count and are in no sealed file, by id.
    pub segments: BTreeMap<u64, Scanned>,
    pub chain: Chain,
    /// After the last kept group.
    pub state: State,
    /// Of kept groups; those above [`Chain::synced`] are where they are now.
    pub index: Index,
    /// Files that count.
    pub sealed: BTreeMap<u64, Arc<Sealed>>,
    /// Those of them that no record names: what they replaced is gone, so they are all there is.
    pub adopted: Vec<u64>,
    /// Files that may be removed, and why.
    pub removable: Vec<(FileId, &'static str)>,
    /// Files that are put into quarantine, and why.
    pub unexplained: Vec<(FileId, &'static str)>,
    /// Files of the log that count and cannot be used.
    pub lost: Vec<FileId>,
    /// Ids of files that count and are not there.
    pub missing: Vec<u64>,
    pub snapshots: Vec<FileId>,
    pub spares: Vec<FileId>,
    /// The snapshot that was read, if any, is as of this.
    pub base: Sequence,
    /// No snapshot could be read: there never was one, or all are damaged.
    pub is_base_missing: bool,
    /// What is behind the last group that counts may have given offsets.
    pub is_cut: bool,
    /// Bytes of a group behind all others that is not whole.
    pub torn: u64,
    /// Topics the state of whose groups could not be read, and no opening has said so yet; the broker's: all of them.
    pub lost_topics: BTreeSet<TopicId>,
    /// Above every id of a file.
    pub next_id: u64,
}

/// What the log says of sealed files.
struct Listed {
    /// Those that count.
    files: BTreeSet<u64>,
    /// Those of which it still knows that others count in their place.
    gone: BTreeSet<u64>,
    /// Those of which it still knows that nothing is kept.
    dead: BTreeSet<u64>,
    /// What earlier openings found damaged.
    damage: Vec<(Sequence, Sequence)>,
}

impl Survey {
    /// Reads a folder. An error of the disk is an error: what could not be read is never taken for what is not there.
    pub(crate) fn of(disk: &dyn Disk, directories: &Arc<Directories>) -> io::Result<Self> {
        let (files, next_id) = list(disk)?;
        let of_kind = |kind| files.iter().copied().filter(move |file: &FileId| file.kind == kind);
        let (mut segments, mut memory) = (BTreeMap::new(), Vec::new());
        for file in of_kind(Kind::Segment) {
            segments.insert(file.id, Scanned::read(Segment::open(disk, file)?, &mut memory)?);
        }
        drop(memory);
        let mut opened = BTreeMap::new();
        for file in of_kind(Kind::Sealed) {
            opened.insert(file.id, (file, open(disk, directories, file, &file.to_string())?));
        }
        let found = snapshot::load(disk, of_kind(Kind::Snapshot))?;
        let is_base_missing = found.is_none();
        let base = found.unwrap_or_else(|| Base::empty(SEEN_BUDGET));
        let seen: Vec<Seen> = segments.values().flat_map(|scanned: &Scanned| scanned.groups.iter().copied()).collect();
        let is_replaced = |segment: u64| {
            let was_sealed = segment <= base.sequence.segment() || is_base_missing && !opened.is_empty();
            !segments.contains_key(&segment) && was_sealed
        };
        let chain = Chain::of(&seen, base.sequence, is_replaced);
        let mut survey = Self {
            chain,
            state: State::default(),
            index: Index::default(),
            sealed: BTreeMap::new(),
            adopted: Vec::new(),
            removable: Vec::new(),
            unexplained: Vec::new(),
            lost: Vec::new(),
            missing: Vec::new(),
            snapshots: of_kind(Kind::Snapshot).collect(),
            spares: of_kind(Kind::Spare).collect(),
            base: base.sequence,
            is_base_missing,
            is_cut: false,
            torn: 0,
            lost_topics: base.lost.iter().copied().collect(),
            next_id,
            segments,
        };
        survey.miss_the_beginning();
        let listed = survey.replay(base)?;
        survey.choose(disk, directories, opened, &listed)?;
        for topic in &survey.lost_topics {
            survey.state.apply(&Record::Lost { topic: *topic });
        }
        survey.sort_segments(&listed);
        Ok(survey)
    }

    /// Without a snapshot the state is what the whole log adds up to: where that does not begin at its beginning, what the
    /// groups of consumers did is not known.
    fn miss_the_beginning(&mut self) {
        let is_missing = match self.chain.kept.first().map(|group| group.header.previous) {
            Some(previous) => previous != Sequence::default() && !self.segments.contains_key(&previous.segment()),
            None => !self.snapshots.is_empty(),
        };
        if self.is_base_missing && is_missing {
            self.lost_topics.insert(TopicId::BROKER);
        }
    }

    /// Applies the kept groups to the snapshot; the sealed files that count by what they say.
    fn replay(&mut self, base: Base) -> io::Result<Listed> {
        let mut base = base;
        let files = base.files.iter().copied().collect();
        let mut listed = Listed { files, gone: BTreeSet::new(), dead: BTreeSet::new(), damage: Vec::new() };
        for seen in &self.chain.kept {
            let sequence = seen.header.sequence;
            let segment = &self.segments[&sequence.segment()].segment;
            let bytes = Scanned::group(segment, seen)?;
            let mut position = sequence.position() as u32 + group::HEADER as u32;
            for (frame, record) in group::frames(group::records(&bytes)) {
                if frame.is_message() {
                    let spot = Spot { offset: frame.offset, segment: sequence.segment(), position };
                    self.index.push(frame.topic, spot, frame.len);
                }
                position += frame.len;
                if frame.is_message() && !base.is_younger(sequence, frame.topic) {
                    continue;
                }
                let Some(record) = Record::decode(record) else { continue };
                if let Record::Sealed { file, replaces } = &record {
                    listed.gone.extend(replaces);
                    listed.dead.extend(replaces.iter().filter(|_| *file == 0));
                    if sequence > base.sequence {
                        listed.files.extend(Some(*file).filter(|file| *file != 0));
                        listed.files.retain(|file| !replaces.contains(file));
                    }
                }
                match record {
                    Record::Damage { from, to } => listed.damage.push((Sequence(from), Sequence(to))),
                    Record::Lost { topic: TopicId::BROKER } => self.lost_topics.clear(),
                    Record::Lost { topic } => drop(self.lost_topics.remove(&topic)),
                    _ => {}
                }
                base.apply(sequence, &record);
            }
        }
        let gone: Vec<_> = self.index.topics().filter(|topic| base.state.topic(*topic).is_none()).collect();
        gone.into_iter().for_each(|topic| self.index.forget_topic(topic));
        self.state = base.state;
        Ok(listed)
    }

    /// Rule 7: which sealed files count. What they replace, and what they were to replace, decides about the others.
    fn choose(
        &mut self,
        disk: &dyn Disk,
        directories: &Arc<Directories>,
        opened: BTreeMap<u64, (FileId, Opened)>,
        listed: &Listed,
    ) -> io::Result<()> {
        let there: BTreeSet<u64> = self
            .segments
            .keys()
            .copied()
            .chain(listed.files.iter().copied().filter(|id| opened.contains_key(id)))
            .collect();
        let missing = listed.files.iter().filter(|id| !opened.contains_key(*id) && !self.segments.contains_key(*id));
        self.missing.extend(missing);
        let mut unlisted = Vec::new();
        for (id, (file, opened)) in opened {
            if let Opened::Damaged(_, damage) = &opened {
                tracing::warn!(%file, ?damage, "a sealed file is damaged: what of it cannot be read is known");
            }
            let is_listed = listed.files.contains(&id);
            match opened {
                Opened::Complete(sealed) | Opened::Damaged(sealed, _) if is_listed => {
                    self.sealed.insert(id, Arc::new(sealed));
                }
                Opened::Incomplete(replaces) if is_listed => {
                    let replaces = replaces.unwrap_or_default();
                    let (sealed, _) = salvage(disk, directories, file, &file.to_string(), &replaces)?;
                    self.lost.push(file);
                    self.sealed.insert(id, Arc::new(sealed));
                }
                opened => unlisted.push((file, opened)),
            }
        }
        let mut replaced: BTreeSet<u64> = self.sealed.values().flat_map(|sealed| sealed.replaces().to_vec()).collect();
        replaced.extend(&listed.gone);
        let is_missing = |id: &u64| !there.contains(id) && !replaced.contains(id);
        for (file, opened) in unlisted {
            if replaced.contains(&file.id) {
                self.removable.push((file, "a file that counts replaces it"));
                continue;
            }
            match opened {
                Opened::Complete(sealed) | Opened::Damaged(sealed, _) => {
                    if !sealed.replaces().iter().any(is_missing) {
                        self.removable.push((file, "no record names it, and what it was to replace is there"));
                    } else {
                        self.adopted.push(file.id);
                        self.sealed.insert(file.id, Arc::new(sealed));
                    }
                }
                Opened::Incomplete(Some(replaces)) if replaces.iter().any(is_missing) => {
                    self.unexplained.push((file, "it is not whole, and what it replaces is gone"));
                }
                // What it was to replace is removed only after its record: it was never finished.
                Opened::Incomplete(_) => self.removable.push((file, "it was never finished")),
            }
        }
        if self.is_base_missing {
            // The topics whose messages are all that is left of them.
            for sealed in self.sealed.values() {
                for run in sealed.topics() {
                    let run = run?;
                    self.state.apply(&Record::Reserve { topic: run.topic, head: run.last + 1, reserved: 0 });
                }
            }
        }
        Ok(())
    }

    /// Segments that are replaced or dead, hold nothing, or nothing that counts.
    fn sort_segments(&mut self, listed: &Listed) {
        let mut replaced = listed.dead.clone();
        replaced.extend(self.sealed.values().flat_map(|sealed| sealed.replaces().to_vec()));
        // Nobody needs what is missing there, or was cut by a recovery whose own segment has gone before.
        let is_needed = |sequence: Sequence| !replaced.contains(&sequence.segment());
        self.chain.damage.retain(|(from, to)| is_needed(*from) || is_needed(Sequence(to.0 - 1)));
        let last = self.chain.kept.last().map_or(Sequence::default(), |group| group.header.sequence);
        let newest = || self.segments.range(last.segment()..);
        self.torn = newest().map(|(_, scanned)| scanned.torn(last)).sum();
        let is_clean = self.chain.is_clean;
        let may_give = |(id, scanned): (&u64, &Scanned)| {
            // Behind the group that closed the log only its mark comes, which gives none.
            let is_mark = is_clean && *id == last.segment();
            scanned.has_rest && !is_clean || scanned.torn(last) > 0 && !is_mark
        };
        self.is_cut = self.chain.cut > 0 || newest().any(may_give);
        let in_use: BTreeSet<u64> = self.chain.kept.iter().map(|group| group.header.sequence.segment()).collect();
        let is_in = |damage: &[(Sequence, Sequence)], id: &u64| {
            damage.iter().any(|(from, to)| from.segment() <= *id && *id <= to.segment())
        };
        let mut gone = Vec::new();
        for (id, scanned) in &self.segments {
            let file = scanned.segment.id;
            if replaced.contains(id) && is_in(&listed.damage, id) {
                gone.push(*id);
                self.unexplained.push((file, "its groups are damaged"));
            } else if replaced.contains(id) {
                gone.push(*id);
                self.removable.push((file, "nobody needs it any more"));
            } else if !in_use.contains(id) {
                gone.push(*id);
                if is_in(&self.chain.damage, id) && (scanned.has_rest || !scanned.groups.is_empty()) {
                    self.unexplained.push((file, "its groups are damaged"));
                } else {
                    self.removable.push((file, "nothing in it counts"));
                }
            }
        }
        for id in gone {
            self.index.forget_segment(id);
            self.segments.remove(&id);
        }
    }

    /// Bytes that were written and do not count, because they were never certain.
    pub(crate) fn cut_bytes(&self) -> u64 {
        self.chain.cut + self.torn
    }

    /// What is missing: messages, and what groups did.
    pub(crate) fn damage_count(&self) -> u64 {
        (self.chain.damage.len() + self.lost.len() + self.missing.len() + self.lost_topics.len()) as u64
    }

    /// Kept groups that are not known to be synced: to be written again.
    pub(crate) fn unsynced(&self) -> &[Seen] {
        let from = self.chain.kept.partition_point(|group| group.header.sequence <= self.chain.synced);
        &self.chain.kept[from..]
    }
}

/// The files of the log in a folder, and an id above all theirs; what is not one of them is nobody's business here.
fn list(disk: &dyn Disk) -> io::Result<(Vec<FileId>, u64)> {
    let (mut files, mut next_id) = (Vec::new(), 1);
    for (name, _) in disk.list()? {
        // An id is not given again either that a file in quarantine has.
        let bare = name.strip_prefix("quarantine/").unwrap_or(&name);
        if let Named::Ours(file) = Named::read(bare) {
            next_id = next_id.max(file.id + 1);
        }
        match Named::read(&name) {
            Named::Ours(file) => files.push(file),
            Named::Version(version) => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "`{name}` has format {version} of the store, this broker knows {VERSION}: use the broker that wrote it"
                    ),
                ));
            }
            Named::Other => {}
        }
    }
    files.sort_unstable();
    Ok((files, next_id))
}
