//! A disk in memory that does what disks do at their worst, and the same again for the same seed.
//!
//! ```text
//!  inode    a file without its name: current, certain, unsynced      content   its bytes      ranges  where it is allocated
//!  names    what the folder says: current, certain, unsynced         luck      how much of the unsynced arrives
//!  faults   crashes and errors, counted in operations
//! ```
//! Invariant: what was synced, and the names a sync of the folder covered, are there after any power cut; of everything else,
//! each page, each length and each name decides for itself.

mod content;
mod faults;
mod inode;
mod luck;
mod names;
mod ranges;
#[cfg(test)]
mod tests;

pub(crate) use faults::{Operation, is_crash};

use super::{Disk, File};
use content::PAGE;
use fastrand::Rng;
use faults::{Faults, Verdict, crashed};
use inode::Inode;
use names::Names;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The disk, and the hand that pulls its plug. A clone is the same disk; [`Simulated::fork`] is another.
///
/// After [`Simulated::power_cut`] and [`Simulated::kill`] the disk can be used through the clone they were called on and
/// those made of it later: all older ones are of a process that is gone, and fail.
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
    /// See [`State::boot`].
    boot: AtomicU64,
}

#[derive(Clone)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    next_inode: u64,
    /// How many processes have used the disk before.
    boot: u64,
    /// Decides what an operation that fails leaves behind.
    rng: Rng,
    faults: Faults,
    capacity: Option<u64>,
    filled: Vec<String>,
    /// How long the next write takes.
    stall: Duration,
}

/// Handles are of one process.
struct Handle {
    state: Arc<Mutex<State>>,
    inode: u64,
    boot: u64,
}

impl Simulated {
    /// An empty disk. The seed decides what failing writes and syncs leave.
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            inodes: BTreeMap::new(),
            names: Names::default(),
            next_inode: 1,
            boot: 0,
            rng: Rng::with_seed(seed),
            faults: Faults::default(),
            capacity: None,
            filled: Vec::new(),
            stall: Duration::ZERO,
        };
        Self { state: Arc::new(Mutex::new(state)), boot: AtomicU64::new(0) }
    }

    /// Another disk that holds what this one does, certain or not; no handle of this one is one of it.
    pub(crate) fn fork(&self) -> Self {
        let mut state = self.state.lock().clone();
        state.drop_handles();
        let boot = AtomicU64::new(state.boot);
        Self { state: Arc::new(Mutex::new(state)), boot }
    }

    /// Leaves what an honest disk may leave, as certain. Ends the process as well, and all faults.
    pub(crate) fn power_cut(&self, seed: u64) {
        let mut state = self.state.lock();
        let mut rng = Rng::with_seed(seed);
        state.names.power_cut(&mut rng);
        for inode in state.inodes.values_mut() {
            inode.power_cut(&mut rng);
        }
        state.faults.heal();
        self.restart(&mut state);
    }

    /// Ends the process, as `kill -9` does: nothing is lost, and what was not certain still is not. Faults stay.
    pub(crate) fn kill(&self) {
        self.restart(&mut self.state.lock());
    }

    fn restart(&self, state: &mut State) {
        state.faults.restart();
        state.boot += 1;
        self.boot.store(state.boot, Ordering::Relaxed);
        state.drop_handles();
        let State { names, inodes, .. } = state;
        for (name, inode) in &names.current {
            if let Some(inode) = inodes.get_mut(inode) {
                inode.name.clone_from(name);
            }
        }
    }

    /// The `operations`th operation from now that changes or syncs something fails, done or half done or not, and everything
    /// after it fails too, until the process ends; at once if 0. See [`is_crash`].
    pub(crate) fn crash_after(&self, operations: u64) {
        self.state.lock().faults.crash_after(operations);
    }

    /// How many operations that change or sync something there were.
    pub(crate) fn operations(&self) -> u64 {
        self.state.lock().faults.operations
    }

    /// Files whose zeros were written, and not only promised.
    pub(crate) fn filled(&self) -> Vec<String> {
        self.state.lock().filled.clone()
    }

    /// The next write takes so long.
    pub(crate) fn stall(&self, stall: Duration) {
        self.state.lock().stall = stall;
    }

    /// How many reads there were.
    pub(crate) fn reads(&self) -> u64 {
        self.state.lock().faults.reads
    }

    /// How many bytes they brought.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.state.lock().faults.read_bytes
    }

    /// The next `times` operations of a kind on files whose names start so fail as a broken disk does; all, if nothing. A
    /// write may be partly done, a sync leaves some certain and the rest lost. [`Operation::SyncDir`] and [`Operation::List`]
    /// have the empty name.
    pub(crate) fn fail(&self, operation: Operation, prefix: &str, times: Option<u32>) {
        self.state.lock().faults.inject(operation, prefix, times);
    }

    /// No operation fails any more; what failing ones left behind stays.
    pub(crate) fn heal(&self) {
        self.state.lock().faults.heal();
    }

    /// How many bytes all files may take.
    pub(crate) fn set_capacity(&self, capacity: Option<u64>) {
        self.state.lock().capacity = capacity;
    }

    /// Changes one bit, on the disk and in memory.
    pub(crate) fn flip(&self, name: &str, bit: u64) {
        self.state.lock().named(name).flip(bit);
    }

    /// Takes a file's end away, on the disk and in memory.
    pub(crate) fn truncate(&self, name: &str, len: u64) {
        self.state.lock().named(name).truncate(len);
    }

    /// The names there are, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().names.current.keys().cloned().collect()
    }

    /// All bytes of a file as it is read now.
    pub(crate) fn contents(&self, name: &str) -> Vec<u8> {
        let mut state = self.state.lock();
        let inode = state.named(name);
        let mut bytes = vec![0; inode.len() as usize];
        inode.read(&mut bytes, 0);
        bytes
    }

    fn enter(&self) -> io::Result<MutexGuard<'_, State>> {
        enter(&self.state, self.boot.load(Ordering::Relaxed))
    }

    fn handle(&self, state: &mut State, inode: u64) -> Arc<dyn File> {
        if let Some(inode) = state.inodes.get_mut(&inode) {
            inode.handles += 1;
        }
        Arc::new(Handle { state: self.state.clone(), inode, boot: state.boot })
    }
}

