//! What a yardstick writes into: files that are there already, full of zeros that are on the disk, written in turn.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Failure;

/// Bytes of a file.
const LEN: u64 = 64 << 20;

/// The files, and where the next bytes go.
#[derive(Debug)]
pub(super) struct Preallocated {
    files: [File; 2],
    nth: usize,
    at: u64,
}

impl Preallocated {
    /// Makes them.
    pub(super) fn make(folder: &Path) -> Result<Self, Failure> {
        let file = |name: &str| {
            let path = folder.join(name);
            fill(&path).map_err(|e| Failure::new(format!("make {}: {e}", path.display())))
        };
        Ok(Self { files: [file("raw-0")?, file("raw-1")?], nth: 0, at: 0 })
    }

    /// One write, and one sync if that is asked for.
    pub(super) fn append(&mut self, bytes: &[u8], is_synced: bool) -> io::Result<()> {
        if self.at + bytes.len() as u64 > LEN {
            (self.nth, self.at) = ((self.nth + 1) % self.files.len(), 0);
        }
        let file = &self.files[self.nth];
        file.write_all_at(bytes, self.at)?;
        if is_synced {
            file.sync_data()?;
        }
        self.at += (bytes.len() as u64).next_multiple_of(64);
        Ok(())
    }
}

fn fill(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..LEN).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    fs::File::open(path.parent().unwrap_or(path))?.sync_all()?;
    Ok(file)
}
