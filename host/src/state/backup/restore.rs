//! Puts a backup in the place of what is there.
//!
//! ```text
//! check the backup ─→ copy it beside the state, checking again ─→ write down what is to be done ─→ do it by renaming
//!                       nothing has changed up to here ───────────┘      └── if broken off, the next start goes on
//! ```
//!
//! What is to be done is a [`Plan`] in `.restore/plan.json`. From the moment that it is on the disk the restore will
//! happen: each step can be done again without harm, and [`finish`] does those that are left. Before that moment a
//! broken restore leaves nothing but files in `.restore`, which the next one removes.
//!
//! The state before is not deleted: its parts lie in `before-restore-<time>/`, as they were, until somebody removes them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check::{check, same};
use super::files::{ASIDE, SERVICES, above, make_dir, part_of, parts, read, remove_tree, sync_dir, sync_tree, write};
use super::lock::StateLock;
use super::{BackupError, Manifest, io};
use crate::state::sqlite;

/// Where a restore works.
const WORK: &str = ".restore";
/// In there: the new parts.
const NEW: &str = "new";
/// In there: what is to be done.
const PLAN: &str = "plan.json";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was in the backup.
    pub manifest: Manifest,
    /// Parts that are as in the backup now, below the state directory.
    pub parts: BTreeSet<PathBuf>,
    /// Where the state from before is, if there was any.
    pub aside: Option<PathBuf>,
}

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plan {
    /// The name of the directory for what is there now.
    aside: String,
    /// Parts that come from the backup.
    bring: BTreeSet<PathBuf>,
    /// Parts that are not in the backup, and go.
    take_away: BTreeSet<PathBuf>,
}

/// Puts the state of the backup in the place of the state in `root`; only that of these services if any are named.
///
/// # Errors
/// See [`BackupError`]. Except for `Unfinished`, nothing has changed.
pub fn restore(root: &Path, from: &Path, services: &[String]) -> Result<Restored, BackupError> {
    restore_with(root, from, services, &mut |_| Ok(()))
}

/// The same; `before` is asked before each step that changes something.
pub(super) fn restore_with(
    root: &Path,
    from: &Path,
    services: &[String],
    before: &mut dyn FnMut(&'static str) -> Result<(), BackupError>,
) -> Result<Restored, BackupError> {
    let manifest = check(from)?;
    let bring = wanted(&manifest, services)?;
    make_dir(root)?;
    let _lock = StateLock::alone(root)?;
    if is_unfinished(root) {
        finish_with(root, before)?;
    }
    let work = root.join(WORK);
    remove_tree(&work)?;
    before("copy")?;
    for file in manifest.files.iter().filter(|file| bring.contains(&part_of(Path::new(&file.path)))) {
        let (source, copy) = (from.join(&file.path), work.join(NEW).join(&file.path));
        make_dir(above(&copy))?;
        // What is copied is checked, and not only what was read a moment ago.
        same(file, &source, &read(&source, Some(&copy))?)?;
    }
    make_dir(&work.join(NEW))?;
    sync_tree(&work)?;
    sync_dir(root)?;

    let there = parts(root)?;
    let all = services.is_empty();
    let take_away: BTreeSet<PathBuf> = there.iter().filter(|part| all && !bring.contains(*part)).cloned().collect();
    let replaced = bring.iter().any(|part| there.contains(part)) || !take_away.is_empty();
    let aside = free_name(root);
    let plan = Plan { aside: aside.clone(), bring, take_away };
    before("plan")?;
    let not_text = |error: serde_json::Error| BackupError::Damaged { path: root.to_owned(), why: error.to_string() };
    let text = serde_json::to_vec_pretty(&plan).map_err(not_text)?;
    let unfinished = work.join("plan.new");
    write(&unfinished, &text)?;
    std::fs::rename(&unfinished, work.join(PLAN)).map_err(io("rename", &unfinished))?;
    sync_dir(&work).and_then(|()| finish_with(root, before)).map_err(|error| BackupError::Unfinished(error.into()))?;
    Ok(Restored { manifest, parts: plan.bring, aside: replaced.then(|| root.join(aside)) })
}

/// The parts to be brought.
fn wanted(manifest: &Manifest, services: &[String]) -> Result<BTreeSet<PathBuf>, BackupError> {
    let parts: BTreeSet<PathBuf> = manifest.files.iter().map(|file| part_of(Path::new(&file.path))).collect();
    if services.is_empty() {
        return Ok(parts);
    }
    let part = |service: &String| {
        let part = sqlite::service_directory(Path::new(""), service);
        if parts.contains(&part) {
            return Ok(part);
        }
        let names = parts.iter().filter_map(|part| part.strip_prefix(SERVICES).ok());
        let known: Vec<String> = names.map(|name| name.display().to_string()).collect();
        Err(BackupError::NoSuchService { service: service.clone(), known: known.join(", ") })
    };
    services.iter().map(part).collect()
}

/// A name that is not taken.
fn free_name(root: &Path) -> String {
    let name = format!("{ASIDE}{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    names.into_iter().find(|name| root.join(name).symlink_metadata().is_err()).unwrap_or(name)
}

/// Whether a restore was begun that must be finished before anybody uses the state.
pub(super) fn is_unfinished(root: &Path) -> bool {
    root.join(WORK).join(PLAN).symlink_metadata().is_ok()
}

/// Does what is left to do. Only with the lock for oneself.
pub(super) fn finish(root: &Path) -> Result<(), BackupError> {
    finish_with(root, &mut |_| Ok(()))
}

fn finish_with(
    root: &Path,
    before: &mut dyn FnMut(&'static str) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let (work, path) = (root.join(WORK), root.join(WORK).join(PLAN));
    let text = std::fs::read(&path).map_err(io("read", &path))?;
    let damaged = |error: serde_json::Error| BackupError::Damaged { path: path.clone(), why: error.to_string() };
    let plan: Plan = serde_json::from_slice(&text).map_err(damaged)?;
    let (aside, new) = (root.join(&plan.aside), work.join(NEW));
    for part in plan.bring.iter().chain(&plan.take_away) {
        let (place, new) = (root.join(part), new.join(part));
        // A part that came from the backup is no longer among the new ones: what is there now is it.
        let comes = new.is_dir();
        if (comes || plan.take_away.contains(part)) && place.symlink_metadata().is_ok() {
            before("put aside")?;
            rename(root, &place, &aside.join(part))?;
        }
        if comes {
            before("bring")?;
            rename(root, &new, &place)?;
        }
    }
    before("forget the plan")?;
    std::fs::remove_file(&path).map_err(io("remove", &path))?;
    sync_dir(&work)?;
    remove_tree(&work)?;
    sync_dir(root)
}

/// Moves a directory in `root` to a place that is free. The way to the place is on the disk before it is used, and the
/// directory is in its new place there before it is gone from the old one.
fn rename(root: &Path, from: &Path, to: &Path) -> Result<(), BackupError> {
    make_dir(above(to))?;
    for dir in above(to).ancestors().take_while(|dir| dir.starts_with(root)) {
        sync_dir(dir)?;
    }
    std::fs::rename(from, to).map_err(io("move", from))?;
    sync_dir(above(to))?;
    sync_dir(above(from))
}
