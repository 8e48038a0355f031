//! The log: structured lines on standard error, as text for people or JSON for collectors.

use std::env;
use std::io::{self, IsTerminal};
use towline::config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts the log of this process; once.
pub(super) fn start(log: &Log) {
    // The configuration has been checked; should it differ, the default level is better than no log.
    let filter =
        EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::default().add_directive(LevelFilter::INFO.into()));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(is_coloured()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// Only for a person who looks on, and did not refuse it.
fn is_coloured() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
