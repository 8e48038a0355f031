//! The processes of one run: started from this binary, told apart by the line they print when ready, killed on drop.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Failure;

const READY_WITHIN: Duration = Duration::from_secs(15);

/// A process this run started; dropping it kills exactly this one.
#[derive(Debug)]
pub(in crate::cli) struct Child {
    process: std::process::Child,
    address: SocketAddr,
    ready: String,
}

impl Child {
    /// Starts `towline <args>` and waits for the line that starts with `ready` and holds a `tcp://` address.
    pub(in crate::cli) async fn start<S: AsRef<OsStr>>(ready: &'static str, args: &[S]) -> Result<Self, Failure> {
        Self::start_with(ready, args, &[]).await
    }

    /// The same with these variables in its environment.
    pub(super) async fn start_with<S: AsRef<OsStr>>(
        ready: &'static str,
        args: &[S],
        environment: &[(&str, &OsStr)],
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::new(format!("find this program: {e}")))?;
        let mut process = Command::new(program)
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Failure::new(format!("start {}: {e}", command_line(args))))?;
        let (found, address) = oneshot::channel();
        if let Some(stdout) = process.stdout.take() {
            std::thread::spawn(move || read_output(stdout, ready, found));
        }
        // From here on a failure kills it.
        let mut child = Self { process, address: SocketAddr::from(([0, 0, 0, 0], 0)), ready: String::new() };
        (child.address, child.ready) = match tokio::time::timeout(READY_WITHIN, address).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => {
                return Err(Failure::new(format!("{} ended before it said `{ready}`", command_line(args))));
            }
            Err(_) => {
                let wait = READY_WITHIN.as_secs();
                return Err(Failure::new(format!("{} did not say `{ready}` in {wait} s", command_line(args))));
            }
        };
        Ok(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(in crate::cli) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole line it said that it is ready with.
    pub(super) fn ready_line(&self) -> &str {
        &self.ready
    }
}

impl Child {
    /// Kills it, and waits until it is gone.
    pub(in crate::cli) fn kill(self) {
        drop(self);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may be gone already; the wait reaps it either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in a line such as `towline ready tcp://127.0.0.1:9999 ...`; none if the line is another one.
pub(super) fn ready_address(line: &str, ready: &str) -> Option<SocketAddr> {
    let (_, rest) = line.strip_prefix(ready)?.split_once("tcp://")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The listener of a child, its address announced, and its life tied to standard input if asked.
pub(super) async fn listen(name: &str, at: SocketAddr, with_stdin: bool) -> Result<TcpListener, Failure> {
    if with_stdin {
        die_with_stdin();
    }
    let listener = TcpListener::bind(at).await.map_err(|e| Failure::new(format!("{name}: listen on {at}: {e}")))?;
    let at = listener.local_addr().map_err(|e| Failure::new(format!("{name}: its address: {e}")))?;
    announce(name, at);
    Ok(listener)
}

/// Prints the line the driver waits for.
pub(super) fn announce(name: &str, address: SocketAddr) {
    println!("bench {name} ready tcp://{address}");
}

/// Ends this process when its standard input closes, so that a driver that was killed leaves nothing behind.
pub(super) fn die_with_stdin() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while std::io::stdin().read(&mut byte).is_ok_and(|len| len > 0) {}
        std::process::exit(0);
    });
}

/// Reads a child's output to its end, so that it never waits for us; the first address and its line go to `found`.
fn read_output(stdout: impl Read, ready: &str, found: oneshot::Sender<(SocketAddr, String)>) {
    let mut found = Some(found);
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Some(address) = ready_address(&line, ready)
            && let Some(found) = found.take()
        {
            // The driver may have given up.
            let _ = found.send((address, line));
        }
    }
}

fn command_line<S: AsRef<OsStr>>(args: &[S]) -> String {
    args.iter().fold("towline".to_owned(), |line, arg| line + " " + &arg.as_ref().to_string_lossy())
}
