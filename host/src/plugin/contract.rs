//! The contract of a version: its OpenAPI document, read before it serves and again when the file beside it changes.
//!
//! A document decides whether a version serves only when the version is loaded: one that is broken then rejects it,
//! like a broken migration, and so does one that breaks clients where `contract.breaking: reject` is said. Later, a
//! file that has changed replaces the document in force if it is right; if not, people are told and the last good one
//! stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::version::Version;
use crate::config::Breaking;
use crate::contract::diff::{Break, breaks};
use crate::contract::{Contract, ContractFile, SourceError, contract_of};

/// Breaks that are told of one version; how many there are is told in any case.
const MAX_TOLD: usize = 10;

/// The document of one version.
#[derive(Debug)]
pub(super) struct OwnContract {
    /// Inside of the component.
    inside: Option<String>,
    now: ArcSwapOption<Contract>,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
struct Place {
    /// The component's file; none until it was looked for.
    component: Option<PathBuf>,
    /// What lay beside it then.
    seen: Option<ContractFile>,
    /// What people are to know.
    notes: Vec<String>,
}

impl OwnContract {
    pub(super) fn new(inside: Option<String>) -> Self {
        Self { inside, now: ArcSwapOption::empty(), place: Mutex::default() }
    }

    /// What is in force, if there is a document.
    pub(super) fn now(&self) -> Option<Arc<Contract>> {
        self.now.load_full()
    }

    /// What people are to know of it.
    pub(super) fn notes(&self) -> Vec<String> {
        self.lock().notes.clone()
    }

    /// Reads the document that belongs to this component file: what lies beside it, and what is wrong with it. Blocks.
    pub(super) fn read(&self, component: PathBuf) -> (Option<ContractFile>, Result<(), SourceError>) {
        let (seen, contract) = self.look(&component);
        let contract = match contract {
            Ok(contract) => contract,
            Err(error) => return (seen, Err(error)),
        };
        self.now.store(contract.map(Arc::new));
        let mut place = self.lock();
        (place.component, place.seen) = (Some(component), seen.clone());
        (seen, Ok(()))
    }

    fn look(&self, component: &Path) -> (Option<ContractFile>, Result<Option<Contract>, SourceError>) {
        // Looked at before it is read: what changes meanwhile is seen the next time.
        let seen = ContractFile::beside(component).unwrap_or_default();
        let source = contract_of(self.inside.as_deref(), component);
        (seen, source.and_then(|source| source.map(|source| source.contract()).transpose()))
    }

    /// Holds it against the document of a version that serves.
    pub(super) fn compare(&self, with: &Contract, label: &str) -> Vec<Break> {
        let found = self.now().map(|now| breaks(with, &now)).unwrap_or_default();
        let notes = noted(&found, label);
        self.lock().notes = notes;
        found
    }

