//! The disk under the log: one folder of files.
//!
//! Invariant: nothing outside this folder touches a file; every answer of the disk, also a wrong one, comes through here.
//!
//! Names are those of files in the data folder, at most one sub-folder deep (`quarantine/x`). What a name means after a crash
//! is the folder's business: a created, renamed or removed name is certain only after [`Disk::sync_dir`].

pub(crate) mod real;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

/// One data folder, held by this process alone.
pub(crate) trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Makes a new file of `len` bytes that are zeros, its blocks allocated; an error if the name is in use.
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>>;

    /// As [`Disk::create`], with the zeros written and not only promised. That takes as long as writing them, so it is done
    /// ahead; a write into such a file is then synced without any change to the file's own description.
    fn create_filled(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.create(name, len)
    }

    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Names and lengths of all files, those in `quarantine/` included, in the order of their names.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Gives a file another name; one that had it is gone. Makes `quarantine/` if it is needed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away; the file itself lives as long as somebody has it open.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes what was created, renamed and removed certain.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes that may still be allocated.
    fn free_space(&self) -> io::Result<u64>;

    /// Nothing will be done with it any more: another process may use the folder.
    fn release(&self) {}
}

/// One open file; all methods may be called at the same time.
pub(crate) trait File: Send + Sync + fmt::Debug + 'static {
    fn len(&self) -> io::Result<u64>;

    /// All of `bytes` at `at`. After an error nothing is known of what was written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Fills the buffer from `at` on, and says how much of it: less only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// As [`File::read_at`], from the disk itself and not from the system's memory of it, as far as the system can.
    fn read_past_cache(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Makes what was written before this call certain, and the length. After an error nothing is certain any more, also not
    /// what a later call says.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file, or lengthens it by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    #[cfg(test)]
    /// Gives the blocks of a range back; it reads as zeros.
    fn punch(&self, at: u64, len: u64) -> io::Result<()>;
}
