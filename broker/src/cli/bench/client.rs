//! The thin client: connections that each keep a fixed number of requests outstanding, or send them at a rate of their own,
//! and what they saw.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout, timeout_at};

use super::cpu::{Processes, Reading};
use super::flight::Flight;
use super::histogram::Histogram;
use super::memory::Memory;
use super::pace::{Clock, Pace};
use super::queue::Topics;
use super::rsocket::Metadata;
use super::talk::{Heard, Talk};
use super::wire::{self, Link};
use super::{Failure, runtime};

/// Thousands that connect at once may each wait a second or more for their SYN to be sent again.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
const PROBE_WITHIN: Duration = Duration::from_secs(10);
/// What a responder that has just registered is given to appear in the routing table.
const PROBE_PAUSE: Duration = Duration::from_millis(20);
const NO_INSTANCE: &str = "RST-900404";

/// What the load is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) connections: usize,
    /// Requests each connection keeps outstanding; in an open loop, the most.
    pub(super) in_flight: usize,
    /// Bytes of data in a request and in its answer, or in an item.
    pub(super) size: usize,
    pub(super) metadata: Metadata,
    /// Services that are registered and called in turn.
    pub(super) services: usize,
    /// Instances of them.
    pub(super) instances: usize,
    /// Bytes of data in one fragment; 0: no fragments.
    pub(super) fragment: usize,
    /// Items of a stream that are asked for at a time.
    pub(super) credit: u32,
    /// Requests a second, all connections together, however long answers take; 0: the next one when one is answered.
    pub(super) rate: u64,
    /// Where messages are published to, if they are.
    pub(super) topics: Option<Topics>,
}

impl Shape {
    /// A closed loop with whole, typed requests to one service.
    pub(super) const fn new(connections: usize, in_flight: usize, size: usize) -> Self {
        let metadata = Metadata::Typed;
        Self {
            connections,
            in_flight,
            size,
            metadata,
            services: 1,
            instances: 1,
            fragment: 0,
            credit: 0,
            rate: 0,
            topics: None,
        }
    }
}

/// How long one measurement takes, and on how many threads its load is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) warmup: Duration,
    pub(super) measured: Duration,
    pub(super) threads: usize,
}

/// What one measurement of one side saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Round trips, messages or items a second.
    pub(super) rate: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// CPU of the process between client and responder, microseconds a round trip, message or item.
    pub(super) server_cpu_us: f64,
    /// CPU of client, responder and driver, likewise.
    pub(super) load_cpu_us: f64,
    pub(super) foreign_cores: f64,
    /// Requests that were sent and not answered when the measured time was over.
    pub(super) behind: u64,
    /// Answers with a wrong length, without next and complete, or to no outstanding request.
    pub(super) wrong: u64,
    /// Memory the server has written to and holds.
    pub(super) server_bytes: u64,
}

/// Loads the server at `address` for one window; fails on any ERROR frame, lost connection or missing answer.
pub(super) async fn measure<T: Talk>(
    address: SocketAddr,
    shape: Shape,
    window: Window,
    processes: &Processes,
    talk: impl Fn() -> T + Clone + Send + 'static,
) -> Result<Sample, Failure> {
    let mut crew = Crew::start(address, shape, window.threads, talk)?;
    crew.connected().await?;
    crew.work_for(window.warmup).await?;
    crew.enter(Phase::Measured);
    let (begin, before) = (Reading::take(processes)?, crew.answered());
    crew.work_for(window.measured).await?;
    let (end, after) = (Reading::take(processes)?, crew.answered());
    let behind = crew.outstanding();
    crew.drain().await?;

    let usage = begin.until(&end);
    let answered = after - before;
    if answered == 0 {
        return Err(Failure::new(format!("no answer from {address} in {:.1} s", usage.seconds)));
    }
    let (latencies, wrong) = crew.seen();
    Ok(Sample {
        rate: answered as f64 / usage.seconds,
        p50_us: latencies.quantile(0.50) as f64 / 1e3,
        p99_us: latencies.quantile(0.99) as f64 / 1e3,
        server_cpu_us: usage.server_seconds * 1e6 / answered as f64,
        load_cpu_us: usage.others_seconds * 1e6 / answered as f64,
        foreign_cores: usage.foreign_cores,
        behind,
        wrong,
        server_bytes: Memory::of(processes.server)?.private,
    })
}

