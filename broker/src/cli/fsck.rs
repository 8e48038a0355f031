//! `towline fsck`: what a data folder holds, and what of it is damaged; with `--repair` it is mended as was said.

use super::settings::SettingArgs;
use super::{Failure, print};
use clap::Args;
use std::fmt::Write;
use std::process::ExitCode;
use towline::config::Problem;
use towline::store::fsck::{self, FolderError, Report};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing is damaged, or it was repaired; 1 damage was found; 2 the folder could not be looked at, or a wrong
command line.
Example: towline fsck --data /var/lib/towline")]
pub(super) struct FsckArgs {
    /// Do what an opening would do, and set groups whose state is lost to the oldest message kept
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &FsckArgs) -> Result<ExitCode, Failure> {
    let folder = args.settings.sources().layered()?.config.data.directory;
    let report = fsck::look(&folder, true).map_err(refused)?;
    print(&text(&report))?;
    if args.repair {
        let done: String =
            fsck::repair(&folder).map_err(refused)?.iter().map(|step| format!("done: {step}\n")).collect();
        return print(&(done + "the folder is repaired\n"));
    }
    Ok(ExitCode::from(u8::from(!report.damage.is_empty())))
}

/// A folder that cannot be looked at is not a damaged one: another exit code.
pub(super) fn refused(error: FolderError) -> Failure {
    let next = match &error {
        FolderError::Missing(_) => "name the folder with --data",
        FolderError::Refused(_) | FolderError::Disk { .. } | FolderError::Full { .. } => "see --data",
    };
    Failure { code: 2, problems: vec![Problem::new("data folder", error.to_string(), next)] }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string never fails.
        let _ = writeln!(out, "{text}");
    };
    for file in &report.files {
        line(format_args!("file {} ({} bytes): {}", file.name, file.bytes, file.what));
    }
    for topic in &report.topics {
        line(format_args!(
            "topic {} ({}): {} messages, offsets {} to {}",
            topic.name, topic.id, topic.messages, topic.floor, topic.head
        ));
    }
    for group in &report.groups {
        line(format_args!(
            "group {} of topic {}: next {}, {} not settled",
            group.id, group.topic, group.next, group.holes
        ));
    }
    if report.cut_bytes > 0 {
        line(format_args!(
            "cut: {} bytes at the end of the log were never confirmed, and do not count",
            report.cut_bytes
        ));
    }
    report.harmless.iter().for_each(|text| line(format_args!("harmless: {text}")));
    report.damage.iter().for_each(|text| line(format_args!("damage: {text}")));
    report.repairs.iter().for_each(|text| line(format_args!("--repair would {text}")));
    match report.damage.len() {
        0 => line(format_args!("nothing is damaged")),
        count => line(format_args!("{count} damaged")),
    }
    out
}
