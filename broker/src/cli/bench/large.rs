//! `towline bench large`: messages of many megabytes at a steady rate, whether they arrive as they were sent, and what the
//! broker holds meanwhile.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};

use super::bulk::{Bulk, Event, Pattern};
use super::cpu::Reading;
use super::figures::Figures;
use super::hosted::{self, Host, HostArgs, seconds, whole};
use super::member::Member;
use super::report::Output;
use super::{Failure, runtime, wire};

const MIB: f64 = 1024.0 * 1024.0;
const SERVICE: &str = "bench.Large";
const CAPACITY: usize = 256 * 1024;
/// How often the broker's memory is read.
const LOOK: Duration = Duration::from_millis(20);
/// What an answer may take beyond the measured time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "\
Each connection makes one call at a time, its request and its answer of --size bytes cut into fragments of --fragment
bytes, both compared byte by byte with the pattern they were made of. --rate is for all of them, requests and answers
together, in millions of bytes a second. The bytes on their way are at most one message a connection; the growth of the
broker's resident memory, read every 20 ms, is told as a multiple of that.
Examples:
  towline bench large --seconds 30
  towline bench large --rate 1000 --connections 8 -o json")]
pub(super) struct LargeArgs {
    /// Requesters, and as many responders
    #[arg(long, default_value_t = 4, value_parser = whole(1, 256))]
    connections: u64,
    /// Bytes of a request, and of an answer
    #[arg(long, default_value_t = 16 * 1024 * 1024, value_parser = whole(64, 1 << 30))]
    size: u64,
    /// Bytes of data in a fragment
    #[arg(long, default_value_t = 64 * 1024, value_parser = whole(64, 16_000_000))]
    fragment: u64,
    /// Millions of bytes a second
    #[arg(long, default_value_t = 200, value_parser = whole(1, 100_000))]
    rate: u64,
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    #[command(flatten)]
    host: HostArgs,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What one connection is to do.
#[derive(Clone)]
struct Plan {
    address: SocketAddr,
    size: usize,
    fragment: usize,
    pattern: Arc<Pattern>,
    /// From one call of a connection to its next.
    period: Duration,
    end: Instant,
}

/// What one requester has seen.
#[derive(Debug, Default, Clone, Copy)]
struct Calls {
    answered: u64,
    /// Answers with other bytes than those sent, or another length.
    wrong: u64,
    refused: u64,
    /// The longest from when a call was due until its answer was there.
    longest: Duration,
}

pub(super) async fn run(args: LargeArgs) -> Result<(), Failure> {
    let connections = args.connections as usize;
    hosted::descriptors_for(2 * connections)?;
    let shape = json!({
        "connections": connections, "size": args.size, "fragment": args.fragment, "rate": args.rate,
        "seconds": args.seconds.as_secs_f64(),
    });
    let mut found = Figures::new("large", shape);
    let host = Host::start(&args.host, None).await?;
    let period = 2.0 * (args.size * args.connections) as f64 / (args.rate as f64 * 1e6);
    let mut plan = Plan {
        address: host.address,
        size: args.size as usize,
        fragment: args.fragment as usize,
        pattern: Arc::new(Pattern::new(args.size as usize)),
        period: Duration::from_secs_f64(period),
        end: Instant::now(),
    };
    let mut broken = start_responders(&plan, connections).await?;
    let base = host.memory()?.resident;

    let (begun, begin) = (Instant::now(), Reading::take(&host.processes())?);
    plan.end = begun + args.seconds;
    let mut callers = JoinSet::new();
    for nth in 0..connections {
        // Not all at the same moment.
        let first = begun + plan.period.mul_f64(nth as f64 / connections as f64);
        callers.spawn(call(plan.clone(), nth, first));
    }
    let (mut calls, mut peak, mut ended) = (Calls::default(), base, begun);
    let mut looks = interval(LOOK);
    while !callers.is_empty() {
        tokio::select! {
            Some(done) = callers.join_next() => {
                calls.add(&done.map_err(|e| Failure::new(format!("a caller: {e}")))??);
                ended = Instant::now();
            }
            Some(failure) = broken.recv() => return Err(failure),
            _ = looks.tick() => peak = peak.max(host.memory()?.resident),
        }
    }
    let usage = begin.until(&Reading::take(&host.processes())?);

    let bytes = calls.answered as f64 * 2.0 * args.size as f64;
    let way = (args.size * args.connections) as f64;
    found.add(
        "rate_mb",
        "millions of bytes a second, both ways together",
        bytes / 1e6 / (ended - begun).max(args.seconds).as_secs_f64(),
    );
    found.add("answered", "calls answered", calls.answered as f64);
    found.add("wrong", "messages with other bytes than those sent", calls.wrong as f64);
    found.add("refused", "calls refused and made again", calls.refused as f64);
    found.add("longest_seconds", "from when a call was due to its answer, longest, s", calls.longest.as_secs_f64());
    found.add("on_the_way_mib", "bytes on their way at most, MiB", way / MIB);
    found.add("base_resident_mib", "resident memory of the broker before, MiB", base as f64 / MIB);
    found.add("growth_mib", "its growth at most, MiB", (peak - base) as f64 / MIB);
    found.add("growth_over_way", "growth over the bytes on their way", (peak - base) as f64 / way);
    found.add("server_cpu_cores", "CPU of the broker, cores", usage.server_seconds / usage.seconds);
    found.add(
        "server_cpu_us_per_mb",
        "CPU of the broker a million bytes, us",
        usage.server_seconds * 1e12 / bytes.max(1.0),
    );
    found.add("foreign_cores", "CPU of other processes, cores", usage.foreign_cores);
    found.print(args.output)?;
    match calls.wrong {
        0 => Ok(()),
        wrong => Err(Failure::new(format!("{wrong} messages did not arrive as they were sent"))),
    }
}

impl Calls {
    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.longest = self.longest.max(other.longest);
    }
}

