use super::SOON;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Lines of standard error shown when a test fails.
const LAST: usize = 40;

/// A program of this project, killed on drop; its standard output arrives line by line.
pub(crate) struct Program {
    name: String,
    child: Child,
    lines: mpsc::Receiver<Line>,
    errors: Arc<Mutex<VecDeque<String>>>,
}

/// A line, and when it was printed.
#[derive(Debug)]
pub(crate) struct Line {
    pub text: String,
    pub at: Instant,
}

impl Program {
    /// A broker that listens there; port 0 picks one.
    pub(crate) fn broker(listen: &str) -> Self {
        let listen = format!("tcp://{listen}");
        Self::start("towline", &broker(), &["serve", "--listen", &listen, "--management", "off", "--log", "info"])
    }

    /// An example, connected to the broker there.
    pub(crate) fn example(name: &str, address: &str, more: &[&str]) -> Self {
        let path = broker().with_file_name("examples").join(name);
        assert!(path.exists(), "{} is missing: run plain `cargo test`, which builds the examples too", path.display());
        let address = format!("rsocket://{address}");
        Self::start(name, &path, &[&[address.as_str()], more].concat())
    }

    /// Any program.
    pub(crate) fn start(name: &str, path: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(path);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TOWLINE_") {
                command.env_remove(variable);
            }
        }
        command.args(args).current_dir(env!("CARGO_TARGET_TMPDIR")).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (send, lines) = mpsc::channel(1000);
        each_line(child.stdout.take().expect("it is piped"), move |text| {
            // Lines nobody waits for any more are dropped.
            let _ = send.blocking_send(Line { text, at: Instant::now() });
        });
        let errors = Arc::<Mutex<VecDeque<String>>>::default();
        let kept = errors.clone();
        each_line(child.stderr.take().expect("it is piped"), move |text| {
            let mut kept = kept.lock().expect("no thread panics with it");
            kept.push_back(text);
            if kept.len() > LAST {
                kept.pop_front();
            }
        });
        Self { name: format!("{name} ({})", child.id()), child, lines, errors }
    }

    /// The next line, within this time; none once the program has ended.
    pub(crate) async fn line(&mut self, within: Duration) -> Option<Line> {
        let line = timeout(within, self.lines.recv()).await;
        line.unwrap_or_else(|_elapsed| panic!("{} printed nothing for {within:?}", self.name))
    }

    /// The next line, which begins with this.
    pub(crate) async fn expect(&mut self, start: &str) -> Line {
        let line = self.line(SOON).await.unwrap_or_else(|| panic!("{} ended before it printed {start:?}", self.name));
        assert!(line.text.starts_with(start), "{}: {:?} instead of {start:?}", self.name, line.text);
        line
    }

    /// Ends it with SIGKILL; the lines nobody has read.
    pub(crate) async fn kill(mut self) -> Vec<Line> {
        self.child.kill().expect("it was not waited for");
        let mut rest = Vec::new();
        while let Some(line) = self.line(SOON).await {
            rest.push(line);
        }
        rest
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(status.expect("kill starts").success());
    }

    /// Waits for its end, which comes in time and is a good one; the lines nobody has read.
    pub(crate) async fn ended(mut self, within: Duration) -> Vec<Line> {
        let deadline = Instant::now() + within;
        let mut rest = Vec::new();
        // Its standard output ends when it does.
        while let Some(line) = self.line(deadline - Instant::now()).await {
            rest.push(line);
        }
        let status = self.child.wait().expect("it is a child");
        assert_eq!(status.code(), Some(0), "{} ended with {status}", self.name);
        rest
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let errors = self.errors.lock().expect("no thread panics with it");
            for line in &*errors {
                eprintln!("{}: {line}", self.name);
            }
        }
    }
}

fn broker() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_towline"))
}

fn each_line(from: impl Read + Send + 'static, mut then: impl FnMut(String) + Send + 'static) {
    thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).for_each(&mut then));
}