/// One request, repeated while the broker does not know the responder yet.
pub(super) async fn probe<T: Talk>(address: SocketAddr, talk: impl Fn() -> T) -> Result<(), Failure> {
    let deadline = Instant::now() + PROBE_WITHIN;
    loop {
        let meter = Arc::new(Meter::new());
        meter.enter(Phase::Draining);
        let one = async {
            let mut connection = Connection::open(address, 1, 64, None, &meter, talk(), 1).await?;
            poll_fn(|cx| connection.poll_work(cx)).await
        };
        match timeout(PROBE_WITHIN, one).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) if failure.0.contains(NO_INSTANCE) && Instant::now() < deadline => {
                sleep(PROBE_PAUSE).await
            }
            Ok(Err(failure)) => return Err(failure),
            Err(_) => return Err(Failure::new(format!("no answer from {address} in {} s", PROBE_WITHIN.as_secs()))),
        }
    }
}

/// So many requests over one connection, `in_flight` at a time; fails if one is answered by what was not expected.
pub(super) async fn exchange<T: Talk>(
    address: SocketAddr,
    (in_flight, total): (usize, u64),
    within: Duration,
    talk: T,
) -> Result<(), Failure> {
    let meter = Arc::new(Meter::new());
    let all = async {
        let mut connection = Connection::open(address, in_flight, 64 * 1024, None, &meter, talk, total).await?;
        poll_fn(|cx| connection.poll_work(cx)).await
    };
    match timeout(within, all).await {
        Ok(Ok(())) if meter.wrong.load(Relaxed) > 0 => {
            Err(Failure::new(format!("{} answers of {total} are wrong", meter.wrong.load(Relaxed))))
        }
        Ok(outcome) => outcome,
        Err(_) => {
            let answered = meter.answered.load(Relaxed);
            Err(Failure::new(format!("{answered} of {total} requests answered in {} s", within.as_secs())))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Warmup,
    Measured,
    /// No new requests; a connection ends with its last answer.
    Draining,
}

/// What one thread of connections is told, and what it has seen.
#[derive(Debug)]
struct Meter {
    phase: AtomicU8,
    answered: AtomicU64,
    /// Sent and not answered.
    outstanding: AtomicU64,
    wrong: AtomicU64,
    /// Locked once a batch, and only ever by the one thread until it ends.
    latencies: Mutex<Histogram>,
}

impl Meter {
    fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Warmup as u8),
            answered: AtomicU64::new(0),
            outstanding: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            latencies: Mutex::new(Histogram::new()),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }
}

enum Report {
    Connected,
    Ended(Result<(), Failure>),
}

/// The threads of one measurement; dropping it lets them drain and end.
struct Crew {
    meters: Vec<Arc<Meter>>,
    reports: mpsc::Receiver<Report>,
    /// Of an open loop.
    clock: Option<Clock>,
}

impl Crew {
    fn start<T: Talk>(
        address: SocketAddr,
        shape: Shape,
        threads: usize,
        talk: impl Fn() -> T + Clone + Send + 'static,
    ) -> Result<Self, Failure> {
        let threads = threads.clamp(1, shape.connections);
        let (sender, reports) = mpsc::channel(2 * threads);
        let mut crew = Self { meters: Vec::new(), reports, clock: (shape.rate > 0).then(Clock::start) };
        for at in 0..threads {
            let share = shape.connections / threads + usize::from(at < shape.connections % threads);
            let meter = Arc::new(Meter::new());
            let runtime = runtime()?;
            let (mine, reports, talk) = (Arc::clone(&meter), sender.clone(), talk.clone());
            let rate = shape.rate as f64 / shape.connections as f64;
            let paces: Vec<_> =
                (0..share).map(|_| crew.clock.as_ref().map(|clock| Pace::new(rate, &clock.0))).collect();
            std::thread::spawn(move || {
                let outcome = runtime.block_on(work(address, shape, paces, mine, &reports, talk));
                // Nobody listens any more if the measurement has failed elsewhere.
                let _ = reports.blocking_send(Report::Ended(outcome));
            });
            crew.meters.push(meter);
        }
        Ok(crew)
    }

