//! What the command line says.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::Failure;

pub(crate) const USAGE: &str = "usage: tonic-echo serve
       tonic-echo load --to ADDR [--server-pid N] [--connections 8] [--in-flight 32] [--size 128] [--warmup 1] [--seconds 3]";

/// All flags; `serve` needs none of them.
pub(crate) struct Arguments {
    pub(crate) to: Option<SocketAddr>,
    /// Whose CPU time is told.
    pub(crate) server_pid: Option<u32>,
    pub(crate) connections: usize,
    /// Calls each connection keeps outstanding.
    pub(crate) in_flight: usize,
    /// Bytes of text in a call and in its answer.
    pub(crate) size: usize,
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
}

impl Arguments {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut read = Self {
            to: None,
            server_pid: None,
            connections: 8,
            in_flight: 32,
            size: 128,
            warmup: Duration::from_secs(1),
            measured: Duration::from_secs(3),
        };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            match flag.as_str() {
                "--to" => read.to = Some(parsed(&flag, &value)?),
                "--server-pid" => read.server_pid = Some(parsed(&flag, &value)?),
                "--connections" => read.connections = parsed(&flag, &value)?,
                "--in-flight" => read.in_flight = parsed(&flag, &value)?,
                "--size" => read.size = parsed(&flag, &value)?,
                "--warmup" => read.warmup = Duration::try_from_secs_f64(parsed(&flag, &value)?)?,
                "--seconds" => read.measured = Duration::try_from_secs_f64(parsed(&flag, &value)?)?,
                _ => return Err(USAGE.into()),
            }
        }
        Ok(read)
    }
}

fn parsed<T: FromStr>(flag: &str, value: &str) -> Result<T, Failure> {
    value.parse().map_err(|_| format!("{flag} cannot be `{value}`\n{USAGE}").into())
}
