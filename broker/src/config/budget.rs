//! The default of the byte budget: the smaller of 512 MiB and a quarter of the memory this process may use.

use std::fs;
use std::path::PathBuf;

const CEILING: u64 = 512 << 20;
const CGROUPS: &str = "/sys/fs/cgroup";

/// By what the kernel says now; where it says nothing, the ceiling.
pub(super) fn of_this_machine() -> usize {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits: Vec<String> =
        limit_files(&membership).iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    budget(&meminfo, limits.iter().map(String::as_str))
}

/// From `/proc/meminfo` and the contents of the limit files of the control groups.
pub(super) fn budget<'a>(meminfo: &str, limits: impl Iterator<Item = &'a str>) -> usize {
    let memory = total(meminfo).into_iter().chain(limits.filter_map(limit)).min();
    let bytes = memory.map_or(CEILING, |memory| CEILING.min(memory / 4));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The files that limit this process: of its own group and of every group around it, v2 and v1. A container that sees
/// only its own group has it at the root, so the root is always asked.
pub(super) fn limit_files(membership: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (PathBuf::from(CGROUPS), "memory.max"),
            v1 if v1.split(',').any(|name| name == "memory") => {
                (PathBuf::from(CGROUPS).join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = root.join(group.trim_start_matches('/'));
        files.extend(group.ancestors().take_while(|dir| dir.starts_with(&root)).map(|dir| dir.join(file)));
    }
    files
}

/// `MemTotal:  16384 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `max` is no limit.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}
