//! Consumers that take what there is and settle it, until so many messages are taken.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cli::bench::Failure;
use crate::cli::bench::client::Sample;
use crate::cli::bench::cpu::{Processes, Reading};
use crate::cli::bench::memory::Memory;
use crate::cli::bench::wire::Link;

const BUFFER: usize = 256 * 1024;
/// Messages that are settled together, at most; what one read brought is settled when all of it is taken.
const TOGETHER: usize = 64;
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    Message,
    /// To what was asked.
    Answer,
    Other,
}

/// One consumer, in whichever protocol.
pub(super) trait Consume: Send + 'static {
    /// What opens the connection and asks for messages.
    fn hello(&mut self, out: &mut Vec<u8>);

    /// The next whole one of what was read; none until more is. Asks for more as what is there is used.
    fn hear(&mut self, link: &mut Link) -> Result<Option<Got>, Failure>;

    /// Settles all that was taken, and is not settled.
    fn settle(&mut self, out: &mut Vec<u8>);

    /// Asks for something that is answered once all that was settled has come.
    fn ask(&mut self, out: &mut Vec<u8>);
}

/// Takes and settles `total` messages over as many connections as there are consumers.
pub(super) async fn drain<C: Consume>(
    address: SocketAddr,
    total: u64,
    processes: &Processes,
    consumers: Vec<C>,
) -> Result<Sample, Failure> {
    let taken = Arc::new(AtomicU64::new(0));
    let (done, is_done) = watch::channel(false);
    let done = Arc::new(done);
    let mut members = Vec::new();
    for consumer in consumers {
        let failed = |e: std::io::Error| Failure::new(format!("connect to {address}: {e}"));
        let link = Link::new(TcpStream::connect(address).await.map_err(failed)?, BUFFER).map_err(failed)?;
        members.push(Member { link, consumer, taken: Arc::clone(&taken), total, done: Arc::clone(&done) });
    }
    let (begin, begun) = (Reading::take(processes)?, Instant::now());
    let mut tasks = JoinSet::new();
    for member in members {
        tasks.spawn(member.work(is_done.clone()));
    }
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| Failure::new(format!("a consumer: {e}")))??;
        }
        Ok(())
    };
    match timeout(DRAINED_WITHIN, all).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            let (taken, wait) = (taken.load(Relaxed), DRAINED_WITHIN.as_secs());
            return Err(Failure::new(format!("{taken} of {total} messages came in {wait} s")));
        }
    }
    let (elapsed, usage) = (begun.elapsed().as_secs_f64(), begin.until(&Reading::take(processes)?));
    let each = 1e6 / total as f64;
    Ok(Sample {
        rate: total as f64 / elapsed,
        p50_us: 0.0,
        p99_us: 0.0,
        server_cpu_us: usage.server_seconds * each,
        load_cpu_us: usage.others_seconds * each,
        foreign_cores: usage.foreign_cores,
        behind: 0,
        wrong: taken.load(Relaxed) - total,
        server_bytes: Memory::of(processes.server)?.private,
    })
}

struct Member<C> {
    link: Link,
    consumer: C,
    taken: Arc<AtomicU64>,
    total: u64,
    done: Arc<watch::Sender<bool>>,
}

impl<C: Consume> Member<C> {
    async fn work(mut self, mut is_done: watch::Receiver<bool>) -> Result<(), Failure> {
        self.consumer.hello(&mut self.link.outbox);
        tokio::select! {
            outcome = poll_fn(|cx| self.poll_take(cx)) => outcome?,
            // The sender is in this member.
            _ = is_done.wait_for(|is_done| *is_done) => {}
        }
        self.consumer.ask(&mut self.link.outbox);
        poll_fn(|cx| self.poll_take(cx)).await
    }

    /// Ends with an answer.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            ready!(self.link.poll_flush(cx))?;
            ready!(self.link.poll_read(cx))?;
            let (mut all, mut unsettled, mut is_answered) = (0, 0, false);
            while let Some(got) = self.consumer.hear(&mut self.link)? {
                match got {
                    Got::Message => {
                        (all, unsettled) = (all + 1, unsettled + 1);
                        if unsettled == TOGETHER {
                            unsettled = 0;
                            self.consumer.settle(&mut self.link.outbox);
                        }
                    }
                    Got::Answer => is_answered = true,
                    Got::Other => {}
                }
            }
            if unsettled > 0 {
                self.consumer.settle(&mut self.link.outbox);
            }
            if all > 0 && self.taken.fetch_add(all, Relaxed) + all >= self.total {
                self.done.send_replace(true);
            }
            if is_answered {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