    async fn connected(&mut self) -> Result<(), Failure> {
        for _ in 0..self.meters.len() {
            match timeout(CONNECT_WITHIN, self.reports.recv()).await {
                Ok(Some(Report::Connected)) => {}
                Ok(report) => return Err(early_end(report)),
                Err(_) => return Err(Failure::new(format!("not connected in {} s", CONNECT_WITHIN.as_secs()))),
            }
        }
        Ok(())
    }

    /// Lets time pass; a thread that ends meanwhile has failed.
    async fn work_for(&mut self, duration: Duration) -> Result<(), Failure> {
        match timeout(duration, self.reports.recv()).await {
            Ok(report) => Err(early_end(report)),
            Err(_) => Ok(()),
        }
    }

    async fn drain(&mut self) -> Result<(), Failure> {
        self.enter(Phase::Draining);
        let deadline = tokio::time::Instant::now() + DRAIN_WITHIN;
        for _ in 0..self.meters.len() {
            match timeout_at(deadline, self.reports.recv()).await {
                Ok(Some(Report::Ended(Ok(())))) => {}
                Ok(report) => return Err(early_end(report)),
                Err(_) => {
                    let wait = DRAIN_WITHIN.as_secs();
                    return Err(Failure::new(format!("requests still without an answer {wait} s after the last one")));
                }
            }
        }
        Ok(())
    }

    fn enter(&self, phase: Phase) {
        self.meters.iter().for_each(|meter| meter.enter(phase));
    }

    fn answered(&self) -> u64 {
        self.meters.iter().map(|meter| meter.answered.load(Relaxed)).sum()
    }

    fn outstanding(&self) -> u64 {
        self.meters.iter().map(|meter| meter.outstanding.load(Relaxed)).sum()
    }

    fn seen(&self) -> (Histogram, u64) {
        let mut latencies = Histogram::new();
        for meter in &self.meters {
            latencies.merge(&meter.latencies.lock().unwrap_or_else(PoisonError::into_inner));
        }
        (latencies, self.meters.iter().map(|meter| meter.wrong.load(Relaxed)).sum())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.enter(Phase::Draining);
    }
}

fn early_end(report: Option<Report>) -> Failure {
    match report {
        Some(Report::Ended(Err(failure))) => failure,
        _ => Failure::new("a thread of the load ended early"),
    }
}

async fn work<T: Talk>(
    address: SocketAddr,
    shape: Shape,
    paces: Vec<Option<Pace>>,
    meter: Arc<Meter>,
    reports: &mpsc::Sender<Report>,
    talk: impl Fn() -> T,
) -> Result<(), Failure> {
    let mut connections = Vec::with_capacity(paces.len());
    for pace in paces {
        let capacity = (shape.in_flight * (shape.size + 64)).clamp(8 * 1024, 256 * 1024);
        connections.push(Connection::open(address, shape.in_flight, capacity, pace, &meter, talk(), u64::MAX).await?);
    }
    // As above.
    let _ = reports.send(Report::Connected).await;
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        tasks.spawn(async move { poll_fn(|cx| connection.poll_work(cx)).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| Failure::new(format!("a connection of the load: {e}")))??;
    }
    Ok(())
}

/// One connection and its outstanding requests.
struct Connection<T> {
    link: Link,
    talk: T,
    flight: Flight,
    in_flight: usize,
    pace: Option<Pace>,
    /// Requests still to be sent.
    left: u64,
    meter: Arc<Meter>,
    opened: Instant,
    keepalive_at: Instant,
}

