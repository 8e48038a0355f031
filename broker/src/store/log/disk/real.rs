//! A folder of the system's, held by this process alone.

use super::{Disk, File};
use parking_lot::Mutex;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, fstatvfs};
use rustix::io::{Errno, retry_on_intr};
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file that is locked, and names the process for people.
const LOCK: &str = "lock";
/// The one folder in the folder.
const QUARANTINE: &str = "quarantine";
/// Zeros are written and synced in pieces of this: a commit that waits for the disk meanwhile waits for one of them.
const PIECE: u64 = 256 << 10;
/// The system remembers a file in blocks of up to this, and forgets only whole ones.
const BLOCK: u64 = 2 << 20;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(
        "the data folder {} is in use by {holder}: stop that process, or use another folder",
        folder.display()
    )]
    InUse { folder: PathBuf, holder: String },
    #[error("the data folder {} cannot be {step}: {source}", folder.display())]
    Io { folder: PathBuf, step: &'static str, source: io::Error },
}

/// A data folder.
#[derive(Debug)]
pub(crate) struct RealDisk {
    path: PathBuf,
    folder: fs::File,
    /// The lock lasts as long as this is open.
    lock: Mutex<Option<fs::File>>,
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// The length has to be certain after the next sync.
    is_resized: AtomicBool,
}

impl RealDisk {
    /// Takes a folder, and makes it if it is missing.
    ///
    /// # Errors
    /// Another process has it, or the system refuses.
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let failed = |step| move |source| OpenError::Io { folder: folder.to_owned(), step, source };
        if !folder.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("made"))?;
            let parent = folder.canonicalize().map_err(failed("found"))?;
            if let Some(parent) = parent.parent() {
                fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("synced"))?;
            }
        }
        let lock = Self::lock(folder)?;
        let directory = fs::File::open(folder).map_err(failed("opened"))?;
        Ok(Self { path: folder.to_owned(), folder: directory, lock: Mutex::new(Some(lock)) })
    }

    fn lock(folder: &Path) -> Result<fs::File, OpenError> {
        let failed = |source| OpenError::Io { folder: folder.to_owned(), step: "locked", source };
        let path = folder.join(LOCK);
        // Not cut before it is locked: it names the holder.
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let mut lock = options.open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).unwrap_or_default();
                let holder = match pid.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                return Err(OpenError::InUse { folder: folder.to_owned(), holder });
            }
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
        Ok(lock)
    }

    fn path(&self, name: &str) -> PathBuf {
        debug_assert!(name != LOCK && name.split('/').all(|part| !matches!(part, "" | "." | "..")));
        self.path.join(name)
    }

    /// A new file, and its blocks; it is gone again if they cannot be had.
    fn make(&self, name: &str, len: u64, fill: impl FnOnce(&RealFile) -> io::Result<()>) -> io::Result<Arc<dyn File>> {
        let path = self.path(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let file = RealFile { file, is_resized: AtomicBool::new(true) };
        match file.allocate(len).and_then(|()| fill(&file)) {
            Ok(()) => Ok(Arc::new(file)),
            Err(error) => {
                fs::remove_file(&path).ok();
                Err(error)
            }
        }
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.make(name, len, |_| Ok(()))
    }

    fn create_filled(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        self.make(name, len, |file| file.fill(0, len))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        Ok(Arc::new(RealFile { file, is_resized: AtomicBool::new(false) }))
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for (path, prefix) in [(self.path.clone(), ""), (self.path.join(QUARANTINE), "quarantine/")] {
            let entries = match fs::read_dir(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !prefix.is_empty() => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                // A name that is no text is none of ours, and could not be asked for.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let metadata = entry.metadata()?;
                if metadata.is_file() && (name != LOCK || !prefix.is_empty()) {
                    files.push((format!("{prefix}{name}"), metadata.len()));
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if to.contains('/') {
            match DirBuilder::new().mode(0o700).create(self.path.join(QUARANTINE)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        match fs::File::open(self.path.join(QUARANTINE)) {
            Ok(quarantine) => quarantine.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.folder.sync_all()
    }

    fn release(&self) {
        self.lock.lock().take();
    }

    fn free_space(&self) -> io::Result<u64> {
        let volume = fstatvfs(&self.folder)?;
        Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
    }
}

impl RealFile {
    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.file.set_len(len)?;
                self.fill(0, len)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Writes zeros, synced as they go.
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; PIECE as usize];
        let mut at = from;
        while at < to {
            let len = PIECE.min(to - at);
            self.file.write_all_at(&zeros[..len as usize], at)?;
            self.file.sync_data()?;
            at += len;
        }
        Ok(())
    }
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn read_past_cache(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let from = at / BLOCK * BLOCK;
        let to = (at + buffer.len() as u64).next_multiple_of(BLOCK);
        // Advice: where it is not taken, this is a read like any other.
        fadvise(&self.file, from, NonZeroU64::new(to - from), Advice::DontNeed).ok();
        self.read_at(buffer, at)
    }

    fn sync(&self) -> io::Result<()> {
        if self.is_resized.swap(false, Ordering::AcqRel) { self.file.sync_all() } else { self.file.sync_data() }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.is_resized.store(true, Ordering::Release);
        Ok(())
    }

    #[cfg(test)]
    fn punch(&self, at: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.file, flags, at, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.fill(at, at.saturating_add(len).min(self.len()?)),
            outcome => Ok(outcome?),
        }
    }
}
