//! Opening: what a survey found is carried out, in new files only, and nothing is served before (rule 3).
//!
//! ```text
//!  1 new segments: decisions, then every kept group that is not known to be synced, each header with (kept, first, last)
//!  2 sync them            3 an empty group that calls `last` synced            4 sync
//!  5 only now: remove what is replaced, put aside what nobody explains
//! ```
//! A crash before 4 has changed nothing: no group calls `last` synced, so the next opening does not count these groups and
//! finds the old ones as they were.

use super::catalog::{Catalog, Held};
use super::chain::Seen;
use super::core::{Settings, Writer};
use super::disk::Disk;
use super::file::FileId;
use super::group::{self, Header, Recovery};
use super::scan::Scanned;
use super::segment::Segment;
use super::sequence::Sequence;
use super::survey::Survey;
use crate::store::log::mutant::{self, Mutant};
use crate::store::record::Record;
use hashbrown::HashMap;
use std::io;

/// Heads are raised by so much after damage or a cut: nobody can have used more offsets that nothing tells of.
const RAISE: u64 = 65_536;

/// What an opening leaves: from here on the engine writes.
#[derive(Debug)]
pub(crate) struct Opened {
    pub survey: Survey,
    pub catalog: Catalog,
    pub writer: Writer,
    /// Everything up to here is certain.
    pub synced: Sequence,
}

/// Writes what was decided; the folder is the engine's then.
pub(crate) fn recover(
    disk: &dyn Disk,
    mut survey: Survey,
    settings: &Settings,
    seeds: &mut fastrand::Rng,
) -> io::Result<Opened> {
    drop_unfinished(disk, &mut survey, settings)?;
    let mut groups = decisions(&mut survey, settings.group_max);
    let unsynced: Vec<Seen> = survey.unsynced().to_vec();
    // The originals of what is copied do not count any more.
    let in_place = &survey.chain.kept[..survey.chain.kept.len() - unsynced.len()];
    let kept = in_place.last().map_or(survey.base, |group| group.header.sequence.max(survey.base));
    for seen in &unsynced {
        let segment = &survey.segments[&seen.header.sequence.segment()].segment;
        let bytes = Scanned::group(segment, seen)?;
        let mut copy = vec![0; group::HEADER];
        copy.extend_from_slice(group::records(&bytes));
        groups.push(copy);
    }
    if mutant::is_on(Mutant::EarlyClean) {
        clean(disk, &survey)?;
        (survey.removable, survey.unexplained) = (Vec::new(), Vec::new());
    }
    let (places, segments) = layout(disk, &mut survey, &groups, settings, seeds)?;
    let (first, last) = (places[0], places[places.len() - 1]);
    let kept_to = unsynced.last().filter(|_| mutant::is_on(Mutant::KeptWithCopies));
    let kept_to = kept_to.map_or(kept, |group| group.header.sequence);
    let mut recovery = Recovery { kept: kept_to, first, last };
    if mutant::is_on(Mutant::NoTriple) {
        recovery = Recovery::default();
    }
    let mut catalog = Catalog::new(std::mem::take(&mut survey.index), settings.recent);
    // Groups that are copied are found where their copies are.
    unsynced.iter().for_each(|seen| catalog.index.forget_from(seen.header.sequence));
    let mut previous = kept;
    for (bytes, sequence) in groups.iter_mut().zip(&places) {
        let segment = segments.iter().find(|segment| segment.id.id == sequence.segment()).expect("laid out here");
        let header = Header { sequence: *sequence, previous, synced: survey.chain.synced, recovery, flags: 0 };
        group::finish(bytes, &header, segment.id.seed);
        segment.file.write_at(bytes, sequence.position())?;
        catalog.add(*sequence, group::records(bytes));
        previous = *sequence;
    }
    segments.iter().try_for_each(|segment| segment.file.sync())?;
    let newest = segments.last().expect("there is at least one").clone();
    let position = last.position() + groups[groups.len() - 1].len() as u64;
    let sequence = Sequence::at(newest.id.id, position);
    let mut mark = vec![0; group::HEADER];
    let header = Header { sequence, previous: last, synced: last, recovery, flags: 0 };
    group::finish(&mut mark, &header, newest.id.seed);
    newest.file.write_at(&mark, position)?;
    newest.file.sync()?;
    shorten(&mut survey);
    hold(&mut catalog, &survey, &segments, last);
    let position = position + mark.len() as u64;
    let writer =
        Writer { segment: newest, position, previous: sequence, recovery, is_marked: true, spare: Vec::new(), left: 0 };
    Ok(Opened { survey, catalog, writer, synced: sequence })
}

/// A spare file that is not as long as a segment is no reserve: whoever made it did not come to its end.
fn drop_unfinished(disk: &dyn Disk, survey: &mut Survey, settings: &Settings) -> io::Result<()> {
    let lengths: HashMap<String, u64> = disk.list()?.into_iter().collect();
    let is_whole = |spare: &FileId| lengths.get(&spare.to_string()) == Some(&settings.segment);
    let (whole, unfinished): (Vec<_>, Vec<_>) = std::mem::take(&mut survey.spares).into_iter().partition(is_whole);
    survey.spares = whole;
    survey.removable.extend(unfinished.into_iter().map(|spare| (spare, "it was never finished")));
    Ok(())
}

