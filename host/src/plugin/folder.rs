//! Watches one directory for `.wasm` files lying directly in it and tells what changed: always a file's final content,
//! never half a file, one [`Change::Present`] for each content.
//!
//! Decided here: which names stand for a service, and when a file is finished. A notification is only a reason to look.
//! A look lists the directory and compares what each name stands for (device, inode, size, times, link target); only a
//! file that differs is read. It is read when its writer is done, as far as that can be known:
//!
//! | sign | taken after |
//! |---|---|
//! | writer closed it, or it came by a rename | the next look, 50 ms after the notification |
//! | nothing known (no notifications, changed behind a link) | 300 ms without a change |
//! | written to and still open | 2 s without a change |
//!
//! and, whatever the sign, only when its sections end exactly at its end; until then it waits, and after 10 s without a
//! change it is [`Change::Rejected`] (and taken after all if the rest comes). Files are read again when anything hints
//! at a write, and compared by digest, so the reports don't depend on clocks or on the precision of file times.
//!
//! A name that vanishes for less than 200 ms (delete and copy) was replaced, not removed. A name that stays but leads
//! nowhere (broken link, directory, unreadable) is rejected, never gone: removing a service is done by removing its
//! name. A directory that vanishes may come back: after a second its files are gone, and it is watched again when it
//! is there. Where notifications don't work, the directory is read every `poll_interval`.
//!
//! Never decided here: whether a file is a valid component, and what a rejected file means for the running version.

mod file;
mod hints;
mod name;
mod read;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use watch::Watch;

/// Between two looks while a file is waited for.
const RETRY: Duration = Duration::from_millis(100);
/// Rest after which an incomplete file is rejected, and the first scan no longer waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// Reports that may wait for the receiver; each holds a whole file.
const QUEUE: usize = 4;

/// A watched directory. Dropping it ends the watch.
#[derive(Debug)]
pub struct Folder {
    task: JoinHandle<()>,
}

/// Something happened to a file. File names are given without the directory; one that is no UTF-8 has replacement
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This is the content of the file now. Comes once for each content; and again for the same content when the file
    /// was [`Change::Rejected`] in between, which takes the refusal back.
    Present(FileVersion),
    /// There is a file, but it can't be used. What was [`Change::Present`] under this name before is not gone.
    Rejected {
        /// Its name.
        file_name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A name that was reported before is no longer in the directory.
    Gone {
        /// Its name.
        file_name: String,
    },
    /// Every file that was there at the start has been reported, or waited for in vain for 10 s. Comes once.
    InitialScanDone,
}

/// One content of one file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileVersion {
    /// The file's name in the directory.
    pub file_name: String,
    /// The service it is a version of: the name up to `@` or `.wasm`.
    pub service: String,
    /// The label after `@`, if it has one.
    pub label: Option<String>,
    /// Where it was read.
    pub path: PathBuf,
    /// All of it; at most 512 MiB.
    pub bytes: Bytes,
    /// SHA-256 of `bytes`.
    pub digest: [u8; 32],
}

/// Why a directory can't be watched at all. One that does not exist (yet) can be.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something else has its name.
    #[error("{path:?} is not a directory; name the folder that the .wasm files lie in")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The working directory, which a relative path starts from, is gone.
    #[error("cannot tell where {path:?} is: {source}; give an absolute path")]
    Unplaced {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Debug for FileVersion {
    /// Without the content, which has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileVersion")
            .field("file_name", &self.file_name)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Folder {
    /// Starts to watch `dir` on the current tokio runtime and reports into the returned channel, beginning with what
    /// is there. `poll_interval` is how often the directory is read even without a notification. A slow receiver delays
    /// reports but never loses the last state of a file.
    pub fn watch(dir: &Path, poll_interval: Duration) -> Result<(Self, mpsc::Receiver<Change>), FolderError> {
        Self::start(dir, Settings { poll_interval: poll_interval.max(RETRY), patience: PATIENCE, notifications: true })
    }

    fn start(dir: &Path, settings: Settings) -> Result<(Self, mpsc::Receiver<Change>), FolderError> {
        let absolute =
            std::path::absolute(dir).map_err(|source| FolderError::Unplaced { path: dir.to_path_buf(), source })?;
        if absolute.exists() && !absolute.is_dir() {
            return Err(FolderError::NotADirectory { path: absolute });
        }
        let (reports, receiver) = mpsc::channel(QUEUE);
        let watch = Watch::new(absolute, settings, reports);
        Ok((Self { task: tokio::spawn(watch.run()) }, receiver))
    }
}

/// The services that files of a directory stand for at the moment, each with the labels of its versions; a file without
/// one is the plain file. By names only: nothing is read. What is no service is left out, and so is a directory that
/// cannot be read.
pub fn services_in(dir: &Path) -> BTreeMap<String, BTreeSet<Option<String>>> {
    let mut services: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let file = entry.file_name();
        if name::counts(&file)
            && let Ok(name) = name::parse(&file)
        {
            services.entry(name.service).or_default().insert(name.label);
        }
    }
    services
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What differs between watches.
#[derive(Debug, Clone, Copy)]
struct Settings {
    poll_interval: Duration,
    patience: Duration,
    /// Whether to ask the system for notifications; only tests do without.
    notifications: bool,
}

#[cfg(test)]
mod tests;
