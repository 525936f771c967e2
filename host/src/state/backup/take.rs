//! Makes a backup of one moment.
//!
//! ```text
//! all files: take the write lock ─→ all files: begin to read ─→ give the locks back ─→ copy what is read, file by file
//! └──────────────── writers wait: milliseconds ───────────────┘ └────────────── writers go on ──────────────┘
//! ```
//!
//! A read transaction of a file with a write-ahead log sees the moment at which it began, whatever is written later, so
//! copying may take its time. Because nobody writes anything between the first and the last lock, the moments of all
//! files are the same: those of one service agree with each other, and what a service has published agrees with the
//! log of events. SQLite's locks hold between processes, so this works beside a running host and without one alike.
//!
//! A writer whose own transaction is open holds the others up, so the locks are tried for [`PATIENCE`] only, given back,
//! and tried again, [`TRIES`] times. Copies are of pages, so a copy is as large as its original; `VACUUM INTO` would
//! make it smaller, but begins its own transaction and so cannot be of the common moment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::files::{above, files, make_dir, marks, read, remove_tree, sync_dir, sync_tree, write};
use super::lock::StateLock;
use super::{BackupError, BackupFile, FORMAT, MANIFEST, Manifest, io};

/// How long writers are held up for one lock that is not free.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often all locks are tried.
const TRIES: u32 = 20;
/// Longest pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Copies all state in `root`, as it is at one moment, into the new directory `to`. What is not finished when the
/// process ends is a hidden directory beside it, which can be deleted.
///
/// # Errors
/// See [`BackupError`]; then there is nothing under the name `to`.
pub fn take(root: &Path, to: &Path) -> Result<Manifest, BackupError> {
    let _lock = StateLock::shared(root)?;
    let exists = |to: &Path| to.symlink_metadata().is_ok();
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.is_empty() || exists(to) {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    make_dir(above(to))?;
    let unfinished = above(to).join(format!(".{name}.unfinished-{}", std::process::id()));
    remove_tree(&unfinished)?;
    let taken = write_to(root, &unfinished).and_then(|manifest| {
        // A rename would take the place of an empty directory.
        if exists(to) {
            return Err(BackupError::Exists { path: to.to_owned() });
        }
        std::fs::rename(&unfinished, to).map_err(io("make", to))?;
        sync_dir(above(to))?;
        Ok(manifest)
    });
    if taken.is_err()
        && let Err(error) = remove_tree(&unfinished)
    {
        tracing::warn!(%error, "an unfinished backup stays behind");
    }
    taken
}

fn write_to(root: &Path, to: &Path) -> Result<Manifest, BackupError> {
    make_dir(to)?;
    let names = files(root)?;
    raise_file_limit();
    let (taken, sources) = moment(root, &names)?;
    let mut listed = Vec::with_capacity(names.len());
    for (name, source) in names.iter().zip(sources) {
        let copy = to.join(name);
        make_dir(above(&copy))?;
        copy_pages(&source, &copy).map_err(|source| BackupError::Sqlite { path: root.join(name), source })?;
        drop(source);
        listed.push(describe(name, &copy)?);
    }
    let manifest = Manifest { format: FORMAT, wharf: env!("CARGO_PKG_VERSION").to_owned(), taken, files: listed };
    // Text and numbers: cannot fail to serialize.
    let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    write(&to.join(MANIFEST), &text)?;
    sync_tree(to)?;
    Ok(manifest)
}

/// Connections that read all files as they are at one moment.
#[expect(clippy::disallowed_methods, reason = "all of this blocks, and says so to its callers")]
fn moment(root: &Path, names: &[PathBuf]) -> Result<(Timestamp, Vec<Connection>), BackupError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match locked(root, names) {
            Err(BackupError::Busy { .. }) if tries < TRIES => std::thread::sleep(PAUSE.min(PATIENCE * tries / 4)),
            result => return result,
        }
    }
}

fn locked(root: &Path, names: &[PathBuf]) -> Result<(Timestamp, Vec<Connection>), BackupError> {
    let each = |sql: &str| -> Result<Vec<Connection>, BackupError> {
        let open = |name: &PathBuf| begin(&root.join(name), sql);
        names.iter().map(open).collect()
    };
    let writers = each("BEGIN IMMEDIATE")?;
    let taken = Timestamp::now();
    // A transaction begins to read with its first query.
    let readers = each("BEGIN; SELECT count(*) FROM sqlite_schema")?;
    drop(writers);
    Ok((taken, readers))
}

fn begin(path: &Path, sql: &str) -> Result<Connection, BackupError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => BackupError::Busy { path: path.to_owned() },
        _ => BackupError::Sqlite { path: path.to_owned(), source },
    };
    // Not read-only: whoever reads a write-ahead log writes to its index, and takes the write lock here.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.execute_batch(sql).map_err(failed)?;
    Ok(connection)
}

fn copy_pages(source: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut copy = Connection::open(to)?;
    // It is brought to the disk as a whole, afterwards.
    copy.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(source, &mut copy)?;
    // The source does not change: no pauses, and nothing to begin again.
    backup.run_to_completion(4096, Duration::ZERO, None)?;
    drop(backup);
    copy.close().map_err(|(_, error)| error)
}

fn describe(name: &Path, copy: &Path) -> Result<BackupFile, BackupError> {
    let content = read(copy, None)?;
    std::fs::File::open(copy).and_then(|file| file.sync_all()).map_err(io("sync", copy))?;
    let not_text = || BackupError::Damaged { path: copy.to_owned(), why: "its name is not UTF-8".to_owned() };
    let path = name.to_str().ok_or_else(not_text)?.to_owned();
    let not_sqlite = || BackupError::Damaged { path: copy.to_owned(), why: "it is no SQLite file".to_owned() };
    let (kind, version) = marks(&content.start).ok_or_else(not_sqlite)?;
    Ok(BackupFile { path, bytes: content.bytes, sha256: content.sha256, kind, version })
}

/// Every file is open twice for a moment, with its log: more than the usual limit of 1024 files with a few hundred
/// services. Where it cannot be raised, opening fails and says so.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
