//! `towline bench storm`: apps that all come at once, and all come back when their broker does.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};
use towline_responder::rsocket::engine::Responder;
use towline_responder::{App, Serve, ServiceKey};

use super::Failure;
use super::arrivals::Arrivals;
use super::crowd::{Crowd, Plan};
use super::figures::Figures;
use super::hosted::{self, Counts, Host, HostArgs, seconds, whole};
use super::report::Output;

/// How often the broker is asked who is there.
const LOOK: Duration = Duration::from_millis(20);
const REGISTERED_WITHIN: Duration = Duration::from_secs(60);
/// What is registered is still registered so much later.
const CALM: Duration = Duration::from_secs(1);
/// What apps that are registered get before their broker is killed: a connection that lived so long was a good one to
/// the library, so it begins with short pauses again.
const GOOD: Duration = Duration::from_secs(11);

#[derive(Debug, Args)]
#[command(after_help = "\
Connects that many apps as fast as it can, each with a service of its own, and tells how long the broker took to have
all of them. With --restart the same number of apps of the library then stand at the broker, which is killed and, a
while later, started again at the same port: how long until it has all of them again, and how evenly they came. The
worst second has at most twice the mean if they do not return as one; the mean is over the time the broker took to
have all, at least a second.
Examples:
  towline bench storm --connections 10000
  towline bench storm --connections 10000 --restart --away 5 -o json")]
pub(super) struct StormArgs {
    #[arg(long, default_value_t = 1_000, value_parser = whole(1, 25_000))]
    connections: u64,
    /// Kill the broker and start it again, too
    #[arg(long, conflicts_with = "broker")]
    restart: bool,
    /// Time between the end of the broker and its new start
    #[arg(long, default_value = "5", value_parser = seconds)]
    away: Duration,
    #[command(flatten)]
    host: HostArgs,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Both storms, then the figures.
pub(super) async fn run(args: StormArgs) -> Result<(), Failure> {
    let connections = args.connections as usize;
    hosted::descriptors_for(connections)?;
    let shape = json!({
        "connections": connections, "restart": args.restart, "away_seconds": args.away.as_secs_f64(),
    });
    let mut found = Figures::new("storm", shape);
    let mut host = Host::start(&args.host, None).await?;
    let alone = counts(&host).await?;

    let begin = Instant::now();
    let plan = Plan { address: host.address, connections, tls: None, one_service: false, at_once: connections };
    let crowd = Crowd::gather(plan);
    let came = until(&host, alone.services + connections, alone.accepted).await?;
    found.add("storm_seconds", "seconds until the broker has all services", came.within.as_secs_f64());
    if came.is_complete {
        crowd.gathered(REGISTERED_WITHIN).await?;
        found.add("storm_answered_seconds", "seconds until each app has an answer", begin.elapsed().as_secs_f64());
    }
    let services = alone.services + connections;
    found.add("storm_lost", "registrations lost", lost(&host, services).await?);
    drop(crowd);
    gone(&host, alone).await?;

    if args.restart {
        restart(&args, &mut host, alone, &mut found).await?;
    }
    found.print(args.output)?;
    Ok(())
}

async fn restart(args: &StormArgs, host: &mut Host, alone: Counts, found: &mut Figures) -> Result<(), Failure> {
    let connections = args.connections as usize;
    let library = Library::start(host, connections)?;
    let before = counts(host).await?.accepted;
    until(host, alone.services + connections, before).await?;
    sleep(GOOD).await;

    let killed = Instant::now();
    host.replace(&args.host, args.away).await?;
    let pause = killed.elapsed();
    let services = alone.services + connections;
    // What a broker starts with is its own.
    let came = until(host, services, alone.accepted).await?;
    found.add("away_seconds", "seconds without a broker", pause.as_secs_f64());
    found.add("return_seconds", "seconds until the new broker has all services", came.within.as_secs_f64());
    found.add("return_lost", "registrations lost", lost(host, services).await?);
    let again = counts(host).await?.accepted.saturating_sub(alone.accepted + connections);
    found.add("return_again", "connections beyond one an app", again as f64);
    let (worst, mean) = came.arrivals.worst_and_mean();
    found.add("return_mean_arrivals", "arrivals a second, mean", mean);
    found.add("return_worst_arrivals", "arrivals within the worst second", worst);
    found.add("return_worst_over_mean", "the worst second over the mean", worst / mean);
    library.stop();
    Ok(())
}

/// How they came.
struct Came {
    within: Duration,
    /// All did.
    is_complete: bool,
    arrivals: Arrivals,
}

/// Waits until the broker has so many services, or no longer; `before` is how many links it had accepted at first.
async fn until(host: &Host, services: usize, before: usize) -> Result<Came, Failure> {
    let begin = Instant::now();
    let mut arrivals = Arrivals::default();
    arrivals.record(Duration::ZERO, before);
    loop {
        let counts = counts(host).await?;
        let within = begin.elapsed();
        arrivals.record(within, counts.accepted);
        let is_complete = counts.services >= services;
        if is_complete || within > REGISTERED_WITHIN {
            return Ok(Came { within, is_complete, arrivals });
        }
        sleep(LOOK).await;
    }
}

/// How many of so many services the broker does not have once all is calm.
async fn lost(host: &Host, services: usize) -> Result<f64, Failure> {
    sleep(CALM).await;
    Ok(services.saturating_sub(counts(host).await?.services) as f64)
}

/// Waits until the broker has forgotten all that came.
async fn gone(host: &Host, alone: Counts) -> Result<(), Failure> {
    let deadline = Instant::now() + REGISTERED_WITHIN;
    loop {
        let now = counts(host).await?;
        if (now.links, now.services) == (alone.links, alone.services) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "the broker still has {} links and {} services",
                now.links, now.services
            )));
        }
        sleep(LOOK).await;
    }
}

async fn counts(host: &Host) -> Result<Counts, Failure> {
    host.counts().await?.ok_or_else(|| Failure::new("the broker has to count: name its --broker-management"))
}

/// Apps written with the library, on a thread of their own.
struct Library {
    runtime: Runtime,
    apps: Vec<App>,
}

struct Silent;

impl Responder for Silent {}

impl Library {
    fn start(host: &Host, count: usize) -> Result<Self, Failure> {
        let failed = |e: &dyn std::fmt::Display| Failure::new(format!("apps of the library: {e}"));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().map_err(|e| failed(&e))?;
        let address = format!("rsocket://{}", host.address);
        let start = |nth: usize| {
            let key = ServiceKey { group: "".into(), service: format!("crowd.App{nth}").into(), version: "".into() };
            let app = App::connect(address.as_str()).name(format!("app-{nth}")).serve_payloads(key, Silent);
            let _on = runtime.enter();
            app.start_detached().map_err(|e| failed(&e))
        };
        let apps = (0..count).map(start).collect::<Result<_, _>>()?;
        Ok(Self { runtime, apps })
    }

    /// Without goodbyes.
    fn stop(self) {
        self.runtime.shutdown_background();
        drop(self.apps);
    }
}
