//! What goes wrong, and when.

use std::fmt;
use std::io;

/// What a fault can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Open,
    List,
    Rename,
    Remove,
    SyncDir,
    Read,
    Write,
    Sync,
    SetLen,
    Punch,
}

impl Operation {
    fn is_change(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Read)
    }
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Works,
    Fails,
    /// The process ends within it: it is done or not.
    Crashes,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Operations that changed or synced something.
    pub operations: u64,
    /// Reads, which are none of them.
    pub reads: u64,
    /// Bytes they brought.
    pub read_bytes: u64,
    /// The count at which the crash comes.
    crash_at: Option<u64>,
    has_crashed: bool,
    injected: Vec<Injected>,
}

#[derive(Clone, Debug)]
struct Injected {
    operation: Operation,
    prefix: String,
    /// For ever if nothing.
    times: Option<u32>,
}

impl Faults {
    pub(super) fn crash_after(&mut self, operations: u64) {
        self.crash_at = Some(self.operations + operations);
        self.has_crashed = operations == 0;
    }

    pub(super) fn restart(&mut self) {
        (self.crash_at, self.has_crashed) = (None, false);
    }

    pub(super) fn inject(&mut self, operation: Operation, prefix: &str, times: Option<u32>) {
        self.injected.push(Injected { operation, prefix: prefix.to_owned(), times });
    }

    pub(super) fn heal(&mut self) {
        self.injected.clear();
    }

    /// # Errors
    /// The crash was before.
    pub(super) fn judge(&mut self, operation: Operation, names: &[&str]) -> io::Result<Verdict> {
        self.check()?;
        self.reads += u64::from(operation == Operation::Read);
        if operation.is_change() {
            self.operations += 1;
            if self.crash_at == Some(self.operations) {
                self.has_crashed = true;
                return Ok(Verdict::Crashes);
            }
        }
        let is_hit = |fault: &Injected| {
            fault.operation == operation && names.iter().any(|name| name.starts_with(fault.prefix.as_str()))
        };
        let Some(index) = self.injected.iter().position(is_hit) else { return Ok(Verdict::Works) };
        if let Some(times) = &mut self.injected[index].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.injected.remove(index);
            }
        }
        Ok(Verdict::Fails)
    }

    /// # Errors
    /// The crash was before.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.has_crashed { Err(Crashed::error()) } else { Ok(()) }
    }
}

/// The error of everything from a crash on.
#[derive(Debug)]
struct Crashed;

impl Crashed {
    fn error() -> io::Error {
        io::Error::other(Self)
    }
}

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated machine has crashed")
    }
}

impl std::error::Error for Crashed {}

pub(super) fn crashed() -> io::Error {
    Crashed::error()
}

/// True if an operation failed because of a crash, and not of a fault.
pub(crate) fn is_crash(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Crashed>())
}
