//! Looking at the folder and reading one file without being fooled by its writer.
//!
//! All of this blocks and runs on the blocking pool. A file is taken only if its identity (device, inode, size, both
//! times, link target) is the same before the read, after it, and through its name, and did not change so short a time
//! ago that file times are too coarse to tell; and only if its sections end exactly where the file ends, so that a copy
//! that pauses half way is never taken for a component. Whether the sections mean anything is the loader's business.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::name;

/// Largest file that is read; the largest real components (Python) have 22 MB.
pub(super) const MAX_FILE: u64 = 512 << 20;

/// Coarser than the file times of any Linux kernel.
const TICK: Duration = Duration::from_millis(20);

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    target: Option<PathBuf>,
}

/// What stands behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A regular file, maybe through symbolic links.
    File(Identity),
    /// Nothing that can be read; the text says why.
    Unusable(String),
}

/// What reading a file gave.
#[derive(Debug)]
pub(super) enum Content {
    /// A whole file.
    Whole { bytes: Bytes, digest: [u8; 32] },
    /// The rest is not there yet; the text says what is missing.
    Incomplete(String),
    /// It will not do however long we wait; the text says why.
    Unusable(String),
    /// It changed meanwhile: look again.
    Changed,
}

impl Identity {
    fn new(metadata: &Metadata, target: Option<PathBuf>) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            target,
        }
    }

    /// The size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file's own clock says that nothing happened for `span`. A time in the future says nothing.
    pub(super) fn older_than(&self, span: Duration) -> bool {
        age(self.modified).is_some_and(|age| age >= span) && age(self.changed).is_some_and(|age| age >= span)
    }

    /// Whether another write could come without the times telling, because they are no finer than this.
    fn within_a_tick(&self) -> bool {
        age(self.changed).is_some_and(|age| age < TICK)
    }
}

/// How long ago a file time was; `None` for one in the future.
fn age((secs, nanos): (i64, i64)) -> Option<Duration> {
    let since_epoch = Duration::new(secs.try_into().ok()?, nanos.try_into().ok()?);
    SystemTime::now().duration_since(UNIX_EPOCH.checked_add(since_epoch)?).ok()
}

/// Device and inode of a directory: another directory under the same name needs another watch.
pub(super) fn directory(dir: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(dir)?;
    if metadata.is_dir() { Ok((metadata.dev(), metadata.ino())) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Everything in `dir` that counts by its name.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(OsString, Found)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file_name = entry?.file_name();
        if !name::counts(&file_name) {
            continue;
        }
        if let Some(what) = look(&dir.join(&file_name)) {
            found.push((file_name, what));
        }
    }
    Ok(found)
}

/// What is behind one path; `None` if the name is gone meanwhile.
fn look(path: &Path) -> Option<Found> {
    let own = match fs::symlink_metadata(path) {
        Ok(own) => own,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Found::Unusable(format!("cannot be examined: {error}"))),
    };
    let target = if own.is_symlink() { fs::read_link(path).ok() } else { None };
    let real = match fs::metadata(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let target = target.unwrap_or_default();
            return Some(Found::Unusable(format!("the link points to {target:?}, which is not there")));
        }
        Err(error) => return Some(Found::Unusable(format!("cannot be examined: {error}"))),
    };
    if real.is_dir() {
        return Some(Found::Unusable("is a directory; put the file itself into the folder".into()));
    }
    if !real.is_file() {
        return Some(Found::Unusable("is not a regular file".into()));
    }
    Some(Found::File(Identity::new(&real, target)))
}

/// Reads the file that [`list`] found under `path`.
pub(super) fn read(path: &Path, expected: &Identity) -> Content {
    if expected.size > MAX_FILE {
        return Content::Unusable(format!("has {} bytes; at most {MAX_FILE} are read", expected.size));
    }
    if expected.within_a_tick() {
        return Content::Changed;
    }
    match read_stable(path, expected) {
        Ok(Some(bytes)) => judge(bytes),
        Ok(None) => Content::Changed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Changed,
        Err(error) => Content::Unusable(format!("cannot be read: {error}; check its permissions")),
    }
}

fn read_stable(path: &Path, expected: &Identity) -> io::Result<Option<Vec<u8>>> {
    // Not blocking, in case a FIFO took the name since we looked.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let same = |file: &File| {
        let metadata = file.metadata()?;
        Ok::<_, io::Error>(Identity::new(&metadata, expected.target.clone()) == *expected)
    };
    if !same(&file)? {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(expected.size).unwrap_or(0));
    file.by_ref().take(expected.size.saturating_add(1)).read_to_end(&mut bytes)?;
    let through_name = look(path) == Some(Found::File(expected.clone()));
    let whole = u64::try_from(bytes.len()).is_ok_and(|read| read == expected.size);
    Ok((whole && through_name && same(&file)?).then_some(bytes))
}

fn judge(bytes: Vec<u8>) -> Content {
    match structure(&bytes) {
        Structure::Whole => {
            let digest = Sha256::digest(&bytes).into();
            Content::Whole { bytes: bytes.into(), digest }
        }
        Structure::Incomplete(what) => Content::Incomplete(what),
        Structure::Foreign => {
            Content::Unusable("is not WebAssembly: it does not begin with `\\0asm`; build it as a component".into())
        }
    }
}

/// What the section headers of a file say about its end.
#[derive(Debug, PartialEq, Eq)]
enum Structure {
    Whole,
    Incomplete(String),
    Foreign,
}

/// Walks the section headers: magic and version, then `id size content` until the file ends. A size that is no LEB128
/// number can't be waited for, so it counts as whole: the loader names the fault.
fn structure(bytes: &[u8]) -> Structure {
    const MAGIC: &[u8] = b"\0asm";
    if bytes.is_empty() {
        return Structure::Incomplete("is empty".into());
    }
    if !bytes.starts_with(MAGIC) && !MAGIC.starts_with(bytes) {
        return Structure::Foreign;
    }
    let Some(mut rest) = bytes.get(8..) else {
        return Structure::Incomplete("ends inside the first 8 bytes".into());
    };
    while let [_id, after_id @ ..] = rest {
        let Some((size, content)) = leb128(after_id) else {
            return if after_id.len() < 5 { cut(bytes.len()) } else { Structure::Whole };
        };
        let Some(next) = usize::try_from(size).ok().and_then(|size| content.get(size..)) else {
            return cut(bytes.len());
        };
        rest = next;
    }
    Structure::Whole
}

fn cut(len: usize) -> Structure {
    Structure::Incomplete(format!("ends inside a section, after {len} bytes"))
}

/// An unsigned 32-bit LEB128 number and what follows it; `None` if it does not end within the bytes or 5 digits.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (digits, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * digits);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, bytes.get(digits + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_component_inside_a_section_is_incomplete() {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        let section = wasm.len();
        wasm.extend([0, 0x85, 0x01]);
        wasm.extend([7; 133]);
        assert_eq!(structure(&wasm), Structure::Whole);
        assert_eq!(structure(&wasm[..section]), Structure::Whole);
        for end in (0..wasm.len()).filter(|end| *end != section) {
            assert!(matches!(structure(&wasm[..end]), Structure::Incomplete(_)), "cut at {end}");
        }
    }

    #[test]
    fn what_no_waiting_can_mend_is_left_to_the_loader_or_refused() {
        assert_eq!(structure(b"#!/bin/sh"), Structure::Foreign);
        assert_eq!(structure(b"\0as!"), Structure::Foreign);
        assert_eq!(structure(b"\0asm\x0d\0\x01\0\x00\xff\xff\xff\xff\xff"), Structure::Whole);
    }
}
