//! This program, started again: in a network of its own, and as a responder in a process of its own.

use crate::harness::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use towline_rsocket::FrameType;

/// What tells the program where it runs.
const ISOLATED: &str = "TEST_PARTITION_ISOLATED";
const BROKER: &str = "TEST_PARTITION_BROKER";
const LIFETIME: &str = "TEST_PARTITION_LIFETIME";

fn myself() -> String {
    std::env::current_exe().expect("this program").to_str().expect("its path is text").to_owned()
}

/// Whether this is a network of its own; if not, the test has been run in one, or cannot be.
pub(crate) fn is_isolated(test: &str) -> bool {
    if std::env::var_os(ISOLATED).is_some() {
        return true;
    }
    let may = Command::new("unshare").args(["-n", "ip", "link", "set", "lo", "up"]).output();
    if !may.is_ok_and(|may| may.status.success()) {
        println!("skipped: this process may not make a network of its own (unshare -n, ip link)");
        return false;
    }
    let again = "ip link set lo up && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", again, &myself(), test, "--exact", "--nocapture"]).env(ISOLATED, "yes");
    let ended = command.output().expect("unshare runs");
    println!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "the test failed in a network of its own");
    false
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("there is a program ip").success(), "ip {arguments}");
}

/// A cable to the network of another process; both end with it.
pub(crate) struct Network {
    there: std::cell::RefCell<Option<Child>>,
    pub here: &'static str,
}

impl Network {
    pub(crate) fn new() -> Self {
        // Waits in its network until it is told what to call, and by whom.
        let script = "echo in; read broker lifetime; ip addr add 10.77.0.2/30 dev there; ip link set there up; \
             export TEST_PARTITION_BROKER=$broker TEST_PARTITION_LIFETIME=$lifetime; exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", script, &myself(), "other_side", "--exact", "--nocapture"]);
        let mut there = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare runs");
        let mut line = String::new();
        let stdout = there.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says that it is in");
        ip(&format!("link add here type veth peer name there netns {}", there.id()));
        ip("addr add 10.77.0.1/30 dev here");
        ip("link set here up");
        Self { there: Some(there).into(), here: "10.77.0.1" }
    }

    /// Starts the responder at the other end.
    pub(crate) fn start(&self, broker: &str, lifetime: u64) -> OtherSide {
        let mut there = self.there.take().expect("it is started once");
        let mut stdin = there.stdin.take().expect("it is piped");
        writeln!(stdin, "{broker} {lifetime}").expect("it waits");
        OtherSide(there)
    }

    /// Nothing passes any more, and nobody is told.
    pub(crate) fn cut(&self) {
        ip("link set here down");
    }
}

/// A responder in a process of its own, killed on drop.
pub(crate) struct OtherSide(Child);

impl OtherSide {
    pub(crate) fn start(broker: &str, lifetime: u64) -> Self {
        let mut command = Command::new(myself());
        command.args(["other_side", "--exact", "--nocapture"]);
        command.env(BROKER, broker).env(LIFETIME, lifetime.to_string()).stdout(Stdio::null());
        Self(command.spawn().expect("this program starts"))
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }
}

impl Drop for OtherSide {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The responder, if this is the other side: tells its name, and sends one item of streams that never end.
pub(crate) async fn run() {
    let Ok(broker) = std::env::var(BROKER) else { return };
    let lifetime = std::env::var(LIFETIME).ok().and_then(|text| text.parse().ok()).expect("milliseconds");
    let mut peer = Peer::connect(&broker).await;
    peer.send(Setup::app("other").service("test.Who").service("test.Held").times(500, lifetime).frame()).await;
    while let Some(frame) = peer.next().await {
        let stream = frame.view().stream_id();
        match frame.view().kind() {
            FrameType::RequestResponse => peer.send(last(stream, b"other side")).await,
            FrameType::RequestStream => peer.send(item(stream, b"first")).await,
            _ => {}
        }
    }
}
