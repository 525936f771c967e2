//! Compiled components on disk, so that a start does not compile again.
//!
//! Compiled code is native code that runs in this process: loading a forged entry is running an attacker's program. So
//! an entry is handed out only if
//!
//! - the directory is ours and nobody else may write to it (else [`Cache::open`] refuses),
//! - the entry is a regular file of ours that nobody else may write to, and no link,
//! - its name carries an HMAC-SHA-256 of key and content, made with a random secret that only we can read. Whoever can
//!   merely write to the directory (a restored backup, a shared volume, a bug elsewhere) can't make one; and an entry
//!   renamed to another key, cut short or damaged does not fit its code.
//!
//! Everything else is removed with a warning and counts as not cached. What is handed out are the very bytes that were
//! checked, in memory: there is no path or open file that could change between the check and the use, which is worth
//! more here than mapping the file would save. The secret is not meant to be copied; a cache without it is void, which
//! costs one compilation.
//!
//! Name and content are one file (`<key>.<code>.cwasm`), written aside, synced and renamed: there is no moment at which
//! the two don't fit, and no second file to lose.
//!
//! Never decided here: what goes into the fingerprint of an engine, and whether the engine accepts the code.

mod entry;

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest, Sha256};

use entry::EntryName;

/// The file with the secret.
const SECRET: &str = "secret";
/// Its length: a block of SHA-256, so that it is the key of the HMAC as it stands.
const SECRET_LEN: usize = 64;
/// Begins the names of files that are being written.
const PARTIAL: &str = ".partial-";
/// Age after which a file that is being written is taken for left over.
const PARTIAL_LIFE: Duration = Duration::from_secs(3600);
/// Mode bits that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// A directory of compiled code. All methods block.
#[derive(Debug)]
pub struct Cache {
    dir: OwnedFd,
    secret: Secret,
    partials: AtomicU64,
}

/// What compiled code belongs to: a component's content and everything about the engine that changes the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// What [`Cache::prune`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Entries removed.
    pub removed: usize,
    /// Bytes of entries that are left.
    pub left: u64,
}

/// Why a cache can't be used or written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The directory can't be made or opened.
    #[error(
        "cannot use {path:?} for compiled code: {source}; name a folder in `state.path` that this user may write to"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory belongs to somebody else.
    #[error("{path:?} belongs to user {owner}, who could exchange compiled code; remove it or run as that user")]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others may write to the directory.
    #[error(
        "others may write to {path:?} (mode {mode:03o}) and could exchange compiled code; `chmod 700` it after removing \
         what is in it"
    )]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Reading or writing in the directory failed.
    #[error("cannot {action}: {source}; check space and permissions of the folder of compiled code")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

