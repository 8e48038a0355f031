//! Who runs what: a thread each that writes, syncs, and keeps the folder.

use super::core::Core;
use super::write::Wrote;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// After so long without anything new a mark says what is synced (rule 1).
const MARK_AFTER: Duration = Duration::from_millis(10);
/// What nobody waits for is synced after so long.
const SOON: Duration = Duration::from_millis(100);
/// A mark is synced after so long.
const LATE: Duration = Duration::from_secs(60);
/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is looked how much room there is, and which duplicates nobody has to know any more.
const SECOND: Duration = Duration::from_secs(1);
/// How long one group waits at most when sealing is behind.
const SLOW: Duration = Duration::from_millis(20);

/// What a thread does until it is told to stop.
type Loop = fn(&Core, &AtomicBool);

/// The threads of a running engine.
#[derive(Debug)]
pub(crate) struct Threads {
    is_stopping: Arc<AtomicBool>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(crate) fn start(core: &Arc<Core>) -> Self {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let loops: [(&str, Loop); 3] =
            [("towline-write", write_all), ("towline-sync", sync_all), ("towline-keep", keep_all)];
        let running = loops.map(|(name, run)| {
            let (core, is_stopping) = (core.clone(), is_stopping.clone());
            let thread = std::thread::Builder::new().name(name.to_owned());
            let run = move || {
                let _fails = Fails(&core);
                run(&core, &is_stopping);
            };
            thread.spawn(run).expect("a thread can be started while the broker starts")
        });
        Self { is_stopping, running: Mutex::new(running.into()) }
    }

    /// Ends them after what each of them is at.
    pub(crate) fn stop(&self, core: &Core) {
        self.is_stopping.store(true, Ordering::Release);
        [&core.to_write, &core.to_sync, &core.to_keep].into_iter().for_each(|signal| signal.set());
        for thread in self.running.lock().drain(..) {
            // It has said why, if it panicked.
            let _ = thread.join();
        }
    }
}

/// A thread that panics takes the store with it: else nobody would ever be answered again.
struct Fails<'a>(&'a Core);

impl Drop for Fails<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("running the store", &std::io::Error::other("a thread has panicked"));
        }
    }
}

/// Writes what nobody waits to be synced: the others' groups are written by who syncs them. And tells those whom a sync has
/// left to be told.
fn write_all(core: &Core, is_stopping: &AtomicBool) {
    loop {
        core.answer();
        let wrote = if core.front.lock().is_to_write() { core.write() } else { Wrote::Idle };
        match wrote {
            Wrote::Group => slow_down(core),
            _ if is_stopping.load(Ordering::Acquire) => return core.answer(),
            Wrote::Blocked => {
                core.to_write.wait(LOOK);
            }
            Wrote::Idle => {
                core.to_write.wait(LATE);
            }
        }
    }
}

/// Writes what is waited for and syncs it, and what nobody waits for a little later. While one round runs the next group
/// fills.
fn sync_all(core: &Core, is_stopping: &AtomicBool) {
    let mut is_marked = false;
    loop {
        let mut wrote = Wrote::Idle;
        if core.front.lock().is_synced_for() {
            wrote = core.write();
            slow_down(core);
        }
        let (is_urgent, is_soon) = {
            let certainty = core.certainty.lock();
            (certainty.is_urgent(), certainty.is_soon())
        };
        if is_urgent {
            core.sync();
            is_marked = false;
            continue;
        }
        if is_stopping.load(Ordering::Acquire) {
            // The last one behind a log that was closed; another one does no harm.
            core.mark();
            return core.to_write.set();
        }
        let at_most = match (wrote, is_soon, is_marked) {
            (Wrote::Blocked, ..) => LOOK,
            (_, true, _) => SOON,
            (_, _, true) => LATE,
            _ => MARK_AFTER,
        };
        if core.to_sync.wait(at_most) {
            continue;
        }
        if is_soon || is_marked {
            core.sync();
            is_marked = !is_soon;
        } else {
            is_marked = core.mark();
        }
    }
}

/// Publishing waits a little for sealing, if that is behind (rule 9).
fn slow_down(core: &Core) {
    if core.is_behind() {
        core.to_keep.set();
        core.sealed.wait(SLOW);
    }
}

fn keep_all(core: &Core, is_stopping: &AtomicBool) {
    let begun = Instant::now();
    let mut looked = None::<Instant>;
    while !is_stopping.load(Ordering::Acquire) {
        let now = begun.elapsed().as_millis() as u64;
        if looked.is_none_or(|looked| looked.elapsed() >= SECOND) {
            looked = Some(Instant::now());
            core.watch_space(None);
            core.front.lock().state.expire(now);
        }
        if core.keep(now) {
            core.sealed.set();
        } else {
            core.to_keep.wait(LOOK);
        }
    }
}
