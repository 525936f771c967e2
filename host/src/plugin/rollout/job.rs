//! One load: from a file's content to a version that has passed its probe, or to why it has not.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Directory, FileId, Stage, probe};
use crate::config::Service;
use crate::plugin::folder::FileVersion;
use crate::plugin::load::{LoadError, Loader, Source};
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
        let retry = Retry { file, size, settings: Arc::clone(&settings) };
        let capabilities = self.directory.capabilities(&self.id.service);
        let loaded = self.loader.load(source, capabilities, settings).await;
        let version = match loaded {
            Ok(version) => Arc::new(version),
            Err(error) => {
                let retry = matches!(error, LoadError::NotGranted(_)).then_some(retry);
                return Err(Rejection { reason: error.to_string(), retry });
            }
        };
        self.directory.stage(&self.id, &digest, size, Stage::Probing);
        match probe(&version).await {
            Ok(()) => Ok(version),
            Err(reason) => Err(Rejection { reason, retry: Some(retry) }),
        }
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
