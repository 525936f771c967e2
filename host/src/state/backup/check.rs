//! Whether a backup is whole and of formats that this program knows.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use super::files::{is_plain, marks, read};
use super::{BackupError, BackupFile, FORMAT, MANIFEST, Manifest, io};
use crate::state::sqlite;

/// Largest manifest: hundreds of thousands of files.
const MAX_MANIFEST: u64 = 64 << 20;

/// Reads all of a backup and compares it with its manifest.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(from: &Path) -> Result<Manifest, BackupError> {
    let manifest = manifest(from)?;
    for file in &manifest.files {
        let path = from.join(&file.path);
        let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
        if !is_file {
            return Err(BackupError::Damaged { path, why: "the manifest names it, and there is no such file".into() });
        }
        same(file, &path, &read(&path, None)?)?;
    }
    Ok(manifest)
}

/// The manifest by itself.
fn manifest(from: &Path) -> Result<Manifest, BackupError> {
    let path = from.join(MANIFEST);
    let damaged = |why: String| BackupError::Damaged { path: path.clone(), why };
    let mut text = Vec::new();
    let file = std::fs::File::open(&path).map_err(|error| damaged(format!("it is no backup: {error}")))?;
    file.take(MAX_MANIFEST + 1).read_to_end(&mut text).map_err(io("read", &path))?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(damaged("its manifest is too large".to_owned()));
    }
    // The number first: the rest of a newer one may look different.
    let format = serde_json::from_slice::<serde_json::Value>(&text).map_err(|error| damaged(error.to_string()))?;
    match format.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format > u64::from(FORMAT) => {
            return Err(damaged(format!(
                "the backup has format {format} and this version of wharf reads formats up to {FORMAT}; restore it with \
                 the version that wrote it"
            )));
        }
        Some(1..) => {}
        Some(0) | None => return Err(damaged("it has no format".to_owned())),
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let mut seen = BTreeSet::new();
    for BackupFile { path, kind, version, .. } in &manifest.files {
        let shown = path.escape_debug();
        if !is_plain(path) {
            return Err(damaged(format!("it names `{shown}`, which is no file of state")));
        }
        if !seen.insert(path) {
            return Err(damaged(format!("it names `{shown}` twice")));
        }
        if let Some((_, newest)) = sqlite::formats().iter().find(|(known, newest)| known == kind && version > newest) {
            return Err(damaged(format!(
                "`{shown}` has format {version} and this version of wharf reads formats up to {newest}; restore it with \
                 the version that wrote it"
            )));
        }
    }
    Ok(manifest)
}

/// Whether this is what the manifest says.
pub(super) fn same(file: &BackupFile, path: &Path, found: &super::files::Content) -> Result<(), BackupError> {
    let damaged = |why: &str| Err(BackupError::Damaged { path: path.to_owned(), why: why.to_owned() });
    if found.bytes != file.bytes {
        return damaged("it has another size than the manifest says");
    }
    if found.sha256 != file.sha256 {
        return damaged("its content is not what the manifest says");
    }
    if marks(&found.start) != Some((file.kind, file.version)) {
        return damaged("it is another kind of file than the manifest says");
    }
    Ok(())
}
