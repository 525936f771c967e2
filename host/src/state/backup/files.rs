//! Finding, reading and writing what backups consist of.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{BackupError, io};

/// Below this there is a part for each service.
pub(super) const SERVICES: &str = "services";
/// Compiled code: made again when it is missing.
const COMPILED: &str = "compiled";
/// What restores have put aside.
pub(super) const ASIDE: &str = "before-restore-";
/// What files of state are called.
const ENDING: &str = "sqlite3";

/// Parts of the state in `root`, as paths below it, each a directory. One that holds no file of state, and is not that of
/// a service, is somebody else's: backups may lie there.
pub(super) fn parts(root: &Path) -> Result<BTreeSet<PathBuf>, BackupError> {
    let mut parts = BTreeSet::new();
    for name in directories(root)? {
        let shown = name.to_string_lossy();
        if shown == SERVICES {
            parts.extend(directories(&root.join(&name))?.into_iter().map(|service| name.join(service)));
        } else if shown != COMPILED && !shown.starts_with(ASIDE) && !files_of(root, &name)?.is_empty() {
            parts.insert(name);
        }
    }
    Ok(parts)
}

/// The part that a file of a backup belongs to.
pub(super) fn part_of(path: &Path) -> PathBuf {
    let depth = if path.starts_with(SERVICES) { 2 } else { 1 };
    path.components().take(depth).collect()
}

/// Files of state in `root`, as paths below it.
pub(super) fn files(root: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut files = Vec::new();
    for part in parts(root)? {
        files.extend(files_of(root, &part)?);
    }
    files.sort();
    Ok(files)
}

/// Those of one part.
fn files_of(root: &Path, part: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = read_dir(&root.join(part))?.into_iter();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let paths = entries.map(|entry| part.join(entry.file_name()));
    Ok(paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING)).collect())
}

/// Names of the directories in a directory, without hidden ones; none if it is missing.
fn directories(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = read_dir(dir)?.into_iter();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = entries.map(|entry| PathBuf::from(entry.file_name()));
    Ok(names.filter(|name| !name.as_os_str().as_encoded_bytes().starts_with(b".")).collect())
}

fn read_dir(dir: &Path) -> Result<Vec<std::fs::DirEntry>, BackupError> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(io("read", dir)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io("read", dir)(error)),
    }
}

/// Whether a backup may name a file like this: it stays below the directory, inside a part, and is a file of state.
pub(super) fn is_plain(path: &str) -> bool {
    let path = Path::new(path);
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => {
            let bytes = name.as_encoded_bytes();
            !bytes.starts_with(b".") && !bytes.contains(&b'\\') && !bytes.contains(&0)
        }
        _ => false,
    };
    let depth = if path.starts_with(SERVICES) { 3 } else { 2 };
    let first = path.components().next().map(|first| first.as_os_str().to_string_lossy().into_owned());
    let first = first.unwrap_or_default();
    path.components().all(plain)
        && path.components().count() == depth
        && first != COMPILED
        && !first.starts_with(ASIDE)
        && path.extension().is_some_and(|ending| ending == ENDING)
}

/// What a SQLite file says of itself in its first hundred bytes: kind and version; zeros for an empty one.
pub(super) fn marks(start: &[u8]) -> Option<(i64, i64)> {
    if start.is_empty() {
        return Some((0, 0));
    }
    let number = |at: usize| {
        let bytes: [u8; 4] = start.get(at..at + 4)?.try_into().ok()?;
        Some(i64::from(i32::from_be_bytes(bytes)))
    };
    if !start.starts_with(b"SQLite format 3\0") {
        return None;
    }
    Some((number(68)?, number(60)?))
}

/// What was read of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// Its first bytes, up to a hundred.
    pub(super) start: Vec<u8>,
}

/// Reads a file to its end, and writes it to `to` if that is given; then that is on the disk.
pub(super) fn read(path: &Path, to: Option<&Path>) -> Result<Content, BackupError> {
    let mut from = File::open(path).map_err(io("open", path))?;
    let mut copy = match to {
        Some(to) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
            Some((to, file.map_err(io("make", to))?))
        }
        None => None,
    };
    let mut content = Content { bytes: 0, sha256: String::new(), start: Vec::new() };
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = from.read(&mut buffer).map_err(io("read", path))?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        let missing = 100 - content.start.len();
        content.start.extend_from_slice(piece.get(..missing.min(read)).unwrap_or_default());
        content.bytes += read as u64;
        digest.update(piece);
        if let Some((to, file)) = &mut copy {
            file.write_all(piece).map_err(io("write", to))?;
        }
    }
    if let Some((to, file)) = copy {
        file.sync_all().map_err(io("sync", to))?;
    }
    content.sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(content)
}

/// Writes a small file and brings it to the disk.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.map_err(io("make", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io("write", path))
}

/// Makes a directory and what is missing above it.
pub(super) fn make_dir(dir: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("make", dir))
}

/// Brings the entries of a directory to the disk.
pub(super) fn sync_dir(dir: &Path) -> Result<(), BackupError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))
}

/// The same for all directories in it.
pub(super) fn sync_tree(dir: &Path) -> Result<(), BackupError> {
    for entry in read_dir(dir)? {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(dir)
}

/// Removes a directory with all that is in it, if it is there.
pub(super) fn remove_tree(dir: &Path) -> Result<(), BackupError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", dir)(error)),
        _ => Ok(()),
    }
}

/// The directory above, as something that can be opened.
pub(super) fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}
