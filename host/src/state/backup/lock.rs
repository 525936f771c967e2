//! Who uses a state directory: hosts and backups together, or one restore alone.
//!
//! The lock is `flock` on the file `lock` in the directory: it ends with the process, however that ends. Hosts share it,
//! because nothing stops two of them from serving the same services for the length of an upgrade.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{BackupError, io, restore};

const FILE: &str = "lock";

/// Held for as long as the state directory is used.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// For a host or a backup. A restore that was broken off is finished first.
    ///
    /// # Errors
    /// When a restore is at work, or one that was broken off cannot be finished.
    pub fn shared(root: &Path) -> Result<Self, BackupError> {
        if restore::is_unfinished(root) {
            let _alone = Self::alone(root)?;
            restore::finish(root)?;
        }
        let by = "a restore is at work there; wait for its end";
        Self::lock(root, FlockOperation::NonBlockingLockShared, by)
    }

    /// For a restore.
    pub(super) fn alone(root: &Path) -> Result<Self, BackupError> {
        let by = "by a host, a backup or another restore; stop it first";
        Self::lock(root, FlockOperation::NonBlockingLockExclusive, by)
    }

    fn lock(root: &Path, how: FlockOperation, by: &'static str) -> Result<Self, BackupError> {
        if !root.is_dir() {
            return Err(BackupError::NoState { path: root.to_owned() });
        }
        let path = root.join(FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io("open", &path))?;
        match flock(&file, how) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(BackupError::InUse { path: root.to_owned(), by }),
            Err(errno) => Err(io("lock", &path)(errno.into())),
        }
    }
}