impl<T: Talk> Connection<T> {
    /// Connects and puts what opens the connection and the first requests into the outbox.
    async fn open(
        address: SocketAddr,
        in_flight: usize,
        capacity: usize,
        pace: Option<Pace>,
        meter: &Arc<Meter>,
        mut talk: T,
        left: u64,
    ) -> Result<Self, Failure> {
        let stream =
            TcpStream::connect(address).await.map_err(|e| Failure::new(format!("connect to {address}: {e}")))?;
        let mut link = Link::new(stream, capacity).map_err(|e| Failure::new(format!("connect to {address}: {e}")))?;
        talk.hello(&mut link.outbox);
        let opened = Instant::now();
        let mut connection = Self {
            link,
            talk,
            flight: Flight::new(in_flight),
            in_flight,
            pace,
            left,
            meter: Arc::clone(meter),
            opened,
            keepalive_at: opened + wire::KEEPALIVE_EVERY,
        };
        if connection.pace.is_none() {
            (0..in_flight).for_each(|_| connection.send(0));
        }
        Ok(connection)
    }

    /// Ends when the phase is draining and everything is answered. Reads even while the socket takes no more: what is
    /// outstanding is bounded, and so no two full sockets wait for each other.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let is_draining = self.left == 0 || self.meter.is_in(Phase::Draining);
            if is_draining && (self.flight.outstanding == 0 || self.talk.is_endless()) {
                return Poll::Ready(Ok(()));
            }
            self.send_due(cx);
            if let Poll::Ready(Err(failure)) = self.link.poll_flush(cx) {
                return Poll::Ready(Err(failure));
            }
            match self.link.poll_read(cx) {
                Poll::Ready(Ok(())) => self.take_answers()?,
                other => return other,
            }
        }
    }

    /// All answers of one read, and a new request for each.
    fn take_answers(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let nanos = now.duration_since(self.opened).as_nanos() as u64;
        let is_measured = self.meter.is_in(Phase::Measured);
        let (mut answered, mut items, mut wrong) = (0, 0, 0);
        {
            let mut latencies = self.meter.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(heard) = self.talk.hear(&mut self.link)? {
                match heard {
                    Heard::Answer { id, is_right } => match self.flight.end(id) {
                        Some(sent) => {
                            answered += 1;
                            wrong += u64::from(!is_right);
                            if is_measured {
                                latencies.record(nanos.saturating_sub(sent));
                            }
                        }
                        None => wrong += 1,
                    },
                    Heard::Item { is_right } => {
                        items += 1;
                        wrong += u64::from(!is_right);
                    }
                    Heard::Other => {}
                }
            }
        }
        self.meter.outstanding.fetch_sub(answered, Relaxed);
        if self.pace.is_none() && !self.meter.is_in(Phase::Draining) {
            for _ in 0..answered {
                self.send(nanos);
            }
        }
        self.meter.answered.fetch_add(answered * self.talk.messages() + items, Relaxed);
        if wrong > 0 {
            self.meter.wrong.fetch_add(wrong, Relaxed);
        }
        if now >= self.keepalive_at {
            self.keepalive_at = now + wire::KEEPALIVE_EVERY;
            self.talk.keep_alive(&mut self.link.outbox);
        }
        Ok(())
    }

    /// In an open loop, the requests that are due; what finds too many outstanding is sent late, and counted from when it
    /// was due.
    fn send_due(&mut self, cx: &Context<'_>) {
        if self.pace.is_none() || self.meter.is_in(Phase::Draining) {
            return;
        }
        let now = self.opened.elapsed().as_nanos() as u64;
        while self.flight.outstanding < self.in_flight
            && let Some(due) = self.pace.as_mut().and_then(|pace| pace.due(now))
        {
            self.send(due);
        }
        if let Some(pace) = &self.pace {
            pace.wait(cx);
        }
    }

    fn send(&mut self, nanos: u64) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let id = self.flight.begin(nanos);
        self.talk.request(&mut self.link.outbox, id);
        self.meter.outstanding.fetch_add(1, Relaxed);
    }
}