    /// Reads the file beside the component again if it has changed: whether the document in force is another now, or
    /// why not. One that breaks clients is not taken where that is refused. Blocks.
    pub(super) fn refresh(&self, breaking: Breaking) -> Option<Result<(), String>> {
        let (component, seen) = {
            let place = self.lock();
            (place.component.clone()?, place.seen.clone())
        };
        if ContractFile::beside(&component).ok()? == seen {
            return None;
        }
        let (seen, contract) = self.look(&component);
        self.lock().seen = seen;
        let contract = match contract {
            Ok(contract) => contract,
            Err(error) => return Some(Err(error.to_string())),
        };
        let found = match (self.now(), &contract) {
            (Some(before), Some(contract)) => breaks(&before, contract),
            _ => Vec::new(),
        };
        let notes = noted(&found, "the document before");
        if breaking == Breaking::Reject && !found.is_empty() {
            return Some(Err(format!("{} (contract.breaking: reject)", notes.join("; "))));
        }
        self.lock().notes = notes;
        self.now.store(contract.map(Arc::new));
        Some(Ok(()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn noted(found: &[Break], of: &str) -> Vec<String> {
    let mut notes: Vec<String> =
        found.iter().take(MAX_TOLD).map(|one| format!("it breaks clients of {of}: {one}")).collect();
    if found.len() > MAX_TOLD {
        notes.push(format!("it breaks clients of {of} in {} more ways", found.len() - MAX_TOLD));
    }
    notes
}

/// Looks whether files beside these versions have changed; those that have another document now.
pub(super) async fn refresh(versions: Vec<Arc<Version>>) -> Vec<Arc<Version>> {
    let look = move || {
        let mut changed = Vec::new();
        for version in versions {
            match version.contract.refresh(version.settings().contract.breaking) {
                None => {}
                Some(Ok(())) => {
                    tracing::info!(service = %version.service(), version = %version.label(), "contract replaced");
                    for note in version.notes() {
                        tracing::warn!(service = %version.service(), version = %version.label(), "{note}");
                    }
                    changed.push(version);
                }
                Some(Err(reason)) => {
                    let service = version.service();
                    tracing::warn!(%service, version = %version.label(), reason, "the contract is kept as it was");
                }
            }
        }
        changed
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| {
        tracing::error!(%error, "reading contracts failed");
        Vec::new()
    })
}

/// The first number of a label such as `2`, `v2` or `2.1.0-rc.1`; other labels have none.
pub fn major(label: &str) -> Option<u64> {
    let label = label.strip_prefix('v').unwrap_or(label);
    let number = label.split(['.', '-', '+']).next()?;
    // Eight letters are the beginning of a digest, whatever they are.
    (number.len() < 8 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| number.parse().ok())?
}

/// A label as a semantic version: `2` and `v2` are 2.0.0.
pub fn number(label: &str) -> Option<semver::Version> {
    major(label)?;
    let label = label.strip_prefix('v').unwrap_or(label);
    let padded = || [format!("{label}.0.0"), format!("{label}.0")].into_iter();
    semver::Version::parse(label).ok().or_else(|| padded().find_map(|label| semver::Version::parse(&label).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "openapi: 3.1.0\npaths: { /a: { get: {} }, /b: { get: {} } }\n";

    #[test]
    fn a_file_that_changes_replaces_the_document_if_it_is_right() {
        let root = tempfile::tempdir().unwrap();
        let (component, file) = (root.path().join("orders.wasm"), root.path().join("orders.openapi.yaml"));
        let own = OwnContract::new(None);
        assert!(own.refresh(Breaking::Warn).is_none());
        own.read(component.clone()).1.unwrap();
        assert!(own.now().is_none() && own.refresh(Breaking::Warn).is_none());
        std::fs::write(&file, DOCUMENT).unwrap();
        assert_eq!(own.refresh(Breaking::Warn), Some(Ok(())));
        assert_eq!(own.now().unwrap().operations(), 2);
        assert!(own.refresh(Breaking::Warn).is_none());
        std::fs::write(&file, "openapi: 3.1.0\npaths: 5").unwrap();
        let told = own.refresh(Breaking::Warn).unwrap().unwrap_err();
        assert!(told.contains("orders.openapi.yaml:2:1"), "{told}");
        assert_eq!(own.now().unwrap().operations(), 2);
        assert!(own.refresh(Breaking::Warn).is_none(), "a fault is told once");
        let less = DOCUMENT.replace(", /b: { get: {} }", "");
        std::fs::write(&file, &less).unwrap();
        let told = own.refresh(Breaking::Reject).unwrap().unwrap_err();
        assert!(told.contains("the path is gone") && told.contains("contract.breaking"), "{told}");
        assert_eq!(own.now().unwrap().operations(), 2);
        std::fs::write(&file, format!("{less}\n")).unwrap();
        assert_eq!(own.refresh(Breaking::Warn), Some(Ok(())));
        assert_eq!((own.now().unwrap().operations(), own.notes().len()), (1, 1));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(own.refresh(Breaking::Warn), Some(Ok(())));
        assert!(own.now().is_none());
    }

    #[test]
    fn breaks_are_noted_and_not_all_of_them_told() {
        let old = Contract::read("old", DOCUMENT).unwrap();
        let own = OwnContract::new(Some("openapi: 3.1.0\npaths: { /a: { get: {} } }".to_owned()));
        let root = tempfile::tempdir().unwrap();
        own.read(root.path().join("a.wasm")).1.unwrap();
        assert_eq!(own.compare(&old, "1.0.0").len(), 1);
        assert_eq!(own.notes(), ["it breaks clients of 1.0.0: /b: the path is gone (at /paths/~1b)"]);
        let many: String = (0..30).map(|n| format!("  /{n}: {{ get: {{}} }}\n")).collect();
        let old = Contract::read("old", &format!("openapi: 3.1.0\npaths:\n{many}")).unwrap();
        assert_eq!(own.compare(&old, "1").len(), 30);
        assert_eq!(own.notes().len(), 11);
        assert!(own.notes()[10].contains("20 more"));
    }

    #[test]
    fn labels_have_a_first_number_or_none() {
        for (label, expected) in [
            ("2", Some(2)),
            ("v2", Some(2)),
            ("2.1.0-rc.1", Some(2)),
            ("12.0.0+b", Some(12)),
            ("12345678", None),
            ("blue", None),
            ("2x", None),
            ("", None),
        ] {
            assert_eq!(major(label), expected, "{label}");
        }
    }
}
