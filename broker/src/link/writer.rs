//! One writer at a time, by claim.
//!
//! Whoever queues a frame on a link that nobody writes gets the [`Claim`] and writes, once it has handled all it read.
//! Who queues meanwhile finds the link claimed and goes on. If the socket is full a task takes the claim over and waits.
//! ```text
//!  idle --first frame queued--> claimed --outbox empty--> idle
//!                                 | socket full             ^
//!                                 v                         |
//!                               write task --outbox empty---'      closed: half-written frame, farewell, shut down
//! ```

use super::Link;
use super::outbox::Writing;
use super::state::{Effect, State};
use crate::metrics::CloseReason;
use rsocket::ErrorCode;
use rsocket::transport::{writable, write_all};
use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// Time a closed link's last bytes have.
const FAREWELL: Duration = Duration::from_secs(1);
/// Batches one caller writes before a task goes on.
const TURNS: usize = 4;

/// The right to write to a link. Dropped by a panic it closes the link: how much was written is not known.
pub(crate) struct Claim(Option<Arc<Link>>);

impl Claim {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self(Some(link))
    }

    fn link(&self) -> &Arc<Link> {
        self.0.as_ref().expect("a claim has its link until it is let go")
    }

    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            tracing::error!(link = link.id, "a writer was lost in the middle of a write; the link is closed");
            link.transport.shutdown();
            link.close(CloseReason::Internal, None, &mut Touched::default());
        }
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.flush();
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Nothing of these links is half written: they outlive the panic.
            self.claims.drain(..).for_each(|claim| drop(runtime.spawn(write_blocked(claim, Writing::default(), 0))));
        }
    }
}

/// The links whose claims one task holds: flushed together once it has handled all it read.
#[derive(Default)]
pub(crate) struct Touched {
    claims: Vec<Claim>,
    effects: Vec<Effect<Arc<Link>>>,
}

thread_local! {
    /// Empty: every write on this thread uses its memory again.
    static SPARE: Cell<Writing> = Cell::default();
}

impl Touched {
    #[inline]
    pub(super) fn add(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Carries out what one link's change means for another.
    pub(crate) fn apply(&mut self, effect: Effect<Arc<Link>>) {
        match effect {
            Effect::Grant(leg, n) => leg.link.with(self, |state| state.grant(leg.stream, leg.serial, n)),
            Effect::Linger(leg) => leg.link.with(self, State::linger),
            Effect::Release(leg) => leg.link.with(self, State::release),
            Effect::Finish(leg, text) => {
                leg.link.with(self, |state| state.finish(leg.stream, leg.serial, ErrorCode::CANCELED, text));
            }
        }
    }

    /// Writes every claimed link until it is empty or full.
    pub(crate) fn flush(&mut self) {
        while let Some(claim) = self.claims.pop() {
            write(claim, self);
            while let Some(effect) = self.effects.pop() {
                self.apply(effect);
            }
        }
    }
}

/// What the holder of a claim does next.
enum Next {
    Write,
    Idle,
    Farewell,
}

/// Accounts `n` bytes written and takes what is to be written next.
fn next(link: &Link, writing: &mut Writing, n: usize, is_blocked: bool, effects: &mut Vec<Effect<Arc<Link>>>) -> Next {
    let mut inner = link.hot.inner.lock();
    if inner.state.is_closed {
        // How much of a frame is left must be known to end it.
        writing.written(n, |_| ());
        return Next::Farewell;
    }
    if n > 0 {
        inner.watch.taken(n);
        let frames = inner.state.written(writing, n, effects);
        link.shared.meters.frames_out.increment(frames);
    }
    inner.state.outbox.take(writing, link.shared.batch);
    let is_idle = writing.batch.is_empty() && !link.transport.has_unsent();
    inner.is_claimed = !is_idle;
    match is_blocked && !is_idle {
        true => inner.state.outbox.block(),
        false => inner.state.outbox.is_blocked = false,
    }
    inner.writing = writing.weight();
    inner.watch.set_waiting(is_blocked && !is_idle);
    link.settle(&mut inner);
    if is_idle { Next::Idle } else { Next::Write }
}

fn write(claim: Claim, touched: &mut Touched) {
    let mut writing = SPARE.take();
    let mut written = 0;
    for _ in 0..=TURNS {
        match next(claim.link(), &mut writing, written, false, &mut touched.effects) {
            Next::Idle => {
                SPARE.set(writing.emptied());
                return claim.let_go();
            }
            Next::Farewell => return say_farewell(claim, writing),
            Next::Write => {}
        }
        match claim.link().transport.try_write(&mut writing.batch) {
            Ok(n) => {
                written = n;
                claim.link().shared.meters.bytes_out.increment(n as u64);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                writing.batch.fit();
                let runtime = claim.link().shared.runtime.clone();
                runtime.spawn(write_blocked(claim, writing, 0));
                return;
            }
            Err(_) => return lose(claim, touched),
        }
    }
    let runtime = claim.link().shared.runtime.clone();
    runtime.spawn(write_blocked(claim, writing, written));
}

/// The write task: waits for the socket, and ends when nothing is queued.
async fn write_blocked(claim: Claim, mut writing: Writing, mut written: usize) {
    let mut touched = Touched::default();
    let mut since_yield = 0;
    loop {
        let mut effects = Vec::new();
        let after = next(claim.link(), &mut writing, written, true, &mut effects);
        effects.into_iter().for_each(|effect| touched.apply(effect));
        touched.flush();
        match after {
            Next::Idle => return claim.let_go(),
            Next::Farewell => return say_farewell(claim, writing),
            Next::Write => {}
        }
        written = 0;
        match claim.link().transport.try_write(&mut writing.batch) {
            Ok(n) => {
                claim.link().shared.meters.bytes_out.increment(n as u64);
                written = n;
                since_yield += n;
                if since_yield >= claim.link().shared.batch {
                    since_yield = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let transport = claim.link().transport.clone();
                if writable(&*transport).await.is_err() {
                    return lose(claim, &mut touched);
                }
            }
            Err(_) => return lose(claim, &mut touched),
        }
    }
}

/// The socket failed while written to. Whoever holds `touched` flushes it: losses in a row do not nest.
fn lose(claim: Claim, touched: &mut Touched) {
    let link = claim.link().clone();
    claim.let_go();
    link.transport.shutdown();
    link.close(CloseReason::Peer, None, touched);
}

/// Ends a closed link whose writer waits for the socket: without this it would wait as long as the peer reads nothing.
pub(super) async fn end_late(link: Arc<Link>) {
    tokio::time::sleep(FAREWELL).await;
    link.transport.shutdown();
}

/// Ends a closed link: what is left of a half-written frame, its last frame, and the end of the stream.
pub(super) fn say_farewell(claim: Claim, mut writing: Writing) {
    let link = claim.link().clone();
    let farewell = link.hot.inner.lock().farewell.take();
    claim.let_go();
    let Some(farewell) = farewell else {
        link.transport.shutdown();
        return;
    };
    writing.end_with(farewell.into_wire());
    link.shared.runtime.clone().spawn(async move {
        // Whatever the peer did not take in time is lost with the connection.
        let _ = tokio::time::timeout(FAREWELL, write_all(&*link.transport, &mut writing.batch)).await;
        link.transport.shutdown();
    });
}
