//! CPU time: of the processes of this run, and what everything else took from the machine meanwhile.
//!
//! Two views of the foreign load, the larger counts. `/proc/stat` less our own processes sees all there is, other containers
//! too; but where the kernel charges network interrupts to the process they hit (no IRQ_TIME_ACCOUNTING), our own time
//! holds our loopback traffic, `user + system` does not, and the difference comes out too small: a process that burns 0.94
//! of a core shows as 0.64. The sum over all other processes does not depend on that, but sees only this pid namespace.

use std::fs;
use std::time::Instant;

use super::Failure;

/// USER_HZ: what /proc counts in, 100 on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processes of one side: the one measured and the ones that make its load.
#[derive(Debug, Clone)]
pub(super) struct Processes {
    pub(super) server: u32,
    /// The others of this run, the driver and idle ones included.
    pub(super) others: Vec<u32>,
}

/// CPU seconds used up to one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    at: Instant,
    server: f64,
    others: f64,
    /// Of every process that is not of this run, ended ones included.
    foreign: f64,
    machine: MachineTime,
}

/// What was used between two readings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    pub(super) server_seconds: f64,
    pub(super) others_seconds: f64,
    /// Cores that were busy outside of this run on average, time stolen from a virtual machine included.
    pub(super) foreign_cores: f64,
}

/// CPU seconds of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ProcessTime {
    pub(super) own: f64,
    /// With the children it has waited for, so that the sum over all processes keeps what ended ones used.
    pub(super) with_reaped: f64,
}

/// CPU seconds of all cores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MachineTime {
    /// User, nice and system.
    pub(super) busy: f64,
    pub(super) stolen: f64,
}

impl Reading {
    pub(super) fn take(processes: &Processes) -> Result<Self, Failure> {
        let foreign = of_all_but(processes)?;
        let mut others = 0.0;
        for pid in &processes.others {
            others += of_process(*pid)?.own;
        }
        let server = of_process(processes.server)?.own;
        let machine =
            machine_seconds(&read("/proc/stat")?).ok_or_else(|| Failure::new("/proc/stat has no cpu line"))?;
        Ok(Self { at: Instant::now(), server, others, foreign, machine })
    }

    pub(super) fn until(&self, end: &Self) -> Usage {
        let seconds = end.at.duration_since(self.at).as_secs_f64();
        let server_seconds = end.server - self.server;
        let others_seconds = end.others - self.others;
        let unexplained = end.machine.busy - self.machine.busy - server_seconds - others_seconds;
        let foreign = unexplained.max(end.foreign - self.foreign).max(0.0) + end.machine.stolen - self.machine.stolen;
        Usage { seconds, server_seconds, others_seconds, foreign_cores: foreign / seconds }
    }
}

fn of_process(pid: u32) -> Result<ProcessTime, Failure> {
    let path = format!("/proc/{pid}/stat");
    process_seconds(&read(&path)?).ok_or_else(|| Failure::new(format!("{path} is not understood")))
}

fn of_all_but(processes: &Processes) -> Result<f64, Failure> {
    let entries = fs::read_dir("/proc").map_err(|e| Failure::new(format!("list /proc: {e}")))?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let foreign = pids.filter(|pid| *pid != processes.server && !processes.others.contains(pid));
    // One that has just ended is in its parent's sum.
    Ok(foreign.filter_map(|pid| of_process(pid).ok()).map(|time| time.with_reaped).sum())
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|e| Failure::new(format!("read {path}: {e}")))
}

/// User and system time out of /proc/<pid>/stat; the name in brackets may hold blanks and brackets.
pub(super) fn process_seconds(stat: &str) -> Option<ProcessTime> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut pair = || Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?);
    let (own, reaped) = (pair()?, pair()?);
    Some(ProcessTime { own: own / TICKS_PER_SECOND, with_reaped: (own + reaped) / TICKS_PER_SECOND })
}

/// Busy and stolen time out of /proc/stat.
pub(super) fn machine_seconds(stat: &str) -> Option<MachineTime> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let &[user, nice, system, _idle, _iowait, _irq, _softirq, stolen, ..] = &ticks[..] else { return None };
    Some(MachineTime { busy: (user + nice + system) / TICKS_PER_SECOND, stolen: stolen / TICKS_PER_SECOND })
}
