//! `examples/python`, by rsocket-py.

use super::harness::{Broker, SOON};
use super::program::Program;
use super::stranger::{Missing, file, need};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// What a requester prints, in any language; who greeted, and the words of an error, are each one's own.
const PRINTED: [&str; 7] = [
    "greet: Hello Ada! (by ",
    "greet nobody: ",
    "wave: sent",
    "count_down: [1000, 999, 998]",
    "greet_all: Hello Ada, Grace!",
    "chat: [lobby] hi",
    "chat: [lobby] bye",
];

/// A program of the example, killed on drop.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, address: &str) -> Self {
        let mut command = Command::new(file("target/strangers/python/bin/python"));
        command.arg(file(&format!("examples/python/{name}.py"))).arg(format!("tcp://{address}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("there is Python");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    /// The next line, which begins with this.
    async fn expect(&mut self, start: &str) -> String {
        let line = timeout(SOON, self.lines.next_line()).await.unwrap_or_else(|_| panic!("{start:?} did not come"));
        let line = line.expect("its output is text").unwrap_or_else(|| panic!("it ended before {start:?}"));
        assert!(line.starts_with(start), "{line:?} instead of {start:?}");
        line
    }

    /// All that a requester prints, and its good end; the lines that differ between responders.
    async fn printed(mut self) -> [String; 2] {
        let mut lines = Vec::new();
        for start in PRINTED {
            lines.push(self.expect(start).await);
        }
        let status = timeout(SOON, self.child.wait()).await.expect("it ends").expect("it is a child");
        assert!(status.success(), "{status}");
        lines.truncate(2);
        lines.try_into().expect("there are two")
    }
}

fn is_here() -> Result<(), Missing> {
    need("rsocket-py", &file("target/strangers/python/requirements.txt")).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_responder_in_python_serves_the_requesters_in_rust_and_in_python() {
    if let Err(missing) = is_here() {
        return println!("skipped: the example in Python: {missing}");
    }
    let broker = Broker::start().await;
    let mut responder = Example::start("responder", &broker.address);
    responder.expect("ready").await;
    let mut requester = Program::example("greeter-requester", &broker.address, &["--json"]);
    requester.expect("ready").await;
    let by = requester.expect("greet: Hello Ada! (by python ").await.text;
    // A typed error of another language is the trait's own in Rust.
    requester.expect("greet nobody: NameMissing").await;
    for start in &PRINTED[2..] {
        requester.expect(start).await;
    }
    requester.ended(SOON).await;
    responder.expect("waving at Ada").await;
    let [greeted, refused] = Example::start("requester", &broker.address).printed().await;
    assert_eq!(greeted, by);
    assert_eq!(refused, "greet nobody: name-missing: who is to be greeted?");
    responder.expect("waving at Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requester_in_python_calls_the_responder_in_rust() {
    if let Err(missing) = is_here() {
        return println!("skipped: the example in Python: {missing}");
    }
    let broker = Broker::start().await;
    let mut responder = Program::example("greeter-responder", &broker.address, &[]);
    responder.expect("ready").await;
    let [greeted, refused] = Example::start("requester", &broker.address).printed().await;
    assert!(greeted.starts_with("greet: Hello Ada! (by greeter "), "{greeted}");
    assert_eq!(refused, "greet nobody: name-missing: who is to be greeted?");
    responder.expect("waving at Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_responder_in_python_finds_its_broker_again() {
    if let Err(missing) = is_here() {
        return println!("skipped: the example in Python: {missing}");
    }
    let mut broker = Program::broker("127.0.0.1:0");
    let address = broker.expect("towline ready tcp://").await.text.replace("towline ready tcp://", "");
    let mut responder = Example::start("responder", &address);
    responder.expect("ready").await;
    broker.kill().await;
    let _again = Program::broker(&address);
    responder.expect("ready").await;
}
