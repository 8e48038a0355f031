//! `towline serve`: the broker from start to drain.

use super::settings::SettingArgs;
use super::{Failure, logs, print};
use clap::Args;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use towline::config::Config;
use towline::http::Management;
use towline::metrics::{Meters, recorder};
use towline::shutdown::{Lifecycle, Phase, Signals, Tasks};
use towline::{Broker, StartError};
use tracing::{info, warn};

/// For answers of the management port under way at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// For what blocks a thread at the end.
const LAST_WORK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = "\
Prints `towline ready <addresses>` on standard output once every listener accepts.
The first SIGTERM or SIGINT drains, for at most shutdown.grace; a second one ends the process at once.
Example: towline serve --config towline.toml --listen tcp://127.0.0.1:9999 --management 127.0.0.1:9997")]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let config = args.settings.sources().load()?;
    logs::start(&config.log);
    // What it was started with is often 1,024, of the hundreds of thousands it may have. Refused, it goes with that.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.relay.worker_threads())
        .enable_all()
        .build()
        .map_err(|e| Failure::running("start", format!("no runtime: {e}"), "see the limits of this process"))?;
    let outcome = runtime.block_on(serve(config));
    runtime.shutdown_timeout(LAST_WORK);
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|e| {
        Failure::running("start", format!("cannot watch signals: {e}"), "see the limits of this process")
    })?;
    let lifecycle = Lifecycle::default();
    let meters = Arc::new(Meters::new(&recorder()));
    let tasks = Tasks::default();
    let management = manage(&config, &meters, &lifecycle, &tasks).await?;

    for address in config.listen.addresses.iter().filter(|address| !address.is_loopback()) {
        warn!(%address, "insecure: whoever reaches this listener may use it, nobody has to authenticate");
    }
    let broker = tokio::select! {
        broker = Broker::start(config, meters) => broker.map_err(|e| not_started(&e))?,
        signal = signals.next() => {
            info!(signal = signal.as_str(), "stopped while starting");
            return Ok(());
        }
    };
    lifecycle.enter(Phase::Running);
    let addresses = broker.addresses();
    for address in &addresses {
        info!(%address, "applications connect here");
    }
    print(&ready_line(&addresses, management.as_deref()))?;

    let signal = signals.next().await;
    info!(signal = signal.as_str(), "draining; a second signal ends the process at once");
    lifecycle.enter(Phase::Draining);
    tokio::select! {
        () = broker.drain() => info!("drained"),
        second = signals.next() => {
            warn!(signal = second.as_str(), "ended at once");
            process::exit(second.exit_code().into());
        }
    }
    lifecycle.enter(Phase::Stopped);
    tasks.finish(Instant::now() + LAST_ANSWERS).await;
    Ok(())
}

/// Opens the management port unless it is off; what to show of it in the ready line.
async fn manage(
    config: &Config,
    meters: &Arc<Meters>,
    lifecycle: &Lifecycle,
    tasks: &Tasks,
) -> Result<Option<String>, Failure> {
    let Some(address) = config.management.address else { return Ok(None) };
    let management = Management::bind(address).await.map_err(|e| {
        let next = "stop what is there, or choose another port with --management";
        Failure::running("management", format!("cannot listen on {address}: {e}"), next)
    })?;
    let shown = format!("http://{}", management.address());
    info!(address = %shown, "metrics and probes are here");
    tasks.spawn(management.serve(meters.clone(), lifecycle.watch()));
    Ok(Some(shown))
}

fn ready_line(addresses: &[String], management: Option<&str>) -> String {
    let management = management.map(|address| format!(" management={address}")).unwrap_or_default();
    format!("towline ready {}{management}\n", addresses.join(" "))
}

/// The error says what to do next behind its last `;`.
fn not_started(error: &StartError) -> Failure {
    let text = error.to_string();
    let (why, next) = text.rsplit_once("; ").unwrap_or((&text, "see the log"));
    Failure::running("start", why, next)
}
