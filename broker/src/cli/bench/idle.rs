//! `towline bench idle`: what registered connections cost that say nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Failure;
use super::cpu::Reading;
use super::crowd::{Crowd, Plan};
use super::figures::Figures;
use super::hosted::{self, Host, HostArgs, seconds, whole};
use super::member;
use super::report::Output;

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
/// Connections being made at one time.
const AT_ONCE: usize = 256;
/// What a broker gets to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(2);
const GATHERED_WITHIN: Duration = Duration::from_secs(300);
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
#[command(after_help = "\
Connects that many apps, each with a service of its own (--one-service: the same one) and a KEEPALIVE every 20 s, and
reads of the broker: its memory alone, with them, and after each of them has made a few calls (--traffic); its CPU time
in the seconds after that; connections that ended, and registrations the broker no longer has. Memory by three counts
of the kernel: resident, proportional (Pss), private (Private_Dirty: what the broker allocated).
Examples:
  towline bench idle --connections 15000 --seconds 60
  towline bench idle --connections 10000 --traffic 3 -o json
  towline bench idle --connections 5000 --tls rsocket/tests/fixtures
  towline bench idle --connections 3000 --broker 127.0.0.1:9999 --broker-pid 4711")]
pub(super) struct IdleArgs {
    #[arg(long, default_value_t = 1_000, value_parser = whole(1, 25_000))]
    connections: u64,
    /// Time without anything but KEEPALIVEs
    #[arg(long, default_value = "60", value_parser = seconds)]
    seconds: Duration,
    /// Calls each app makes before that
    #[arg(long, default_value_t = 0, default_missing_value = "3", num_args = 0..=1, value_parser = whole(0, 1_000))]
    traffic: u64,
    /// All apps publish the same service
    #[arg(long)]
    one_service: bool,
    /// With TLS: a folder with server.pem and server.key for localhost, and ca.pem, which signed it
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Connects them, waits, prints what was found.
pub(super) async fn run(args: IdleArgs) -> Result<(), Failure> {
    let connections = args.connections as usize;
    hosted::descriptors_for(connections)?;
    let tls = args.tls.as_deref().map(member::trust).transpose()?;
    let shape = json!({
        "connections": connections, "seconds": args.seconds.as_secs_f64(), "traffic": args.traffic,
        "one_service": args.one_service, "tls": tls.is_some(),
    });
    let mut found = Figures::new("idle", shape);

    let host = Host::start(&args.host, args.tls.as_deref()).await?;
    sleep(REST).await;
    let (alone, counts) = (host.memory()?, host.counts().await?);
    found.add("alone_resident_mib", "resident memory without connections, MiB", alone.resident as f64 / MIB);
    found.add("alone_private_mib", "private memory without connections, MiB", alone.private as f64 / MIB);

    let plan = Plan { address: host.address, connections, tls, one_service: args.one_service, at_once: AT_ONCE };
    let (begun, crowd) = (Instant::now(), Crowd::gather(plan));
    crowd.gathered(GATHERED_WITHIN).await?;
    found.add("gathered_seconds", "seconds until all were registered", begun.elapsed().as_secs_f64());
    sleep(REST).await;
    let [resident, proportional, private] = host.memory()?.each_since(&alone, connections);
    found.add("new_resident_kib_each", "resident memory a new connection, KiB", resident / KIB);
    found.add("new_proportional_kib_each", "proportional memory a new connection, KiB", proportional / KIB);
    found.add("new_private_kib_each", "private memory a new connection, KiB", private / KIB);

    for _ in 0..args.traffic {
        crowd.call_each(ANSWERED_WITHIN).await?;
    }
    sleep(REST).await;
    let begin = Reading::take(&host.processes())?;
    sleep(args.seconds).await;
    let usage = begin.until(&Reading::take(&host.processes())?);
    let after = host.memory()?;
    let [resident, proportional, private] = after.each_since(&alone, connections);
    found.add("idle_resident_kib_each", "resident memory an idle connection, KiB", resident / KIB);
    found.add("idle_proportional_kib_each", "proportional memory an idle connection, KiB", proportional / KIB);
    found.add("idle_private_kib_each", "private memory an idle connection, KiB", private / KIB);
    found.add("idle_resident_mib", "resident memory with all of them, MiB", after.resident as f64 / MIB);
    let share = usage.server_seconds / usage.seconds;
    found.add("idle_cpu_cores", "CPU while idle, share of a core", share);
    found.add("foreign_cores", "CPU of other processes meanwhile, cores", usage.foreign_cores);

    found.add("disconnects", "connections that ended", crowd.lost() as f64);
    if let Some((before, after)) = counts.zip(host.counts().await?) {
        let services = if args.one_service { 1 } else { connections };
        let lost = (before.links + connections).saturating_sub(after.links);
        found.add("links_lost", "links the broker no longer has", lost as f64);
        let lost = (before.services + services).saturating_sub(after.services);
        found.add("registrations_lost", "services the broker no longer has", lost as f64);
    }
    found.print(args.output)?;
    match crowd.first_loss() {
        None => Ok(()),
        Some(failure) => Err(Failure::new(format!("{} connections ended; {failure}", crowd.lost()))),
    }
}
