//! Memory, files and CPU of this process, as the kernel tells them at the time of a scrape.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

/// Ticks per second of the times in `/proc/self/stat`: fixed by the ABI on the platforms Rust supports here.
const TICKS: f64 = 100.0;

/// What could be read; what could not is left out of the scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub max_files: Option<u64>,
    pub cpu_seconds: Option<f64>,
    pub uptime: Duration,
}

impl Process {
    pub(super) fn read(uptime: Duration) -> Self {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        Self {
            resident_bytes: resident(&text("status")),
            open_files: open_files(),
            max_files: max_files(),
            cpu_seconds: cpu(&text("stat")),
            uptime,
        }
    }

    pub(super) fn render(&self, into: &mut String) {
        let whole = |value: Option<u64>| value.map(|value| value.to_string());
        let uptime = Some(self.uptime.as_secs_f64().to_string());
        let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
        for (name, labels, kind, help, value) in [
            ("build_info", version, "gauge", "The version that runs; always 1.", whole(Some(1))),
            ("process_resident_memory_bytes", "", "gauge", "Memory in use.", whole(self.resident_bytes)),
            ("process_open_fds", "", "gauge", "File descriptors in use.", whole(self.open_files)),
            ("process_max_fds", "", "gauge", "File descriptors that may be in use.", whole(self.max_files)),
            (
                "process_cpu_seconds_total",
                "",
                "counter",
                "CPU time used, in user mode and in the kernel.",
                self.cpu_seconds.map(|seconds| seconds.to_string()),
            ),
            ("process_uptime_seconds", "", "gauge", "Time since the start.", uptime),
        ] {
            let Some(value) = value else { continue };
            let name = format_args!("towline_{name}");
            write!(into, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}\n\n")
                .expect("a String takes what it is given");
        }
    }
}

/// `VmRSS:  12345 kB` of `status`.
pub(super) fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Descriptors in use.
pub(crate) fn open_files() -> Option<u64> {
    // The one that lists them is open too.
    fs::read_dir("/proc/self/fd").ok().map(|files| (files.count() as u64).saturating_sub(1))
}

/// Descriptors that may be in use; none if there is no limit.
pub(crate) fn max_files() -> Option<u64> {
    rlimit::Resource::NOFILE.get_soft().ok().filter(|max| *max != rlimit::INFINITY)
}

/// User and system time: fields 14 and 15 of `stat`, counted behind the name, which may hold anything.
pub(super) fn cpu(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut times = behind_name.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS)
}
