//! One load: from a file's content to a version that has passed its probe, or to why it has not.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Directory, FileId, Stage, probe};
use crate::config::{Breaking, Service};
use crate::contract::ContractFile;
use crate::plugin::contract::major;
use crate::plugin::folder::FileVersion;
use crate::plugin::load::{LoadError, Loader, Source};
use crate::plugin::migrations::{MigrationFolder, migrations_of};
use crate::plugin::version::Version;

/// What a load came to.
pub(super) struct Loaded {
    pub(super) digest: [u8; 32],
    pub(super) size: usize,
    pub(super) version: Result<Arc<Version>, Rejection>,
}

/// Why a load came to nothing.
pub(super) struct Rejection {
    pub(super) reason: String,
    /// What may be different under other settings than these.
    pub(super) retry: Option<Retry>,
}

/// What is needed to try a file again.
pub(super) struct Retry {
    pub(super) file: FileVersion,
    pub(super) size: usize,
    pub(super) settings: Arc<Service>,
    /// The folder of migrations when they failed, or none then; another one is a reason to try again, too.
    pub(super) folder: Option<Option<MigrationFolder>>,
    /// The same of the file with its OpenAPI document.
    pub(super) contract: Option<Option<ContractFile>>,
}

impl Retry {
    /// Whether the folder of migrations, or the OpenAPI document, is another than when it failed.
    pub(super) async fn has_other_files(&self) -> bool {
        let (folder, contract) = (self.folder.clone(), self.contract.clone());
        if folder.is_none() && contract.is_none() {
            return false;
        }
        let path = self.file.path.clone();
        let look = move || {
            folder.is_some_and(|before| MigrationFolder::beside(&path).is_ok_and(|now| now != before))
                || contract.is_some_and(|before| ContractFile::beside(&path).is_ok_and(|now| now != before))
        };
        tokio::task::spawn_blocking(look).await.unwrap_or(false)
    }
}

/// Does it.
pub(super) struct Job {
    pub(super) loader: Arc<Loader>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) id: FileId,
}

impl Job {
    pub(super) async fn run(self, file: FileVersion) -> Loaded {
        let (size, digest) = (file.bytes.len(), file.digest);
        Loaded { digest, size, version: self.try_run(file).await }
    }

    /// Loads what a file contained when it was rejected, if it still does.
    pub(super) async fn run_again(self, retry: Retry) -> Loaded {
        let Retry { mut file, size, .. } = retry;
        let digest = file.digest;
        match read_again(&file, size).await {
            Ok(bytes) => {
                file.bytes = bytes;
                self.run(file).await
            }
            // What it contains now is on its way here from the folder.
            Err(error) => {
                let reason = format!("it could not be read again: {error}");
                Loaded { digest, size, version: Err(Rejection { reason, retry: None }) }
            }
        }
    }

    async fn try_run(&self, mut file: FileVersion) -> Result<Arc<Version>, Rejection> {
        let (size, digest) = (file.bytes.len(), file.digest);
        self.directory.stage(&self.id, &digest, size, Stage::Compiling);
        let settings = self.directory.settings(&self.id.service);
        let wasm = std::mem::take(&mut file.bytes);
        let source = Source { service: Arc::clone(&self.id.service), label: file.label.clone(), wasm, digest };
        let mut retry = Retry { file, size, settings: Arc::clone(&settings), folder: None, contract: None };
        let capabilities = self.directory.capabilities(&self.id.service);
        let loaded = self.loader.load(source, capabilities, settings).await;
        let version = match loaded {
            Ok(version) => Arc::new(version),
            Err(error) => {
                let retry = matches!(error, LoadError::NotGranted(_)).then_some(retry);
                return Err(Rejection { reason: error.to_string(), retry });
            }
        };
        if let Err(reason) = self.promise(&version, &mut retry).await {
            return Err(Rejection { reason, retry: Some(retry) });
        }
        if let Err(reason) = self.migrate(&version, &mut retry).await {
            return Err(Rejection { reason, retry: Some(retry) });
        }
        self.directory.stage(&self.id, &digest, size, Stage::Probing);
        match probe(&version).await {
            Ok(()) => Ok(version),
            Err(reason) => Err(Rejection { reason, retry: Some(retry) }),
        }
    }
}

impl Job {
    /// Reads the version's contract, and holds it against those of the versions that serve.
    async fn promise(&self, version: &Arc<Version>, retry: &mut Retry) -> Result<(), String> {
        let (of, path) = (Arc::clone(version), retry.file.path.clone());
        let read = tokio::task::spawn_blocking(move || of.contract.read(path)).await;
        let (file, read) = read.map_err(|error| error.to_string())?;
        retry.contract = Some(file);
        read.map_err(|error| error.to_string())?;
        let number = major(version.label());
        let serving = self.directory.serving().into_iter();
        let like = |one: &Arc<Version>| {
            one.service() == version.service() && major(one.label()) == number && one.digest() != version.digest()
        };
        let (of, serving) = (Arc::clone(version), serving.filter(like).collect::<Vec<_>>());
        let compare = move || {
            let before = serving.iter().filter_map(|one| Some((one.contract()?, Arc::clone(one.label()))));
            before.map(|(before, label)| of.contract.compare(&before, &label)).find(|breaks| !breaks.is_empty())
        };
        let breaks = tokio::task::spawn_blocking(compare).await.map_err(|error| error.to_string())?;
        let Some(breaks) = breaks else { return Ok(()) };
        let notes = version.notes();
        // As it stands now, and not as it stood before the component was compiled.
        if self.directory.settings(&self.id.service).contract.breaking == Breaking::Reject {
            return Err(format!("{} (contract.breaking: reject)", notes.join("; ")));
        }
        for note in &notes {
            tracing::warn!(service = %self.id.service, file = %self.id.file, breaks = breaks.len(), "{note}");
        }
        Ok(())
    }

    /// Brings the service's database to what the version needs.
    async fn migrate(&self, version: &Version, retry: &mut Retry) -> Result<(), String> {
        let (inside, path) = (version.migrations().to_vec(), retry.file.path.clone());
        let look = move || (MigrationFolder::beside(&path).ok().flatten(), migrations_of(&inside, &path));
        let (folder, found) = tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())?;
        retry.folder = Some(folder);
        let migrations = found.map_err(|error| error.to_string())?;
        let Some(database) = version.capabilities.sql() else {
            let without = migrations.is_empty();
            return without.then_some(()).ok_or_else(|| {
                "it has migrations, and its service has no database (sql: false): grant it one".to_owned()
            });
        };
        let migrated = database.migrate(migrations).await.map_err(|error| error.to_string())?;
        for migration in &migrated.done {
            tracing::info!(service = %self.id.service, migration = migration.name, "migration applied");
        }
        if let Some(later) = migrated.unknown.last() {
            tracing::warn!(
                service = %self.id.service, file = %self.id.file, migration = later.name,
                "the database has had migrations that this version does not know; it must be able to work with them"
            );
        }
        Ok(())
    }
}

/// The file's content, which must be what it was.
async fn read_again(file: &FileVersion, size: usize) -> std::io::Result<Bytes> {
    let other = || std::io::Error::other("its content has changed");
    if tokio::fs::metadata(&file.path).await?.len() != size as u64 {
        return Err(other());
    }
    let bytes = tokio::fs::read(&file.path).await?;
    let digest = file.digest;
    let same = tokio::task::spawn_blocking(move || (Sha256::digest(&bytes).as_slice() == digest).then_some(bytes));
    same.await?.map(Bytes::from).ok_or_else(other)
}