impl Clone for Simulated {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), boot: AtomicU64::new(self.boot.load(Ordering::Relaxed)) }
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated").finish_non_exhaustive()
    }
}

impl Disk for Simulated {
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        let mut state = self.enter()?;
        let inode = state.change(Operation::Create, &[name], |state| {
            if state.names.current.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if len.div_ceil(PAGE as u64) > state.free_pages() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let inode = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(inode, Inode::new(name, len));
            state.names.create(name, inode);
            Ok(inode)
        })?;
        Ok(self.handle(&mut state, inode))
    }

    fn create_filled(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        let file = self.create(name, len)?;
        self.enter()?.filled.push(name.to_owned());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.enter()?;
        state.look(Operation::Open, name)?;
        let inode = *state.names.current.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&mut state, inode))
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut state = self.enter()?;
        state.look(Operation::List, "")?;
        Ok(state.names.current.iter().map(|(name, inode)| (name.clone(), state.inodes[inode].len())).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.enter()?.change(Operation::Rename, &[from, to], |state| {
            if !state.names.rename(from, to) {
                return Err(io::ErrorKind::NotFound.into());
            }
            to.clone_into(&mut state.named(to).name);
            state.collect();
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.enter()?.change(Operation::Remove, &[name], |state| {
            if !state.names.remove(name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.collect();
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.enter()?;
        let sync = |state: &mut State| {
            state.names.sync();
            state.collect();
            Ok(())
        };
        let outcome = state.change(Operation::SyncDir, &[""], sync);
        if outcome.as_ref().is_err_and(|error| !is_crash(error)) {
            let State { names, rng, .. } = &mut *state;
            names.fail_sync(rng);
        }
        outcome
    }

    fn free_space(&self) -> io::Result<u64> {
        let state = self.enter()?;
        state.faults.check()?;
        Ok(state.free_pages() * PAGE as u64)
    }
}

impl Handle {
    fn enter(&self) -> io::Result<MutexGuard<'_, State>> {
        enter(&self.state, self.boot)
    }

    fn read(&self, at: u64, read: impl FnOnce(&Inode) -> usize) -> io::Result<usize> {
        let mut state = self.enter()?;
        let name = state.inode(self.inode).name.clone();
        state.look(Operation::Read, &name)?;
        debug_assert!(at <= i64::MAX as u64);
        let brought = read(state.inode(self.inode));
        state.faults.read_bytes += brought as u64;
        Ok(brought)
    }

    fn change(&self, operation: Operation, change: impl FnOnce(&mut Inode)) -> io::Result<()> {
        let mut state = self.enter()?;
        let name = state.inode(self.inode).name.clone();
        state.change(operation, &[&name], |state| {
            change(state.inode(self.inode));
            Ok(())
        })
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.enter()?;
        state.faults.check()?;
        Ok(state.inode(self.inode).len())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let stall = std::mem::take(&mut self.state.lock().stall);
        #[allow(clippy::disallowed_methods, reason = "a disk that takes its time is what is simulated")]
        std::thread::sleep(stall);
        let mut state = self.enter()?;
        let name = state.inode(self.inode).name.clone();
        let verdict = state.faults.judge(Operation::Write, &[&name])?;
        // A write that fails may be partly done, in order.
        let fits = state.fitting(self.inode, at, bytes.len());
        let done = if verdict == Verdict::Works { bytes.len() } else { state.rng.usize(..=bytes.len()) };
        state.inode(self.inode).write(&bytes[..done.min(fits)], at);
        match verdict {
            Verdict::Works if fits < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            Verdict::Works => Ok(()),
            Verdict::Fails => Err(broken()),
            Verdict::Crashes => Err(crashed()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.read(at, |inode| inode.read(buffer, at))
    }

    fn read_past_cache(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.read(at, |inode| inode.read_past_cache(buffer, at))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.enter()?;
        let name = state.inode(self.inode).name.clone();
        let outcome = state.change(Operation::Sync, &[&name], |state| {
            state.inode(self.inode).sync();
            Ok(())
        });
        if outcome.as_ref().is_err_and(|error| !is_crash(error)) {
            let State { inodes, rng, .. } = &mut *state;
            inodes.entry(self.inode).and_modify(|inode| inode.fail_sync(rng));
        }
        outcome
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Operation::SetLen, |inode| inode.set_len(len))
    }

    fn punch(&self, at: u64, len: u64) -> io::Result<()> {
        self.change(Operation::Punch, |inode| inode.punch(at, len))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("inode", &self.inode).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.boot == self.boot {
            state.inode(self.inode).handles -= 1;
            state.collect();
        }
    }
}

impl State {
    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("a file lives as long as it has a handle or a name")
    }

    /// For the hand of the test.
    fn named(&mut self, name: &str) -> &mut Inode {
        let inode = *self.names.current.get(name).unwrap_or_else(|| panic!("no file is called {name}"));
        self.inode(inode)
    }

    /// An operation that is done or not.
    fn change<T>(
        &mut self,
        operation: Operation,
        names: &[&str],
        change: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.faults.judge(operation, names)? {
            Verdict::Works => change(self),
            Verdict::Fails => Err(broken()),
            Verdict::Crashes => {
                if self.rng.bool() {
                    change(self).ok();
                }
                Err(crashed())
            }
        }
    }

    fn look(&mut self, operation: Operation, name: &str) -> io::Result<()> {
        match self.faults.judge(operation, &[name])? {
            Verdict::Works => Ok(()),
            Verdict::Fails | Verdict::Crashes => Err(broken()),
        }
    }

    /// What a file without a name takes is free once its last handle is.
    fn free_pages(&self) -> u64 {
        let Some(capacity) = self.capacity else { return u64::MAX / PAGE as u64 };
        let named = self.names.current.values();
        let held = self.inodes.iter().filter(|(_, inode)| inode.handles > 0).map(|(inode, _)| inode);
        let taken: std::collections::BTreeSet<u64> = named.chain(held).copied().collect();
        let used: u64 = taken.iter().map(|inode| self.inodes[inode].allocated.count()).sum();
        (capacity / PAGE as u64).saturating_sub(used)
    }

    /// How many of `len` bytes can be written at `at`.
    fn fitting(&self, inode: u64, at: u64, len: usize) -> usize {
        if self.capacity.is_none() {
            return len;
        }
        let mut free = self.free_pages();
        let mut fits = 0;
        for (page, range) in content::pieces(at, at + len as u64) {
            let missing = self.inodes[&inode].allocated.missing(page..page + 1);
            if missing > free {
                break;
            }
            free -= missing;
            fits += range.len();
        }
        fits
    }

    fn drop_handles(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.handles = 0;
        }
        self.collect();
    }

    /// Forgets the files that nothing can bring back.
    fn collect(&mut self) {
        self.inodes.retain(|number, inode| inode.handles > 0 || self.names.may_name(*number));
    }
}

fn enter(state: &Mutex<State>, boot: u64) -> io::Result<MutexGuard<'_, State>> {
    let state = state.lock();
    if state.boot == boot {
        Ok(state)
    } else {
        Err(io::Error::new(io::ErrorKind::NotConnected, "a handle of a dead process"))
    }
}

fn broken() -> io::Error {
    rustix::io::Errno::IO.into()
}
