//! `towline check`: one question to the management port of a running broker, for probes of containers and scripts.

use super::{Failure, print, settings};
use clap::Args;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use towline::config::{Problem, parse_duration};

/// More than any answer of `/readyz`.
const ANSWER: usize = 8 * 1024;

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 ready; 1 it answers, but is not ready; 2 no answer, or a wrong command line.
Example: towline check --management 127.0.0.1:9997 --timeout 1s")]
pub(super) struct CheckArgs {
    /// Configuration file of the broker [default: towline.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Management address of the broker [default: as configured, 127.0.0.1:9997]
    #[arg(long, value_name = "ADDRESS")]
    management: Option<String>,
    /// Time for the whole question
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    timeout: Duration,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let config = settings::sources(args.config.clone(), args.management.clone()).layered()?.config;
    let Some(address) = config.management.address else {
        return Err(unanswered("check", "the management port is off", "name the one to ask with --management"));
    };
    let (status, reason) = ask(address, args.timeout).map_err(|e| {
        unanswered(&address.to_string(), &format!("no answer: {e}"), "is a broker running there? see --management")
    })?;
    if status == 200 {
        return print(&format!("{reason}\n"));
    }
    Err(Failure::running(address.to_string(), format!("not ready: {reason} (HTTP {status})"), "ask again later"))
}

fn unanswered(what: &str, why: &str, next: &str) -> Failure {
    Failure { code: 2, problems: vec![Problem::new(what, why, next)] }
}

/// Status and first line of the body of `GET /readyz`, within a time for all of it.
fn ask(address: SocketAddr, within: Duration) -> io::Result<(u16, String)> {
    let deadline = Instant::now() + within;
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::new(io::ErrorKind::TimedOut, "the time is over")),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while answer.len() < ANSWER {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            // What a socket says when its timeout is over.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => left().map(drop)?,
            Err(e) => return Err(e),
        }
    }
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not HTTP"))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.lines().next().unwrap_or_default().to_owned()))
}
