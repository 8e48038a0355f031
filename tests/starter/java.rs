//! A running program on the starter, `tests/strangers/java`, killed on drop; one line in, one line out.

use super::harness::SOON;
use super::jvm::program;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

pub(crate) struct Java {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    input: ChildStdin,
}

impl Java {
    /// An app that serves `test.Probe` and `test.Who` on the broker there, in force now.
    pub(crate) async fn serve(url: &str, more: &[&str]) -> Self {
        Self::start("serve", url, more).await
    }

    /// An app that asks.
    pub(crate) async fn asking(url: &str) -> Self {
        Self::start("ask", url, &[]).await
    }

    async fn start(mode: &str, url: &str, more: &[&str]) -> Self {
        let mut java = Self::run("java/java.jar", &[&[mode, url], more].concat());
        java.ready().await;
        java
    }

    pub(crate) async fn ready(&mut self) {
        assert_eq!(self.line().await.as_deref(), Some("ready"));
    }

    /// Runs a program to its end; what it printed.
    pub(crate) async fn lines(arguments: &[&str]) -> Vec<String> {
        let mut java = Self::run("java/java.jar", arguments);
        let mut lines = Vec::new();
        while let Some(line) = java.line().await {
            lines.push(line);
        }
        lines
    }

    /// Starts this jar of `target/strangers`.
    pub(crate) fn run(jar: &str, arguments: &[&str]) -> Self {
        let command = program(jar).expect("looked for before");
        let mut start = Command::new(&command[0]);
        start.args(&command[1..]).args(arguments);
        start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = start.spawn().expect("there is a JDK");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let input = child.stdin.take().expect("it is piped");
        Self { child, lines, input }
    }

    /// The next line it prints; none once it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        timeout(2 * SOON, self.lines.next_line()).await.expect("it prints or ends").expect("its output is text")
    }

    /// What it prints to this line.
    pub(crate) async fn answer(&mut self, line: &str) -> String {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("it reads");
        self.line().await.expect("it answers")
    }

    /// Who answers to a call with these options: the name and the uuid, or the error.
    pub(crate) async fn who(&mut self, options: &str) -> Result<(String, String), String> {
        let answer = self.answer(format!("who {options}").trim_end()).await;
        match answer.split_once(' ') {
            Some(("error", error)) => Err(error.to_owned()),
            Some((name, uuid)) => Ok((name.to_owned(), uuid.to_owned())),
            None => panic!("{answer}"),
        }
    }

    /// The name of who answers.
    pub(crate) async fn name(&mut self, options: &str) -> String {
        self.who(options).await.expect("somebody answers").0
    }

    /// Ends its input; it leaves in order.
    pub(crate) async fn end(self) {
        let Self { mut child, input, lines: _ } = self;
        drop(input);
        let status = timeout(SOON, child.wait()).await.expect("it ends").expect("it ran");
        assert!(status.success(), "{status}");
    }

    /// Kills it: its sockets are closed by the system.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// Whether the program is here; says so if not.
pub(crate) fn is_here(jar: &str) -> bool {
    program(jar).inspect_err(|missing| println!("skipped: the Java starters: {missing}")).is_ok()
}
