//! `towline config show`: the configuration that applies, in the form of a configuration file.

use super::settings::SettingArgs;
use super::{Failure, print};
use clap::{Args, Subcommand};
use std::process::ExitCode;
use towline::config::Entry;

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every key and its value, as a configuration file that says the same
    #[command(after_help = "Example: TOWLINE_RELAY__MARK=2MiB towline config show --origin")]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Say for each key what set it
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    let Verb::Show(show) = &args.verb;
    let layered = show.settings.sources().layered()?;
    let shown = print(&listing(&layered.entries(), show.origin))?;
    // What does not pass the checks is still shown, since that is how one finds out why.
    layered.check()?;
    Ok(shown)
}

fn listing(entries: &[Entry], with_origin: bool) -> String {
    let lines = entries.iter().map(|entry| {
        let setting = match &entry.value {
            Some(value) => format!("{} = {value}", entry.key),
            None => format!("# {} is not set", entry.key),
        };
        if with_origin { format!("{setting:<44} # {}\n", entry.origin) } else { setting + "\n" }
    });
    lines.collect()
}
