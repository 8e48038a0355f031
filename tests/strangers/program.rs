//! A stranger's program: `<program> serve <url>` prints `ready` once its services are in force and serves until its
//! standard input ends; `<program> call <url>` runs the script and prints its lines, without the checks named behind.

use super::harness::SOON;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// One stock client over one kind of transport.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    /// The client and its version, as the compatibility table has it.
    pub client: &'static str,
    /// `tcp` or `ws`
    pub scheme: &'static str,
    /// Its program and the arguments before `serve` or `call`.
    pub command: Vec<OsString>,
    /// Checks its library has no means for, as a caller: it prints `lacks` for exactly these.
    pub lacks: &'static [&'static str],
    /// What callers cannot expect of its library as a responder, and why.
    pub as_responder: &'static [(&'static str, &'static str)],
    /// Habits of responders that stop its library as a caller, and the checks they stop: those are left out.
    pub trips_over: &'static [(&'static str, &'static [&'static str])],
}

/// The habit of answering nothing by COMPLETE alone, without a payload.
pub(crate) const COMPLETE_ALONE: &str = "COMPLETE alone";

/// What is not on this machine, and how to get it.
pub(crate) type Missing = String;

/// A running responder, ended with this.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Stranger {
    fn start(&self, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments);
        // Its standard input ends with this process, whatever becomes of it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        (child, lines)
    }

    /// Starts it as a responder; returns once it serves.
    pub(crate) async fn serve(&self, url: &str) -> Serving {
        let (child, mut lines) = self.start(&["serve", url]);
        let ready = async {
            while let Some(line) = lines.next_line().await.expect("its output is text") {
                if line == "ready" {
                    return true;
                }
                eprintln!("{}: {line}", self.client);
            }
            false
        };
        let is_ready = timeout(2 * SOON, ready).await.unwrap_or(false);
        assert!(is_ready, "{} over {} does not serve", self.client, self.scheme);
        Serving { child, lines }
    }

    /// Runs it as a caller without these checks; every line it prints.
    pub(crate) async fn call(&self, url: &str, without: &[&str]) -> Vec<String> {
        let (mut child, mut lines) = self.start(&[&["call", url], without].concat());
        let mut printed = Vec::new();
        let read = async {
            while let Some(line) = lines.next_line().await.expect("its output is text") {
                printed.push(line);
            }
        };
        let ended = timeout(4 * SOON, read).await.is_ok();
        // It may be gone already.
        let _ = child.kill().await;
        assert!(ended, "{} over {} does not end; it printed {printed:#?}", self.client, self.scheme);
        printed
    }
}

impl Serving {
    /// Kills it: its sockets are closed by the system.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
        while let Ok(Some(line)) = self.lines.next_line().await {
            eprintln!("{line}");
        }
    }
}

/// A file of the project.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A program on the search path, or a file that `tests/strangers/install` makes.
pub(crate) fn need(what: &str, path: &Path) -> Result<PathBuf, Missing> {
    let is_there = if path.components().count() == 1 {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|folder| folder.join(path).is_file())
    } else {
        path.exists()
    };
    let missing = || format!("{what} is not here ({}): run tests/strangers/install", path.display());
    is_there.then(|| path.to_owned()).ok_or_else(missing)
}
