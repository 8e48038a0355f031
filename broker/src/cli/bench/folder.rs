//! Where the data of a run lies.

use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;

/// A folder that is gone, with all that is in it, when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one, in `parent` or in the current folder: what is there is never touched.
    pub(super) fn make(parent: Option<&Path>) -> Result<Self, Failure> {
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let path = parent.join(format!("towline-bench-{:08x}", fastrand::u32(..)));
        fs::create_dir_all(&path).map_err(|e| Failure::new(format!("make {}: {e}", path.display())))?;
        Ok(Self(path))
    }

    /// A new folder in it.
    pub(super) fn part(&self, name: &str) -> Result<Self, Failure> {
        Self::make(Some(&self.0.join(name)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to who gave the folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
