//! What a data folder holds, for people: looked at without changing it, and repaired as it was said.
//!
//! Invariant: a look changes nothing but the pid in the lock; a repair does what [`Report::repairs`] says and nothing else.

use super::core::{Core, Settings};
use super::disk::Disk;
use super::disk::real::{OpenError, RealDisk};
use super::file::{self, FileId, Kind, Named, PAGE};
use super::sealed::Directories;
use super::snapshot;
use super::survey::Survey;
use super::write::Wrote;
use crate::store::{Batch, Durability, Offset, Op, TopicId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is none.
    #[error("there is no folder {}", .0.display())]
    Missing(PathBuf),
    /// Somebody else has it, or the system refuses.
    #[error("{0}")]
    Refused(String),
    /// There is no room for what an opening writes, and none is kept in reserve any more. Nothing was changed.
    #[error("the volume of the data folder {} is full: {needed} MiB have to be free to open it, what is in it is kept", folder.display())]
    Full {
        /// Which.
        folder: PathBuf,
        /// Mebibytes.
        needed: u64,
    },
    /// The disk, or a file of another version.
    #[error("the data folder {}: {error}", folder.display())]
    Disk {
        /// Which.
        folder: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

impl From<OpenError> for FolderError {
    fn from(error: OpenError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every file, in the order of their names.
    pub files: Vec<FoundFile>,
    /// Every topic, in the order of their ids.
    pub topics: Vec<FoundTopic>,
    /// Every group of consumers, by topic.
    pub groups: Vec<FoundGroup>,
    /// What is lost, a sentence each.
    pub damage: Vec<String>,
    /// What is not as it was written, and costs nothing because it stands elsewhere too.
    pub harmless: Vec<String>,
    /// Bytes at the end of the log that were never confirmed `disk`, and do not count.
    pub cut_bytes: u64,
    /// What the next opening does, or a repair.
    pub repairs: Vec<String>,
}

/// One file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundFile {
    /// Within the folder.
    pub name: String,
    /// Bytes it takes.
    pub bytes: u64,
    /// `segment`, `sealed`, `snapshot`, `spare`, `quarantine` or `unknown`.
    pub kind: &'static str,
    /// What of it counts.
    pub what: String,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundTopic {
    /// Its id.
    pub id: u64,
    /// Its name; `lost-<id>` if the record that created it is damaged.
    pub name: String,
    /// The oldest offset that is kept.
    pub floor: Offset,
    /// The offset the next message gets.
    pub head: Offset,
    /// Messages there are.
    pub messages: u64,
}

/// One group of consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundGroup {
    /// The id of its topic.
    pub topic: u64,
    /// Its id.
    pub id: u64,
    /// The first offset that was never handed over.
    pub next: Offset,
    /// Messages below it that are not settled.
    pub holes: u64,
    /// What it did is not known.
    pub is_lost: bool,
}

/// Looks at a folder; `is_thorough` reads every byte of it and not only what an opening reads.
///
/// # Errors
/// The folder cannot be looked at: see [`FolderError`].
pub fn look(folder: &Path, is_thorough: bool) -> Result<Report, FolderError> {
    let disk = take(folder)?;
    of(&disk, is_thorough).map_err(|error| FolderError::Disk { folder: folder.to_owned(), error })
}

/// Does what a look said that a repair does, and says what it did.
///
/// # Errors
/// The folder cannot be used, or the disk fails: what was there is there then.
pub fn repair(folder: &Path) -> Result<Vec<String>, FolderError> {
    let disk = Arc::new(take(folder)?);
    mend(disk, Settings { snapshot_every: 0, ..Settings::default() })
        .map_err(|error| FolderError::Disk { folder: folder.to_owned(), error })
}

fn take(folder: &Path) -> Result<RealDisk, FolderError> {
    if !folder.is_dir() {
        return Err(FolderError::Missing(folder.to_owned()));
    }
    Ok(RealDisk::open(folder)?)
}

/// See [`repair`].
pub(crate) fn mend(disk: Arc<dyn Disk>, settings: Settings) -> io::Result<Vec<String>> {
    let report = of(&*disk, false)?;
    let core = Core::open(disk, settings)?;
    let lost: Vec<_> = report.groups.iter().filter(|group| group.is_lost).collect();
    for group in lost {
        let (topic, group) = (TopicId(group.topic), crate::store::GroupId(group.id));
        let next = core.view(topic).map_or(0, |view| view.floor);
        let batch = Batch { ops: vec![Op::Seek { topic, group, next }], now: 0 };
        core.append(&batch, Durability::Disk).map_err(io::Error::other)?;
    }
    rest(&core)?;
    core.close();
    rest(&core)?;
    Ok(report.repairs)
}

/// Lets an engine without threads do all it has to.
fn rest(core: &Core) -> io::Result<()> {
    let mut now = 0;
    loop {
        let mut is_idle = core.write() == Wrote::Idle;
        is_idle &= !core.sync();
        now += 1;
        is_idle &= !core.keep(now);
        if core.is_poisoned() {
            return Err(io::Error::other("a write or a sync failed; what was there before is there"));
        }
        if is_idle {
            return Ok(());
        }
    }
}

/// See [`look`].
pub(crate) fn of(disk: &dyn Disk, is_thorough: bool) -> io::Result<Report> {
    let directories = Arc::new(Directories::new(16 << 20));
    let survey = Survey::of(disk, &directories)?;
    let mut report = Report { cut_bytes: survey.cut_bytes(), ..Report::default() };
    files(&mut report, disk, &survey)?;
    state(&mut report, &survey)?;
    log_damage(&mut report, &survey);
    first_pages(&mut report, disk, &survey)?;
    if is_thorough {
        sealed_damage(&mut report, &survey)?;
    }
    repairs(&mut report, &survey);
    Ok(report)
}

/// Every file, and what it is.
fn files(report: &mut Report, disk: &dyn Disk, survey: &Survey) -> io::Result<()> {
    for (name, bytes) in disk.list()? {
        let (kind, what) = match Named::read(&name) {
            Named::Ours(file) => (word(file.kind), role(survey, file)),
            _ if name.starts_with("quarantine/") => ("quarantine", "put aside by an opening".to_owned()),
            _ => ("unknown", "not a file of the store: left alone".to_owned()),
        };
        report.files.push(FoundFile { name, bytes, kind, what });
    }
    Ok(())
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Segment => "segment",
        Kind::Sealed => "sealed",
        Kind::Snapshot => "snapshot",
        Kind::Spare => "spare",
    }
}

fn role(survey: &Survey, file: FileId) -> String {
    let why = |list: &[(FileId, &'static str)]| list.iter().find(|(id, _)| *id == file).map(|(_, why)| *why);
    if let Some(why) = why(&survey.removable) {
        return format!("may be removed: {why}");
    }
    if let Some(why) = why(&survey.unexplained) {
        return format!("belongs into quarantine/: {why}");
    }
    match file.kind {
        Kind::Segment => survey
            .segments
            .get(&file.id)
            .map_or_else(String::new, |scanned| format!("counts: {} groups of the log", scanned.groups.len())),
        Kind::Sealed => survey.sealed.get(&file.id).map_or_else(String::new, |sealed| {
            let adopted = if survey.adopted.contains(&file.id) { ", although no record names it" } else { "" };
            format!("counts: {} messages{adopted}", sealed.record_count())
        }),
        Kind::Snapshot => "the state as of one moment".to_owned(),
        Kind::Spare => "nothing: room for a full disk".to_owned(),
    }
}

fn state(report: &mut Report, survey: &Survey) -> io::Result<()> {
    let mut messages: BTreeMap<TopicId, u64> = BTreeMap::new();
    for sealed in survey.sealed.values() {
        for run in sealed.topics() {
            let run = run?;
            *messages.entry(run.topic).or_default() += run.count;
        }
    }
    for id in survey.state.topics() {
        let Some(topic) = survey.state.topic(id) else { continue };
        let name =
            topic.rest.settings.as_ref().map_or_else(|| format!("lost-{}", id.0), |settings| settings.name.clone());
        let messages = messages.get(&id).copied().unwrap_or(0) + survey.index.from(id, topic.floor).count() as u64;
        report.topics.push(FoundTopic { id: id.0, name, floor: topic.floor, head: topic.head, messages });
        for (group, state) in &topic.rest.groups {
            let (next, holes, is_lost) = (state.next, state.holes.len(), state.is_lost);
            report.groups.push(FoundGroup { topic: id.0, id: group.0, next, holes, is_lost });
        }
    }
    Ok(())
}

fn log_damage(report: &mut Report, survey: &Survey) {
    for (from, to) in &survey.chain.damage {
        report.damage.push(format!(
            "the log from {from} to {to} (segment:position) had been synced and cannot be read: its messages are lost"
        ));
    }
    for file in &survey.lost {
        report.damage.push(format!("{file} has lost its end: what is before that is read"));
    }
    for id in &survey.missing {
        report.damage.push(format!("the file with id {id:011x} counts and is not there: its messages are lost"));
    }
    for group in report.groups.iter().filter(|group| group.is_lost) {
        report.damage.push(format!(
            "what group {} of topic {} has done is lost: it answers `store-failed` until it is set anew",
            group.id, group.topic
        ));
    }
    if survey.lost_topics.contains(&TopicId::BROKER) {
        report
            .damage
            .push("no snapshot can be read: groups that the rest of the log does not name are lost".to_owned());
    }
}

/// First pages, and the pages of snapshots.
fn first_pages(report: &mut Report, disk: &dyn Disk, survey: &Survey) -> io::Result<()> {
    let segments = survey.segments.values().map(|scanned| scanned.segment.id);
    for file in segments.chain(survey.snapshots.iter().copied()).chain(survey.spares.iter().copied()) {
        if file.kind == Kind::Spare {
            continue;
        }
        let opened = disk.open(&file.to_string())?;
        let mut page = vec![0; PAGE];
        let read = opened.read_past_cache(&mut page, 0)?;
        if page[..read] != file::page(file) {
            report.harmless.push(format!("the first page of {file} is damaged: its name says the same"));
        }
        if file.kind == Kind::Snapshot {
            let mut bytes = vec![0; opened.len()? as usize];
            let read = opened.read_past_cache(&mut bytes, 0)?;
            let found = snapshot::read(bytes.get(PAGE..read).unwrap_or_default(), file.seed);
            if found.is_none_or(|found| !found.is_whole) {
                report.harmless.push(format!("{file} is damaged: what of it cannot be read is in the other snapshot"));
            }
        }
    }
    Ok(())
}

/// Every byte of every sealed file.
fn sealed_damage(report: &mut Report, survey: &Survey) -> io::Result<()> {
    for sealed in survey.sealed.values() {
        let (id, damage) = (sealed.id(), sealed.verify()?);
        for (topic, offset) in &damage.records {
            report.damage.push(format!("{id}: the message {offset} of topic {} is damaged", topic.0));
        }
        if damage.unknown > 0 {
            report.damage.push(format!("{id}: {} more messages are damaged, nobody knows which", damage.unknown));
        }
        for at in &damage.pages {
            report.harmless.push(format!("{id}: the page at {at} is damaged: what it says stands elsewhere too"));
        }
    }
    Ok(())
}

fn repairs(report: &mut Report, survey: &Survey) {
    let mut repairs = Vec::new();
    if report.cut_bytes > 0 {
        repairs.push(format!("leave out {} bytes at the end of the log that were never confirmed", report.cut_bytes));
    }
    if survey.damage_count() > 0 || survey.is_cut {
        repairs.push("raise the head of every topic by 65,536, so that no offset is given twice".to_owned());
    }
    repairs.extend(survey.adopted.iter().map(|id| format!("count the sealed file {id:011x}, which no record names")));
    repairs.extend(survey.removable.iter().map(|(file, why)| format!("remove {file}: {why}")));
    repairs.extend(survey.unexplained.iter().map(|(file, why)| format!("put {file} into quarantine/: {why}")));
    if !survey.chain.damage.is_empty() {
        repairs.push("seal the segments that have damaged groups, and put them into quarantine/".to_owned());
    }
    for group in report.groups.iter().filter(|group| group.is_lost) {
        let floor = report.topics.iter().find(|topic| topic.id == group.topic).map_or(0, |topic| topic.floor);
        repairs.push(format!(
            "set group {} of topic {} to the oldest message kept, {floor}: it gets all of them again",
            group.id, group.topic
        ));
    }
    report.repairs = repairs;
}
