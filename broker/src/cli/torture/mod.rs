//! `towline torture`: whether a broker loses anything it confirmed, however it is killed.
//!
//! ```text
//!  life      a broker on one data folder, publishers and consumers, and the moment it is killed
//!  ledger    what was confirmed, handed over and settled, and what of it cannot be
//! ```
//! What is in doubt is what nobody can know: a publish without a confirmation, and acks of the last second before a kill.

mod ledger;
mod life;

use super::{Failure, say};
use clap::Args;
use ledger::Ledger;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "\
Starts brokers of its own, on loopback, with a data folder of their own that is removed if nothing was wrong.
Exit code 1: a promise was broken; the folder is kept, and each broken promise is printed.
Example: towline torture --rounds 200")]
pub(super) struct TortureArgs {
    /// Times the broker is killed
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Makes the same choices again, as far as they are ours [default: a new one, printed]
    #[arg(long)]
    seed: Option<u64>,
    /// The longest a broker lives, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1500)]
    longest: u64,
    /// Messages each publisher has on their way
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// The data folder, which must not be there [default: one in the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) fn run(args: &TortureArgs) -> Result<ExitCode, Failure> {
    let failed = |why: String| Failure::running("torture", why, "run it again with the printed seed");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| failed(e.to_string()))?;
    runtime.block_on(torture(args)).map_err(failed)
}

async fn torture(args: &TortureArgs) -> Result<ExitCode, String> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    say(format_args!("towline torture --rounds {} --seed {seed}", args.rounds));
    let name = format!("towline-torture-{}", std::process::id());
    let folder = args.data.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    if folder.exists() {
        return Err(format!("{} is there already", folder.display()));
    }
    let ledger = Arc::new(Ledger::default());
    let mut rng = fastrand::Rng::with_seed(seed);
    for round in 0..args.rounds {
        let plan =
            life::Plan { lives: rng.u64(20..args.longest.max(21)), in_flight: args.in_flight, seed: rng.u64(..) };
        life::live(&folder, &ledger, plan).await.map_err(|why| format!("round {round}: {why}"))?;
        if !ledger.faults().is_empty() {
            break;
        }
    }
    life::drain(&folder, &ledger).await?;
    say(format_args!("{}", ledger.summary()));
    let faults = ledger.faults();
    if faults.is_empty() {
        let _ = std::fs::remove_dir_all(&folder);
        return Ok(ExitCode::SUCCESS);
    }
    for fault in &faults {
        say(format_args!("broken: {fault}"));
    }
    say(format_args!("the data folder is kept: {}", folder.display()));
    Ok(ExitCode::FAILURE)
}
