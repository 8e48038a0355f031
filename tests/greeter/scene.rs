use super::SOON;
use super::program::{Line, Program};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// After the last restart, until calls succeed: the promise.
const HEALED: Duration = Duration::from_secs(5);
/// Between two calls of the requester: its second, the two of the method, and a busy machine.
const GAP: Duration = Duration::from_secs(6);
/// Calls that have to succeed then.
const CALLS: usize = 2;

/// Scenes at one time, so that they do not slow each other down.
static TURNS: Semaphore = Semaphore::const_new(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Broker,
    Responder,
    Requester,
}

/// A broker, a responder and a requester that calls once a second.
pub(crate) struct Scene {
    /// For people.
    title: String,
    pub address: String,
    broker: Option<Program>,
    responder: Option<Program>,
    requester: Option<Program>,
    /// When the requester printed its last line.
    last: Instant,
    _turn: SemaphorePermit<'static>,
}

impl Scene {
    /// With nothing but a port that was free.
    pub(crate) async fn empty(title: impl Into<String>) -> Self {
        let turn = TURNS.acquire().await.expect("it is never closed");
        let mut broker = Program::broker("127.0.0.1:0");
        let ready = broker.expect("towline ready tcp://").await.text;
        broker.kill().await;
        let address = ready.trim_start_matches("towline ready tcp://").to_owned();
        let (title, last) = (title.into(), Instant::now());
        Self { title, address, broker: None, responder: None, requester: None, last, _turn: turn }
    }

    /// With all three of them, and a call that succeeded.
    pub(crate) async fn set(title: impl Into<String>) -> Self {
        let mut scene = Self::empty(title).await;
        for who in [Who::Broker, Who::Responder, Who::Requester] {
            scene.start(who).await;
            scene.ready(who).await;
        }
        scene.until_ok().await;
        scene
    }

    /// Starts one that does not run, and does not wait for it.
    pub(crate) async fn start(&mut self, who: Who) {
        let started = match who {
            Who::Broker => self.broker_again().await,
            Who::Responder => self.another_responder(),
            Who::Requester => Program::example("greeter-requester", &self.address, &["--loop"]),
        };
        assert!(self.place(who).replace(started).is_none(), "{}: {who:?} runs already", self.title);
    }

    pub(crate) fn another_responder(&self) -> Program {
        Program::example("greeter-responder", &self.address, &[])
    }

    /// A broker on the port of this scene, once nobody else uses it: outgoing connections of other processes may, by chance.
    async fn broker_again(&self) -> Program {
        let deadline = Instant::now() + SOON;
        loop {
            let mut broker = Program::broker(&self.address);
            // Printed once it listens.
            match broker.line(SOON).await {
                Some(line) => assert_eq!(line.text, format!("towline ready tcp://{}", self.address)),
                None => {
                    assert!(Instant::now() < deadline, "{}: {} stays in use", self.title, self.address);
                    continue;
                }
            }
            return broker;
        }
    }

    /// Waits until it is at work; when it said so.
    pub(crate) async fn ready(&mut self, who: Who) -> Instant {
        // A broker is waited for at its start.
        let at = if who == Who::Broker { Instant::now() } else { self.running(who).expect("ready").await.at };
        if who == Who::Requester {
            self.last = at;
        }
        at
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&mut self, who: Who) {
        let rest = self.take(who).kill().await;
        self.look_back(who, rest);
    }

    /// Ends it with SIGTERM, in time and with exit code 0.
    pub(crate) async fn end(&mut self, who: Who, grace: Duration) {
        let program = self.take(who);
        program.terminate();
        let rest = program.ended(grace).await;
        self.look_back(who, rest);
    }

    /// Waits until a call succeeds that began after this was called.
    pub(crate) async fn until_ok(&mut self) {
        let now = Instant::now();
        let deadline = now + SOON;
        loop {
            let began = self.last;
            let is_ok = self.call().await;
            if is_ok && began >= now {
                return;
            }
            assert!(Instant::now() < deadline, "{}: no call succeeded for {SOON:?}", self.title);
        }
    }

    /// Waits until these many calls have failed.
    pub(crate) async fn failed(&mut self, calls: usize) {
        let mut failed = 0;
        while failed < calls {
            failed += usize::from(!self.call().await);
        }
    }

    /// The promise: calls that begin later than this much after the last restart succeed.
    pub(crate) async fn healed(&mut self, since: Instant) {
        let mut ok = 0;
        while ok < CALLS {
            // One call begins after the other has ended.
            let began = self.last;
            let is_ok = self.call().await;
            if began >= since + HEALED {
                let late = began - since;
                assert!(is_ok, "{}: a call that began {late:?} after the last restart failed", self.title);
                ok += 1;
            }
        }
    }

    /// Waits for these many calls; all of them succeed.
    pub(crate) async fn all_ok(&mut self, calls: usize) {
        for _ in 0..calls {
            assert!(self.call().await, "{}: a call failed though a responder was there", self.title);
        }
    }

    /// The end of the next call: whether it succeeded. In any case it is one of those that may be.
    async fn call(&mut self) -> bool {
        let line = self.running(Who::Requester).line(GAP).await.expect("the requester goes on");
        self.look_at(&line)
    }

    fn look_back(&mut self, who: Who, rest: Vec<Line>) {
        if who == Who::Requester {
            for line in rest.iter().filter(|line| line.text != "ready") {
                self.look_at(line);
            }
        }
    }

    fn look_at(&mut self, line: &Line) -> bool {
        let (title, gap) = (&self.title, line.at.saturating_duration_since(self.last));
        assert!(gap <= GAP, "{title}: {:?} came after {gap:?}", line.text);
        let is_ok = line.text == "ok";
        assert!(is_ok || is_expected(&line.text), "{title}: the requester printed {:?}", line.text);
        self.last = line.at;
        is_ok
    }

    fn running(&mut self, who: Who) -> &mut Program {
        self.place(who).as_mut().unwrap_or_else(|| panic!("{who:?} runs"))
    }

    fn take(&mut self, who: Who) -> Program {
        self.place(who).take().unwrap_or_else(|| panic!("{who:?} runs"))
    }

    /// Puts a responder in the place of the one that runs, which is given back.
    pub(crate) fn replace_responder(&mut self, by: Program) -> Program {
        self.responder.replace(by).expect("a responder runs")
    }

    fn place(&mut self, who: Who) -> &mut Option<Program> {
        match who {
            Who::Broker => &mut self.broker,
            Who::Responder => &mut self.responder,
            Who::Requester => &mut self.requester,
        }
    }
}

/// Whether a call may fail so while one of the three is away: `error <code> <text>`.
fn is_expected(line: &str) -> bool {
    /// What a call without a connection fails with.
    const CONNECTION: &str = "0x102";
    const REJECTED: &str = "0x202";
    const CANCELED: &str = "0x203";
    let Some((code, text)) = line.strip_prefix("error ").and_then(|error| error.split_once(' ')) else { return false };
    let is_missing = ["RST-900404", "RST-900405"].iter().any(|start| text.starts_with(start));
    is_missing || [CONNECTION, REJECTED, CANCELED].contains(&code)
}
