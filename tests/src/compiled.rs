//! Compiled components that tests share. Those of the shop take a debug build of the host a minute to compile, so tests
//! hand on what was compiled, by copies of the folder in which the host keeps it; their hosts start one after the other,
//! and the first compiles for all. What a host reads there it has written itself, or one that was built and run by the
//! same user.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::binary;

/// Compiled components beyond this number are of builds that are no more.
const MOST_COMPILED: usize = 80;

/// The folder that all tests share; nobody else uses it as long as this is there.
#[derive(Debug)]
pub struct Compiled {
    dir: PathBuf,
    _lock: File,
}

impl Compiled {
    /// Waits until it is nobody's.
    pub fn lock() -> Self {
        let dir = binary().with_file_name("shop-compiled");
        let lock = File::create(dir.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        Self { dir, _lock: lock }
    }

    /// Lays a copy of it into the folder for state of a host that has not been started.
    pub fn give(&self, state: &Path) {
        if self.dir.join("secret").is_file() {
            let mut private = DirBuilder::new();
            private.mode(0o700).recursive(true);
            private.create(state).unwrap();
            copy_all(&self.dir, &state.join("compiled"), &private).unwrap();
        }
    }

    /// Takes what a host has compiled.
    pub fn take(&self, state: &Path) {
        let compiled = state.join("compiled");
        let secret = |dir: &Path| fs::read(dir.join("secret")).ok();
        let count = fs::read_dir(&self.dir).map_or(0, Iterator::count);
        // Entries are good with their secret only.
        if count > MOST_COMPILED || secret(&compiled) != secret(&self.dir) {
            let _ = fs::remove_dir_all(&self.dir);
        }
        let mut private = DirBuilder::new();
        private.mode(0o700).recursive(true);
        copy_all(&compiled, &self.dir, &private).unwrap();
    }
}

/// Files that are there already stay.
fn copy_all(from: &Path, to: &Path, private: &DirBuilder) -> io::Result<()> {
    private.create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if !entry.file_name().to_string_lossy().starts_with('.') && !copy.exists() {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}