/// What the recovery decided, as records: they are replayed like any others.
fn decisions(survey: &mut Survey, group_max: usize) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let is_damaged = survey.damage_count() > 0;
    records.extend(survey.chain.damage.iter().map(|(from, to)| Record::Damage { from: from.0, to: to.0 }));
    records.extend(survey.lost_topics.iter().map(|topic| Record::Lost { topic: *topic }));
    let keeps_heads = mutant::is_on(Mutant::HeadsNotRaised);
    if (is_damaged || survey.is_cut) && !keeps_heads {
        records.extend(survey.state.raise_heads(RAISE));
    } else if !survey.chain.is_clean && !keeps_heads {
        records.extend(survey.state.restore_weak_heads());
    }
    for file in &survey.adopted {
        records.push(Record::Sealed { file: *file, replaces: survey.sealed[file].replaces().to_vec() });
    }
    // Else the next opening would miss them, if a snapshot names them.
    let gone: Vec<u64> = survey.removable.iter().chain(&survey.unexplained).map(|(file, _)| file.id).collect();
    if !gone.is_empty() {
        records.push(Record::Sealed { file: 0, replaces: gone });
    }
    if mutant::is_on(Mutant::NoDecisions) {
        records.clear();
    }
    let mut groups = vec![vec![0; group::HEADER]];
    for record in records {
        if groups.last().is_none_or(|bytes| bytes.len() > group_max / 2) {
            groups.push(vec![0; group::HEADER]);
        }
        record.encode(groups.last_mut().expect("there is one"));
    }
    groups
}

/// Places for the groups, in as many new segments as they need, with room for the mark behind them.
fn layout(
    disk: &dyn Disk,
    survey: &mut Survey,
    groups: &[Vec<u8>],
    settings: &Settings,
    seeds: &mut fastrand::Rng,
) -> io::Result<(Vec<Sequence>, Vec<Segment>)> {
    let mut segments = vec![create(disk, survey, settings, seeds)?];
    let (mut places, mut position) = (Vec::with_capacity(groups.len()), Segment::START);
    for (nth, bytes) in groups.iter().enumerate() {
        let len = bytes.len().next_multiple_of(group::HEADER) as u64;
        let is_last = nth + 1 == groups.len();
        let needed = len + if is_last { group::HEADER as u64 } else { 0 };
        if segments[segments.len() - 1].len - position < needed {
            segments.push(create(disk, survey, settings, seeds)?);
            position = Segment::START;
        }
        places.push(Sequence::at(segments[segments.len() - 1].id.id, position));
        position += len;
    }
    Ok((places, segments))
}

fn create(disk: &dyn Disk, survey: &mut Survey, settings: &Settings, seeds: &mut fastrand::Rng) -> io::Result<Segment> {
    let (id, seed) = (survey.next_id, seeds.u64(..));
    survey.next_id += 1;
    match Segment::create(disk, id, seed, settings.segment) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => match survey.spares.pop() {
            Some(spare) => Segment::from_spare(disk, spare, id, seed),
            None => Err(error),
        },
        created => created,
    }
}

/// Gives back what former lives did not fill of their segments (rule 9): many that were short would take a whole file each, and
/// the time to look through it. After the mark nothing behind their last groups can count any more.
fn shorten(survey: &mut Survey) {
    let damage = &survey.chain.damage;
    let is_damaged = |id: u64| damage.iter().any(|(from, to)| from.segment() <= id && id <= to.segment());
    for (_, scanned) in survey.segments.iter_mut().filter(|(id, _)| !is_damaged(**id)) {
        if let Err(error) = scanned.shorten() {
            tracing::warn!(file = %scanned.segment.id, %error, "what a segment does not fill is not given back");
        }
    }
}

/// The catalog holds what the index points to.
fn hold(catalog: &mut Catalog, survey: &Survey, new: &[Segment], last: Sequence) {
    for (id, scanned) in &survey.segments {
        let end =
            survey.chain.kept.iter().rev().map(|group| group.header.sequence).find(|group| group.segment() == *id);
        let damage = &survey.chain.damage;
        let is_damaged = damage.iter().any(|(from, to)| from.segment() <= *id && *id <= to.segment());
        catalog.segments.insert(*id, Held { segment: scanned.segment.clone(), end, is_damaged });
    }
    for segment in new {
        let is_newest = segment.id.id == last.segment();
        let end = (!is_newest).then_some(last);
        catalog.segments.insert(segment.id.id, Held { segment: segment.clone(), end, is_damaged: false });
    }
    catalog.sealed = survey.sealed.clone();
    let shown: Vec<_> = survey.state.topics().into_iter().map(|topic| (topic, survey.state.head(topic))).collect();
    catalog.show(&shown);
}

/// Removes what may go, and puts aside what nobody explains: after the mark of the recovery is synced.
pub(crate) fn clean(disk: &dyn Disk, survey: &Survey) -> io::Result<()> {
    for (file, why) in &survey.removable {
        tracing::debug!(%file, why, "removed");
        disk.remove(&file.to_string())?;
    }
    for (file, why) in &survey.unexplained {
        tracing::warn!(%file, why, "put into quarantine/");
        disk.rename(&file.to_string(), &format!("quarantine/{file}"))?;
    }
    disk.sync_dir()
}
