//! How a life ends and the next one begins: a kill, a power cut, and a recovery that may be stopped too.

use super::model::{Contents, Model, read_all};
use super::world::{Faults, World, trace};
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::Disk;
use crate::store::log::disk::simulated::Operation;
use std::sync::Arc;

impl World {
    /// One calm life without faults whose disk stops at an operation; false if it came to its end before.
    pub(super) fn run_to(&mut self, operation: u64, steps: usize) -> bool {
        self.faults = Faults { crash_within: 0, errors: false, full: false, power: 100, busy: 100 };
        self.is_faulty = true;
        self.disk.crash_after(operation);
        let Ok(core) = Core::open(Arc::new(self.disk.clone()), self.settings.clone()) else { return true };
        self.core = Some(core);
        for _ in 0..steps {
            self.step();
            if self.core().is_poisoned() || self.disk.list().is_err() {
                (self.writing, self.round, self.core) = (None, None, None);
                return true;
            }
        }
        false
    }

    /// Opens another disk that holds what this world's may hold after the ends given, and looks whether all is there that has
    /// to be. An end says whether the power is cut, and at which operation the recovery after it stops. False if one of them
    /// came to its end before.
    pub(super) fn opens_after(&self, ends: &[(bool, Option<u64>)], seed: u64) -> bool {
        let disk = self.disk.fork();
        let mut lower = self.written;
        for (nth, (is_cut, stop)) in ends.iter().enumerate() {
            if *is_cut {
                disk.power_cut(seed + nth as u64);
                lower = self.synced;
            } else {
                disk.kill();
            }
            if let Some(stop) = stop {
                disk.crash_after(*stop);
            }
            let settings = Settings { seed: seed + nth as u64, ..self.settings.clone() };
            match (Core::open(Arc::new(disk.clone()), settings), stop) {
                (Ok(_), Some(_)) => return false,
                (Err(_), Some(_)) => {}
                (Err(error), None) => panic!("it does not open: {error}"),
                (Ok(core), None) => {
                    self.prefix(&core, &read_all(&core), lower, false);
                    assert_eq!(core.stats().damaged, 0, "nothing was damaged");
                }
            }
        }
        true
    }

    /// Ends the process, or the power, and opens the folder again; that may fail on the way, too.
    pub(super) fn restart(&mut self, may_fail: bool) {
        (self.writing, self.round) = (None, None);
        self.core = None;
        let mut lower = self.written.max(self.synced);
        let mut tries = 0;
        let core = loop {
            if self.rng.u8(..100) < self.faults.power {
                let seed = self.rng.u64(..);
                trace!(self, "power cut {seed}");
                self.disk.power_cut(seed);
                lower = self.synced;
            } else {
                trace!(self, "kill");
                self.disk.kill();
            }
            self.is_faulty = false;
            self.disk.heal();
            self.disk.set_capacity(None);
            tries += 1;
            match self.rng.u8(..10) {
                _ if !may_fail => {}
                0..5 if tries < 4 => {
                    let operations = self.rng.u64(1..60);
                    trace!(self, "the recovery crashes after {operations} operations");
                    self.disk.crash_after(operations);
                    self.is_faulty = true;
                }
                5 if tries < 4 && self.faults.errors => self.fail_opening(),
                _ => {}
            }
            self.settings.seed = self.rng.u64(..);
            match Core::open(Arc::new(self.disk.clone()), self.settings.clone()) {
                Ok(core) => break core,
                Err(error) => {
                    // It may have been open already, as far as the next one can tell.
                    self.is_closed = false;
                    trace!(self, "it does not open: {error}");
                    assert!(self.is_faulty, "it does not open: {error}");
                }
            }
        };
        self.disk.heal();
        self.take_over(core, lower);
    }

    fn fail_opening(&mut self) {
        let operations = [Operation::Read, Operation::Open, Operation::List, Operation::Write, Operation::Sync];
        let operation = operations[self.rng.usize(..operations.len())];
        let prefix = ["", "segment", "sealed", "snapshot"][self.rng.usize(..4)];
        trace!(self, "the recovery fails at an operation {operation:?} of {prefix}");
        self.disk.fail(operation, prefix, Some(1));
        self.is_faulty = true;
    }

    /// What was opened is what a prefix of the batches gives: it is the truth from here on.
    fn take_over(&mut self, core: Core, lower: usize) {
        let contents = read_all(&core);
        let (count, model) = self.prefix(&core, &contents, lower, self.is_closed);
        trace!(self, "opened with {} of {} batches", self.first + count, self.first + self.pending.len());
        self.first += self.pending.len();
        self.pending.clear();
        (self.written, self.synced) = (self.first, self.first);
        self.places.clear();
        self.model = model;
        (self.is_closing, self.is_closed) = (false, false);
        for (id, topic) in &mut self.model.topics {
            topic.head = core.front.lock().state.head(*id);
            for (offset, content) in &topic.messages {
                self.seen.insert((*id, *offset), content.clone());
            }
        }
        self.base = self.model.clone();
        let stats = core.stats();
        assert_eq!(stats.damaged, 0, "nothing was damaged");
        let put_aside: Vec<_> = self.disk.names().into_iter().filter(|name| name.starts_with("quarantine/")).collect();
        assert!(put_aside.is_empty(), "{put_aside:?} without any damage");
        self.core = Some(core);
    }

    /// How many of the pending batches the store holds: all of the first ones up to `lower`, and none with a part only.
    fn prefix(&self, core: &Core, contents: &Contents, lower: usize, is_clean: bool) -> (usize, Model) {
        let mut model = self.base.clone();
        let (mut why, mut found) = (Vec::new(), None);
        for count in 0..=self.pending.len() {
            if self.first + count >= lower {
                let mut kept = model.clone();
                kept.forget_memory();
                match kept.compare(core, contents, is_clean) {
                    // A batch may change nothing that can be seen.
                    Ok(()) => found = Some((count, kept)),
                    Err(reason) => why.push(format!("  with {} batches: {reason}", self.first + count)),
                }
            }
            if let Some(pending) = self.pending.get(count) {
                model.apply(&pending.batch, &pending.placed);
            }
        }
        if let Some(found) = found {
            return found;
        }
        panic!("what was opened is no prefix of what was appended, at least {lower} batches:\n{}", why.join("\n"));
    }
}
