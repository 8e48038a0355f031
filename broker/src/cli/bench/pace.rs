//! Requests at a rate of their own, however long answers take: an open loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

/// Time between two looks at what is due; the runtime's own timers are ten times as coarse.
const TICK: Duration = Duration::from_micros(100);

/// When the requests of one connection are due, in nanoseconds since it was opened.
#[derive(Debug)]
pub(super) struct Pace {
    interval: f64,
    next: f64,
    ticks: Arc<Ticks>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Pace {
    /// `rate` requests a second of one connection; the first ones of many connections are spread over an interval.
    pub(super) fn new(rate: f64, ticks: &Arc<Ticks>) -> Self {
        let interval = 1e9 / rate;
        let waker = Arc::default();
        ticks.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&waker));
        Self { interval, next: interval * fastrand::f64(), ticks: Arc::clone(ticks), waker }
    }

    /// When the next request was due, if it is by `now`.
    pub(super) fn due(&mut self, now: u64) -> Option<u64> {
        let due = self.next as u64;
        (due <= now).then(|| {
            self.next += self.interval;
            due
        })
    }

    /// Wakes the task at every tick from now on.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        debug_assert!(!self.ticks.is_over.load(Ordering::Relaxed), "the clock runs as long as a connection");
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// The clock of a crew: wakes every connection at every tick until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    wakers: Mutex<Vec<Arc<Mutex<Option<Waker>>>>>,
    is_over: AtomicBool,
}

/// Ends the clock when dropped.
#[derive(Debug)]
pub(super) struct Clock(pub(super) Arc<Ticks>);

impl Clock {
    pub(super) fn start() -> Self {
        let ticks = Arc::<Ticks>::default();
        let mine = Arc::clone(&ticks);
        std::thread::spawn(move || {
            while !mine.is_over.load(Ordering::Relaxed) {
                #[allow(clippy::disallowed_methods, reason = "a thread of its own, whose one task is to wait")]
                std::thread::sleep(TICK);
                for waker in &*mine.wakers.lock().unwrap_or_else(PoisonError::into_inner) {
                    if let Some(waker) = &*waker.lock().unwrap_or_else(PoisonError::into_inner) {
                        waker.wake_by_ref();
                    }
                }
            }
        });
        Self(ticks)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}
