//! `wharf backup` and `wharf restore`: all state, to a directory and back.
//!
//! Both work on the files, whether or not a host uses them: SQLite's locks hold between processes, and a restore refuses
//! while anybody uses the state.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::{self, Problems, Source};
use crate::state::backup::{self, BackupError};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong, so it is not known where the state is.
    #[error("the configuration is not valid (give the state directory with --state instead)\n{0}")]
    Problems(#[from] Problems),
    /// See there.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Where the state is: as said, else as configured.
pub(super) fn state_dir(source: &Source, state: Option<PathBuf>) -> Result<PathBuf, Problems> {
    match state {
        Some(state) => Ok(state),
        None => Ok(config::load(source)?.gateway.state.path),
    }
}

/// Makes a backup in the new directory `to`.
///
/// # Errors
/// When there is none.
pub fn take(source: &Source, state: Option<PathBuf>, to: &Path, json: bool, out: &mut dyn Write) -> Result<(), Error> {
    let manifest = backup::take(&state_dir(source, state)?, to)?;
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&manifest).map_err(io::Error::from)?)?);
    }
    let (files, size) = (manifest.files.len(), manifest.bytes().div_ceil(1024));
    Ok(writeln!(out, "{files} files, {size} KiB, as they were at {}: {}", manifest.taken, to.display())?)
}

/// Whether a backup is whole.
///
/// # Errors
/// When it is not.
pub fn check(from: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let manifest = backup::check(from)?;
    writeln!(out, "whole: {} files, taken {} by wharf {}", manifest.files.len(), manifest.taken, manifest.wharf)?;
    for file in &manifest.files {
        writeln!(out, "  {:>10} KiB  {}", file.bytes.div_ceil(1024), file.path)?;
    }
    Ok(())
}

/// Puts a backup in the place of the state, or of that of some services.
///
/// # Errors
/// When that was not done.
pub fn restore(
    source: &Source,
    state: Option<PathBuf>,
    from: &Path,
    services: &[String],
    out: &mut dyn Write,
) -> Result<(), Error> {
    let root = state_dir(source, state)?;
    let restored = backup::restore(&root, from, services)?;
    writeln!(out, "restored to {}, as it was at {}:", root.display(), restored.manifest.taken)?;
    for part in &restored.parts {
        writeln!(out, "  {}", part.display())?;
    }
    if let Some(aside) = &restored.aside {
        writeln!(out, "what was there before is in {}; delete it when it is no longer needed", aside.display())?;
    }
    Ok(())
}
