use std::fmt;

/// How an app is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppState {
    /// Whether it runs.
    pub phase: Phase,
    /// Connections that take new calls.
    pub connected: usize,
}

/// Where an app is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It connects and takes calls.
    Running,
    /// It takes no new calls; what is in progress ends.
    Closing,
    /// All connections are closed.
    Closed,
}

impl fmt::Display for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Running => "running",
            Phase::Closing => "closing",
            Phase::Closed => "closed",
        };
        write!(f, "{phase}, {} connected", self.connected)
    }
}
