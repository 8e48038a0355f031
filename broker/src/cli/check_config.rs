//! `towline check-config`: everything that is wrong with a configuration, without starting anything.

use super::settings::SettingArgs;
use super::{Failure, print};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(after_help = "Example: towline check-config --config /etc/towline/towline.toml")]
pub(super) struct CheckConfigArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &CheckConfigArgs) -> Result<ExitCode, Failure> {
    args.settings.sources().load()?;
    print("the configuration is valid\n")
}
