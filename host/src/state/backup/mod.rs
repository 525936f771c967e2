//! Copies of all state, made while it is in use, and the way back.
//!
//! State is directories of SQLite files below the state directory: `services/<service>/` for each service, one directory
//! for each thing that belongs to all of them. Each such directory is a *part*. Whatever engine keeps a file there, it
//! is found by its ending and copied through SQLite, so that a new engine needs no code here; and a part is restored
//! whole or not at all. Compiled code is no state: it is made again.
//!
//! A backup is a directory with the same layout and a [`Manifest`] that names every file with its size, digest and
//! format. It appears under its name when it is complete and on the disk, never before.
//!
//! | | |
//! |---|---|
//! | `take` | all files of one moment, beside whoever writes to them |
//! | `check` | whether a backup is whole and can be read by this program |
//! | `restore` | takes the place of what is there; all checks come first |
//! | `lock` | a host and a restore never use one state directory at the same time |
//!
//! All of it blocks, on disks mostly: not for executor threads.

mod check;
mod files;
mod lock;
mod restore;
mod take;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::check::check;
pub use self::lock::StateLock;
pub use self::restore::{Restored, restore};
pub use self::take::take;

/// The format of backups that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// The manifest's name in a backup.
const MANIFEST: &str = "manifest.json";

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Of the backup's layout.
    pub format: u32,
    /// The version of Wharf that wrote it.
    pub wharf: String,
    /// The moment that it is of.
    pub taken: jiff::Timestamp,
    /// Every file of it, by path.
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackupFile {
    /// Below the state directory, and below the backup, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
    /// What kind of file it is: SQLite's `application_id`.
    pub kind: i64,
    /// The format of that kind: SQLite's `user_version`.
    pub version: i64,
}

impl Manifest {
    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Why there is no backup, or why nothing was restored. Unless it says otherwise, nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no such state directory.
    #[error("there is no state in {}", path.display())]
    NoState {
        /// Where it should be.
        path: PathBuf,
    },
    /// A host, or another restore, has the state directory.
    #[error("{} is in use: {by}", path.display())]
    InUse {
        /// The state directory.
        path: PathBuf,
        /// By whom, and what to do.
        by: &'static str,
    },
    /// There is something already where the backup should be.
    #[error("{} exists already: choose another name for the backup", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// Somebody keeps a file locked.
    #[error("{} is kept locked: a transaction is open for too long; try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// SQLite cannot read or copy a file.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file system does not do it.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The backup is not whole, or not one.
    #[error("{} cannot be restored: {why}", path.display())]
    Damaged {
        /// The backup, or the file in it.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The backup has nothing of this service.
    #[error("the backup has nothing of service `{service}`; it has: {known}")]
    NoSuchService {
        /// Who was asked for.
        service: String,
        /// Those it has.
        known: String,
    },
    /// A restore was begun and could not be finished; it is finished by the next start or restore.
    #[error("the restore was begun and is not finished, the next start of wharf finishes it: {0}")]
    Unfinished(Box<BackupError>),
}

/// Describes a failure of the file system.
fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    move |source| BackupError::Io { what, path: path.to_owned(), source }
}