/// One call after the other, each when it is due, or at once if that is over.
async fn call(plan: Plan, nth: usize, first: Instant) -> Result<Calls, Failure> {
    let mut bulk = join(&plan, &format!("large-requester-{nth}"), None).await?;
    let (mut calls, mut due, mut stream_id) = (Calls::default(), first, 1);
    while due < plan.end {
        resting(&mut bulk, due).await?;
        // Its answer's number is the next one: an answer is never the request come back.
        let number = (nth as u64) << 32 | u64::from(stream_id);
        bulk.send(stream_id, number, plan.size, Some(SERVICE));
        let deadline = plan.end.max(due) + ANSWERED_WITHIN;
        let event = tokio::time::timeout_at(deadline, poll_fn(|cx| bulk.poll_event(cx)));
        let event = event.await.map_err(|_| Failure::new(format!("requester {nth}: a call has no answer")))??;
        match event {
            Event::Came { stream_id: of, number: told, bytes, is_exact } if of == stream_id => {
                calls.answered += 1;
                calls.wrong += u64::from(!is_exact || bytes != plan.size || told != number + 1);
                calls.longest = calls.longest.max(due.elapsed());
                due += plan.period;
            }
            Event::Refused { .. } => {
                calls.refused += 1;
                resting(&mut bulk, Instant::now() + REFUSED_PAUSE).await?;
            }
            _ => {}
        }
        stream_id += 2;
    }
    Ok(calls)
}

/// Lets time pass, its KEEPALIVEs answered.
async fn resting(bulk: &mut Bulk, until: Instant) -> Result<(), Failure> {
    tokio::select! {
        event = poll_fn(|cx| bulk.poll_event(cx)) => Err(Failure::new(format!("nobody waits for {:?}", event?))),
        () = sleep_until(until) => Ok(()),
    }
}

/// Responders on a thread of their own, all registered; what goes wrong there comes out of the channel.
async fn start_responders(plan: &Plan, count: usize) -> Result<mpsc::Receiver<Failure>, Failure> {
    let (tell, broken) = mpsc::channel(1);
    let (ready, is_ready) = oneshot::channel();
    let (plan, runtime) = (plan.clone(), runtime()?);
    std::thread::spawn(move || {
        let failure = runtime.block_on(async {
            let mut links = JoinSet::new();
            for nth in 0..count {
                let bulk = join(&plan, &format!("large-responder-{nth}"), Some(SERVICE)).await?;
                links.spawn(answer(bulk, plan.size));
            }
            // The driver waits for it or has given up.
            let _ = ready.send(());
            match links.join_next().await {
                Some(Ok(ended)) => ended,
                _ => Err(Failure::new("a responder ended early")),
            }
        });
        if let Err(failure) = failure {
            // As above.
            let _ = tell.blocking_send(failure);
        }
    });
    let mut broken = broken;
    match is_ready.await {
        Ok(()) => Ok(broken),
        Err(_) => Err(broken.recv().await.unwrap_or_else(|| Failure::new("no responder"))),
    }
}

/// Answers each message with the one of the next number; one that came wrong with a short one, so that it counts.
async fn answer(mut bulk: Bulk, size: usize) -> Result<(), Failure> {
    loop {
        if let Event::Came { stream_id, number, bytes, is_exact } = poll_fn(|cx| bulk.poll_event(cx)).await? {
            let is_right = is_exact && bytes == size;
            bulk.send(stream_id, number + 1, if is_right { size } else { super::bulk::NUMBER_LEN }, None);
        }
    }
}

/// Connects and waits until the broker has taken the SETUP.
async fn join(plan: &Plan, name: &str, service: Option<&str>) -> Result<Bulk, Failure> {
    let mut member = Member::connect(plan.address, None, CAPACITY).await?;
    wire::put_setup(member.outbox(), name, fastrand::u128(..), service);
    wire::put_keepalive(member.outbox(), true, b"");
    let mut bulk = Bulk::new(member, Arc::clone(&plan.pattern), plan.fragment);
    while poll_fn(|cx| bulk.poll_event(cx)).await? != Event::Registered {}
    Ok(bulk)
}
