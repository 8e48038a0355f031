use super::SOON;
use super::broker::sum;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

const PROGRAM: &str = env!("CARGO_BIN_EXE_towline");
const TCP: &str = "tcp://127.0.0.1:0";
/// A certificate for `localhost` and its key.
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rsocket/tests/fixtures/server.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rsocket/tests/fixtures/server.key");

/// The program with ports the system picked, killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Of the first listener, without its scheme if that is `tcp`.
    pub address: String,
    /// Of all listeners.
    pub addresses: Vec<String>,
    /// Of the management port.
    pub management: String,
    logged: Arc<AtomicUsize>,
}

impl Process {
    /// With these environment variables as its settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::on(&[TCP], settings)
    }

    /// One with these listeners, and a certificate for `localhost`.
    pub(crate) fn on(listen: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::launch(Command::new(PROGRAM), listen, settings)
    }

    /// One with this limit on its descriptors, as `ulimit` takes it.
    pub(crate) fn limited(descriptors: &str, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {descriptors}; exec \"$0\" \"$@\""), PROGRAM]);
        Self::launch(shell, &[TCP], settings)
    }

    fn launch(mut command: Command, listen: &[&str], settings: &[(&str, &str)]) -> Self {
        command.args(["serve", "--management", "127.0.0.1:0", "--log", "error"]);
        command.args(listen.iter().flat_map(|address| ["--listen", address]));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TOWLINE_") {
                command.env_remove(name);
            }
        }
        command.env("TOWLINE_TLS__CERTIFICATE", CERTIFICATE).env("TOWLINE_TLS__KEY", KEY);
        command.env("TOWLINE_DATA__DIRECTORY", super::broker::data_folder());
        command.envs(settings.iter().copied()).current_dir(env!("CARGO_TARGET_TMPDIR"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let logged = Arc::<AtomicUsize>::default();
        let (log, count) = (child.stderr.take().expect("it is piped"), logged.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                eprintln!("{line}");
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut ready).expect("the ready line is text");
        let ready = ready.trim_end().strip_prefix("towline ready ").expect("the ready line");
        let (listeners, management) = ready.split_once(" management=http://").expect("the ready line says it");
        let addresses: Vec<_> =
            listeners.split(' ').map(|address| address.trim_start_matches("tcp://").to_owned()).collect();
        Self { child, address: addresses[0].clone(), addresses, management: management.to_owned(), logged }
    }

    /// Memory resident now, in bytes.
    pub(crate) fn resident(&self) -> usize {
        self.status("VmRSS:") * 1024
    }

    /// The most memory that was ever resident, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:") * 1024
    }

    pub(crate) fn threads(&self) -> usize {
        self.status("Threads:")
    }

    fn status(&self, field: &str) -> usize {
        let text = self.proc("status");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the kernel reports it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the process runs")
    }

    /// Descriptors open now.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the process runs").count()
    }

    /// CPU time used, in hundredths of a second.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let (_, behind_name) = stat.rsplit_once(')').expect("the name of the program");
        behind_name.split_whitespace().skip(11).take(2).map(|time| time.parse::<u64>().expect("a number")).sum()
    }

    /// Lines it logged so far.
    pub(crate) fn logged(&self) -> usize {
        self.logged.load(Ordering::Relaxed)
    }

    /// Sends it this signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// All metrics, as they are scraped.
    pub(crate) async fn scrape(&self) -> String {
        let asked = async {
            let mut stream = TcpStream::connect(&self.management).await?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.map(|_| text)
        };
        tokio::time::timeout(SOON, asked).await.expect("the scrape ends").expect("the port answers")
    }

    /// The sum of a metric over its labels.
    pub(crate) async fn meter(&self, name: &str) -> f64 {
        sum(&self.scrape().await, name)
    }

    /// Waits until this is so of the sum of a metric.
    pub(crate) async fn until(&self, name: &str, within: Duration, is_so: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + within;
        let mut looks = interval(Duration::from_millis(50));
        loop {
            let value = self.meter(name).await;
            if is_so(value) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} stayed {value}");
            looks.tick().await;
        }
    }

    /// Waits until the count of open descriptors is this.
    pub(crate) async fn until_descriptors(&self, count: usize, within: Duration) {
        let deadline = Instant::now() + within;
        let mut looks = interval(Duration::from_millis(50));
        while self.descriptors() != count {
            assert!(Instant::now() < deadline, "{} descriptors stayed open, not {count}", self.descriptors());
            looks.tick().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a process this signal.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(sent.expect("there is a program kill").success(), "no process {process}");
}

/// How many descriptors this process may open, which is the most it can get from here on.
pub(crate) fn descriptors() -> usize {
    rlimit::increase_nofile_limit(u64::MAX).map_or(usize::MAX, |limit| limit as usize)
}
