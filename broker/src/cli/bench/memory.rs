//! Memory of a process, as its kernel counts it.

use std::fs;

use super::Failure;

/// What a process holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Pages in memory, its program's and shared ones included.
    pub(super) resident: u64,
    /// The same, a shared page counted by its share.
    pub(super) proportional: u64,
    /// Pages it has written to: what it allocated and has not given back.
    pub(super) private: u64,
}

impl Memory {
    /// Of a process of this user.
    pub(super) fn of(pid: u32) -> Result<Self, Failure> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).map_err(|e| Failure::new(format!("read {path}: {e}")))?;
        Self::parse(&text).ok_or_else(|| Failure::new(format!("{path} is not understood")))
    }

    /// Out of /proc/<pid>/smaps_rollup.
    pub(super) fn parse(rollup: &str) -> Option<Self> {
        let bytes = |field: &str| {
            let rest = rollup.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
            Some(rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
        };
        Some(Self { resident: bytes("Rss")?, proportional: bytes("Pss")?, private: bytes("Private_Dirty")? })
    }

    /// What each of `count` costs, in bytes: the growth since `before`, by each of the three counts.
    pub(super) fn each_since(&self, before: &Self, count: usize) -> [f64; 3] {
        let each = |now: u64, then: u64| (now as f64 - then as f64) / count as f64;
        [
            each(self.resident, before.resident),
            each(self.proportional, before.proportional),
            each(self.private, before.private),
        ]
    }
}
