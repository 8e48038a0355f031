//! Many apps of one process: each a thin connection with a service of its own, kept alive.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};
use towline_rsocket::transport::ClientTls;

use super::Failure;
use super::member::Member;
use super::requests;
use super::wire;

/// What an idle connection's frames need.
const CAPACITY: usize = 256;
/// How often it is looked whether something has come to pass.
const LOOK: Duration = Duration::from_millis(5);
/// Apps that call at one time.
const CALLERS: usize = 64;
const CALL: [u8; 128] = [7; 128];

/// Who comes, and how.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    pub(super) tls: Option<ClientTls>,
    /// Every app publishes one service for all instead of one of its own.
    pub(super) one_service: bool,
    /// Connections being made at one time.
    pub(super) at_once: usize,
}

impl Plan {
    fn service(&self, nth: usize) -> String {
        if self.one_service { "crowd.Service".to_owned() } else { format!("crowd.Service{nth}") }
    }
}

/// The apps, until it is dropped.
pub(super) struct Crowd {
    plan: Plan,
    seen: Arc<Seen>,
    bells: Vec<Arc<Notify>>,
    _tasks: JoinSet<()>,
}

/// What all of them saw.
#[derive(Debug, Default)]
struct Seen {
    /// SETUP sent, and the KEEPALIVE behind it answered.
    registered: AtomicUsize,
    answered: AtomicUsize,
    lost: AtomicUsize,
    first_loss: Mutex<Option<Failure>>,
}

impl Seen {
    fn lose(&self, nth: usize, why: &Failure) {
        self.lost.fetch_add(1, Relaxed);
        let mut first = self.first_loss.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| Failure::new(format!("connection {nth}: {why}")));
    }
}

impl Crowd {
    /// Begins to connect all of them.
    pub(super) fn gather(plan: Plan) -> Self {
        let seen = Arc::<Seen>::default();
        let gate = Arc::new(Semaphore::new(plan.at_once));
        let bells: Vec<Arc<Notify>> = (0..plan.connections).map(|_| Arc::default()).collect();
        let mut tasks = JoinSet::new();
        for (nth, bell) in bells.iter().enumerate() {
            let (plan, seen, bell, gate) = (plan.clone(), Arc::clone(&seen), Arc::clone(bell), Arc::clone(&gate));
            tasks.spawn(async move {
                let Err(failure) = app(&plan, nth, &seen, &bell, &gate).await;
                seen.lose(nth, &failure);
            });
        }
        Self { plan, seen, bells, _tasks: tasks }
    }

    pub(super) fn registered(&self) -> usize {
        self.seen.registered.load(Relaxed)
    }

    /// Connections that ended, or never were.
    pub(super) fn lost(&self) -> usize {
        self.seen.lost.load(Relaxed)
    }

    /// Why the first of them ended.
    pub(super) fn first_loss(&self) -> Option<Failure> {
        self.seen.first_loss.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until all are registered.
    pub(super) async fn gathered(&self, within: Duration) -> Result<(), Failure> {
        self.until("registered", within, || self.registered() == self.plan.connections).await
    }

    /// Has each app make one call to another one's service, some at a time.
    pub(super) async fn call_each(&self, within: Duration) -> Result<(), Failure> {
        let begin = self.seen.answered.load(Relaxed);
        let mut asked = 0;
        for bells in self.bells.chunks(CALLERS) {
            bells.iter().for_each(|bell| bell.notify_one());
            asked += bells.len();
            self.until("answered", within, || self.seen.answered.load(Relaxed) - begin == asked).await?;
        }
        Ok(())
    }

    async fn until(&self, what: &str, within: Duration, is_so: impl Fn() -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + within;
        while !is_so() {
            if let Some(failure) = self.first_loss() {
                return Err(failure);
            }
            if Instant::now() > deadline {
                let count = self.registered();
                return Err(Failure::new(format!("not all {what} in {} s; {count} registered", within.as_secs())));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// One app, to its end.
async fn app(
    plan: &Plan,
    nth: usize,
    seen: &Seen,
    bell: &Notify,
    gate: &Semaphore,
) -> Result<std::convert::Infallible, Failure> {
    let turn = gate.acquire().await.map_err(|e| Failure::new(e.to_string()))?;
    let mut member = Member::connect(plan.address, plan.tls.as_ref(), CAPACITY).await?;
    wire::put_setup(member.outbox(), &format!("crowd-{nth}"), fastrand::u128(..), Some(&plan.service(nth)[..]));
    // Its answer says that the broker has taken the SETUP before it.
    wire::put_keepalive(member.outbox(), true, b"");
    poll_fn(|cx| poll_introduced(&mut member, cx)).await?;
    seen.registered.fetch_add(1, Relaxed);
    drop(turn);

    // Apps that started at any time: their KEEPALIVEs are spread.
    let first = Instant::now() + wire::KEEPALIVE_EVERY.mul_f64(fastrand::f64());
    let mut keepalive = interval_at(first, wire::KEEPALIVE_EVERY);
    let mut stream_id = 1;
    let other = plan.service((nth + 1) % plan.connections);
    loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| poll_live(&mut member, seen, cx)) => match ended { Err(failure) => return Err(failure) },
            _ = keepalive.tick() => wire::put_keepalive(member.outbox(), true, b""),
            () = bell.notified() => {
                requests::put_call(member.outbox(), stream_id, 0, &other, &CALL);
                stream_id += 2;
            }
        }
    }
}

/// Until a KEEPALIVE is answered.
fn poll_introduced(member: &mut Member, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    loop {
        ready!(member.poll_flush(cx))?;
        let mut is_answered = false;
        let (inbox, outbox) = member.parts();
        while let Some(frame) = inbox.next_frame()? {
            match frame.kind {
                wire::ERROR => return Poll::Ready(Err(Failure::new(frame.error_text()))),
                wire::KEEPALIVE if !frame.has(wire::RESPOND) => is_answered = true,
                wire::KEEPALIVE => wire::answer_keepalive(outbox, &frame),
                _ => {}
            }
        }
        if is_answered {
            return Poll::Ready(Ok(()));
        }
        ready!(member.poll_read(cx))?;
    }
}

/// Serves and counts answers, to the connection's failure.
fn poll_live(
    member: &mut Member,
    seen: &Seen,
    cx: &mut Context<'_>,
) -> Poll<Result<std::convert::Infallible, Failure>> {
    loop {
        ready!(member.poll_flush(cx))?;
        ready!(member.poll_read(cx))?;
        let (inbox, outbox) = member.parts();
        while let Some(frame) = inbox.next_frame()? {
            match frame.kind {
                wire::REQUEST_RESPONSE => {
                    let data = frame.data().ok_or_else(|| Failure::new("a request's metadata overruns its frame"))?;
                    wire::put_answer(outbox, frame.stream_id, data);
                }
                wire::PAYLOAD if frame.data() == Some(&CALL) => {
                    seen.answered.fetch_add(1, Relaxed);
                }
                wire::PAYLOAD => return Poll::Ready(Err(Failure::new("an answer is not what was sent"))),
                wire::KEEPALIVE => wire::answer_keepalive(outbox, &frame),
                wire::ERROR => return Poll::Ready(Err(Failure::new(frame.error_text()))),
                _ => {}
            }
        }
    }
}
