//! Copies a file of Wharf's while it is in use.
//!
//! `VACUUM INTO` reads the file in one transaction, so the copy is the state of one moment, and writes only what is in
//! use: a copy is smaller than its original, has no log beside it and opens like it. Readers and the writer go on.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::database::{Database, Failure, Ledger};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is a file already.
    #[error("{} exists already", path.display())]
    Exists {
        /// Where the copy should go.
        path: PathBuf,
    },
    /// The database cannot be read, or the copy not be written.
    #[error("cannot copy {} to {}: {source}", from.display(), to.display())]
    Sqlite {
        /// The database.
        from: PathBuf,
        /// Where the copy should go.
        to: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The copy cannot be brought to the disk.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The copy.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The database does not open.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Failure> for SnapshotError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

/// Makes a consistent copy of a SQLite file in a new file, whoever else uses it, and brings it to the disk. Blocks.
///
/// # Errors
/// When the copy is there already or cannot be made. A copy that was begun is deleted.
pub fn snapshot(file: &Path, to: &Path) -> Result<(), SnapshotError> {
    // Where nothing has to be created, `VACUUM INTO` would write into an empty file.
    if to.try_exists().unwrap_or(true) {
        return Err(SnapshotError::Exists { path: to.to_owned() });
    }
    let sqlite = |source| SnapshotError::Sqlite { from: file.to_owned(), to: to.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(sqlite)?;
    connection.busy_timeout(super::open::BUSY).map_err(sqlite)?;
    let copied = copy(&connection, to).map_err(sqlite).and_then(|()| {
        let sync = |path: &Path| {
            File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(|source| SnapshotError::Disk { path: path.to_owned(), source })
        };
        sync(to)?;
        to.parent()
            .map_or(Ok(()), |directory| sync(if directory.as_os_str().is_empty() { ".".as_ref() } else { directory }))
    });
    if copied.is_err()
        && to.exists()
        && let Err(error) = std::fs::remove_file(to)
    {
        tracing::warn!(path = %to.display(), %error, "an incomplete copy stays behind");
    }
    copied
}

fn copy(connection: &Connection, to: &Path) -> rusqlite::Result<()> {
    let to = to.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
    connection.execute("VACUUM INTO ?1", [to]).map(drop)
}

impl<L: Ledger> Database<L> {
    /// Makes a consistent copy, of the file as it is when it is opened.
    pub(super) async fn snapshot(&self, to: PathBuf) -> Result<(), SnapshotError> {
        self.read::<(), SnapshotError, _>(|_| Ok(())).await?;
        let file = self.file().to_owned();
        tokio::task::spawn_blocking(move || snapshot(&file, &to))
            .await
            .map_err(|error| SnapshotError::Unavailable(error.to_string()))?
    }
}