struct Secret([u8; SECRET_LEN]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Key {
    /// The key of a component with this SHA-256 `digest`, compiled by an engine with this fingerprint: whatever makes
    /// an engine compile differently or refuse the code.
    pub fn new(digest: &[u8; 32], engine_fingerprint: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(digest);
        // Another version of Wharf may ask the same of an engine and mean something else.
        let hash = hash.chain_update(env!("CARGO_PKG_VERSION")).chain_update([0]);
        Self(hash.chain_update(engine_fingerprint).finalize().into())
    }

    /// Hex digits, as in the entry's name.
    fn hex(&self) -> String {
        entry::hex(&self.0)
    }
}

impl Cache {
    /// Opens the cache in `dir`, making the directory with mode 0700 if there is none (its parent must be there), and
    /// its secret.
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        let directory = |source: io::Error| CacheError::Directory { path: dir.to_path_buf(), source };
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(directory(error)),
            _ => {}
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty()).map_err(|e| directory(e.into()))?;
        let stat = rustix::fs::fstat(&fd).map_err(|e| directory(e.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(CacheError::ForeignDirectory { path: dir.to_path_buf(), owner: stat.st_uid });
        }
        let mode = stat.st_mode & 0o777;
        if mode & OTHERS_WRITE != 0 {
            return Err(CacheError::OpenDirectory { path: dir.to_path_buf(), mode });
        }
        let mut cache = Self { dir: fd, secret: Secret([0; SECRET_LEN]), partials: AtomicU64::new(0) };
        cache.secret = cache.secret_of_directory().map_err(io_error("make the secret of the cache"))?;
        Ok(cache)
    }

    /// The compiled code of `key`, checked; marks it as just used. Whatever is found under the key and is not as it should
    /// be is removed, and logged.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let names = self.names().inspect_err(|error| tracing::warn!(%error, "cache of compiled code can't be read"));
        for name in names.ok()?.into_iter().filter(|name| name.key == key.hex()) {
            match self.read(key, &name) {
                Ok(code) => return Some(code),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(entry = %name, %error, "compiled code can't be trusted, removing it");
                    self.remove(&name.to_string());
                }
            }
        }
        None
    }

    /// Keeps `code` under `key`, in place of what was there.
    pub fn put(&self, key: &Key, code: &[u8]) -> Result<(), CacheError> {
        let name = EntryName { key: key.hex(), code: entry::hex(&self.mac(key, code).finalize().into_bytes()) };
        self.write(&name.to_string(), code).map_err(io_error("keep compiled code"))?;
        for old in self.names().map_err(io_error("read the cache of compiled code"))? {
            if old.key == name.key && old != name {
                self.remove(&old.to_string());
            }
        }
        Ok(())
    }

    /// Removes the least recently used entries until the rest has at most `max_bytes`, and files that were left half
    /// written.
    pub fn prune(&self, max_bytes: u64) -> Result<Pruned, CacheError> {
        let mut entries = Vec::new();
        for file_name in self.file_names().map_err(io_error("read the cache of compiled code"))? {
            let Ok(metadata) = self.open_at(&file_name).and_then(|file| file.metadata()) else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let age = SystemTime::now().duration_since(used).unwrap_or_default();
            if file_name.starts_with(PARTIAL) && age > PARTIAL_LIFE {
                self.remove(&file_name);
            }
            if EntryName::parse(&file_name).is_some() {
                entries.push((used, metadata.size(), file_name));
            }
        }
        entries.sort_unstable();
        let mut pruned = Pruned { removed: 0, left: entries.iter().map(|(_, size, _)| size).sum() };
        for (_, size, file_name) in entries {
            if pruned.left <= max_bytes {
                break;
            }
            self.remove(&file_name);
            pruned.removed += 1;
            pruned.left -= size;
        }
        Ok(pruned)
    }

    /// Reads an entry and checks it.
    fn read(&self, key: &Key, name: &EntryName) -> io::Result<Vec<u8>> {
        let mut file = self.open_at(&name.to_string())?;
        let len = entry::ours(&file)?.len();
        let mut code = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        file.read_to_end(&mut code)?;
        if self.mac(key, &code).verify_slice(&entry::unhex(&name.code).unwrap_or_default()).is_err() {
            return Err(io::Error::other("its content does not belong to its name"));
        }
        // Only the order of pruning suffers if this fails.
        let _unimportant = file.set_modified(SystemTime::now());
        Ok(code)
    }

    /// The code of an entry. The key has a fixed length, so that no part of it can be taken for content.
    fn mac(&self, key: &Key, code: &[u8]) -> Hmac<Sha256> {
        <Hmac<Sha256> as KeyInit>::new(&self.secret.0.into()).chain_update(key.0).chain_update(code)
    }

    /// Writes a file aside, syncs it and gives it its name.
    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let count = self.partials.fetch_add(1, Ordering::Relaxed);
        let partial = format!("{PARTIAL}{}-{count}", std::process::id());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // What an earlier process with this id left over.
        self.remove(&partial);
        let written = rustix::fs::openat(&self.dir, &partial, flags, Mode::RUSR | Mode::WUSR)
            .map_err(io::Error::from)
            .map(File::from)
            .and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()?;
                rustix::fs::renameat(&self.dir, &partial, &self.dir, name)?;
                Ok(rustix::fs::fsync(&self.dir)?)
            });
        written.inspect_err(|_| self.remove(&partial))
    }

    fn open_at(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(rustix::fs::openat(&self.dir, name, flags, Mode::empty())?.into())
    }

    fn remove(&self, name: &str) {
        let directory = || rustix::fs::unlinkat(&self.dir, name, AtFlags::REMOVEDIR);
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(rustix::io::Errno::ISDIR) if directory().is_ok() => {}
            Err(error) => tracing::warn!(name, %error, "cannot remove a file from the cache of compiled code"),
        }
    }

    fn file_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in rustix::fs::Dir::read_from(&self.dir)? {
            if let Ok(name) = file?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn names(&self) -> io::Result<Vec<EntryName>> {
        Ok(self.file_names()?.iter().filter_map(|name| EntryName::parse(name)).collect())
    }

    /// Reads the secret, or makes a new one if there is none or others could know or have written it.
    fn secret_of_directory(&self) -> io::Result<Secret> {
        match self.open_at(SECRET).and_then(|file| entry::read_secret(&file)) {
            Ok(secret) => return Ok(Secret(secret)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, "the secret of the cache of compiled code is no longer one, making a new one");
                self.remove(SECRET);
            }
        }
        let mut secret = [0; SECRET_LEN];
        rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())?;
        self.write(SECRET, &secret)?;
        Ok(Secret(secret))
    }
}

fn io_error(action: &'static str) -> impl FnOnce(io::Error) -> CacheError {
    move |source| CacheError::Io { action, source }
}

#[cfg(test)]
mod tests;
