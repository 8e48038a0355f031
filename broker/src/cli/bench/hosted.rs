//! The broker under load: started for this run, or one that already runs; its counts and its memory.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;
use super::children::Child;
use super::cpu::Processes;
use super::memory::Memory;

/// A scrape may wait behind everything else a loaded machine does.
const SCRAPED_WITHIN: Duration = Duration::from_secs(20);

/// Which broker is loaded.
#[derive(Debug, Args)]
pub(super) struct HostArgs {
    /// A broker that already runs, instead of one started for this run
    #[arg(long, requires = "broker_pid", conflicts_with = "serve_arg")]
    broker: Option<SocketAddr>,
    /// The process id of that broker, for its memory and CPU time
    #[arg(long, requires = "broker")]
    broker_pid: Option<u32>,
    /// The management address of that broker, for its own counts of links and services
    #[arg(long, requires = "broker")]
    broker_management: Option<SocketAddr>,
    /// A further argument for the `towline serve` that is started (repeatable)
    #[arg(long, allow_hyphen_values = true)]
    serve_arg: Vec<String>,
}

/// The broker of a run.
#[derive(Debug)]
pub(super) struct Host {
    /// Killed when the run is over; none if it was running already.
    child: Option<Child>,
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
    management: Option<SocketAddr>,
}

/// What the broker says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Links of apps.
    pub(super) links: usize,
    /// Links accepted since the broker started.
    pub(super) accepted: usize,
    /// Services with an instance.
    pub(super) services: usize,
}

impl Host {
    /// As the arguments say; `tls` is a folder with `server.pem` and `server.key`.
    pub(super) async fn start(args: &HostArgs, tls: Option<&Path>) -> Result<Self, Failure> {
        if let (Some(address), Some(pid)) = (args.broker, args.broker_pid) {
            return Ok(Self { child: None, address, pid, management: args.broker_management });
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::serve(any, any, tls, &args.serve_arg).await
    }

    /// Kills the broker, waits, and starts one at the same addresses.
    pub(super) async fn replace(&mut self, args: &HostArgs, away: Duration) -> Result<(), Failure> {
        let (Some(child), Some(management)) = (self.child.take(), self.management) else {
            return Err(Failure::new(
                "only a broker that was started for this run can be restarted: leave --broker out",
            ));
        };
        drop(child);
        tokio::time::sleep(away).await;
        *self = Self::serve(self.address, management, None, &args.serve_arg).await?;
        Ok(())
    }

    async fn serve(
        listen: SocketAddr,
        management: SocketAddr,
        tls: Option<&Path>,
        more: &[String],
    ) -> Result<Self, Failure> {
        let (listen, management) = (format!("tcp://{listen}"), management.to_string());
        let fixed = ["serve", "--listen", &listen, "--management", &management, "--log", "error"];
        let args: Vec<&str> = fixed.into_iter().chain(more.iter().map(String::as_str)).collect();
        let files: Vec<PathBuf> = tls.iter().flat_map(|at| [at.join("server.pem"), at.join("server.key")]).collect();
        let names = ["TOWLINE_TLS__CERTIFICATE", "TOWLINE_TLS__KEY"];
        let environment: Vec<(&str, &OsStr)> = names.into_iter().zip(files.iter().map(AsRef::as_ref)).collect();
        let child = Child::start_with("towline ready", &args, &environment).await?;
        let management = management_address(child.ready_line());
        Ok(Self { address: child.address(), pid: child.pid(), management, child: Some(child) })
    }

    /// Whose CPU time is whose: the broker's, and that of this process, which makes the load.
    pub(super) fn processes(&self) -> Processes {
        Processes { server: self.pid, others: vec![std::process::id()] }
    }

    pub(super) fn memory(&self) -> Result<Memory, Failure> {
        Memory::of(self.pid)
    }

    /// None if the broker has no management port that is known here.
    pub(super) async fn counts(&self) -> Result<Option<Counts>, Failure> {
        let Some(at) = self.management else { return Ok(None) };
        let failed = |why: &dyn std::fmt::Display| Failure::new(format!("ask the broker at {at}: {why}"));
        let text = timeout(SCRAPED_WITHIN, scrape(at)).await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        Counts::parse(&text).map(Some).ok_or_else(|| failed(&"a metric is missing"))
    }
}

impl Counts {
    /// Out of an answer of `/metrics`.
    pub(super) fn parse(metrics: &str) -> Option<Self> {
        let count = |name: &str| {
            let lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
            let value = lines.filter_map(|rest| rest.strip_prefix(' ')).find_map(|value| value.parse::<f64>().ok());
            value.map(|value| value as usize)
        };
        Some(Self {
            links: count("towline_links_open{kind=\"app\"}")?,
            accepted: count("towline_links_accepted_total")?,
            services: count("towline_services_registered")?,
        })
    }
}

async fn scrape(at: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// The management address in the line a broker says that it is ready with.
pub(super) fn management_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("management=http://")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// So many descriptors as a load of this many connections needs.
pub(super) fn descriptors_for(connections: usize) -> Result<(), Failure> {
    let needed = connections + 100;
    let may = rlimit::increase_nofile_limit(u64::MAX).map_err(|e| Failure::new(format!("descriptors: {e}")))?;
    if may < needed as u64 {
        return Err(Failure::new(format!("{needed} descriptors are needed and this process may open {may}")));
    }
    Ok(())
}

/// A number for clap, within these.
pub(super) fn whole(least: u64, most: u64) -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(least..=most)
}

/// A time for clap, in seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds from 0.05 to 86400".to_owned()),
    }
}
