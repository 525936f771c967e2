//! What the threads of a database share: whose it is, its bounds, and how long its log is.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::quick::Gate;
use crate::state::{SqlError, SqlSettings};

/// What the threads of a database share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) service: String,
    pub(super) file: PathBuf,
    pub(super) settings: Mutex<SqlSettings>,
    /// Bytes of the write-ahead log after the last commit.
    pub(super) log_bytes: AtomicU64,
    pub(super) streams: Arc<Semaphore>,
    pub(super) gate: Arc<Gate>,
    reported: Mutex<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(service: &str, file: PathBuf, settings: SqlSettings, streams: usize) -> Self {
        Self {
            service: service.to_owned(),
            file,
            settings: Mutex::new(settings),
            log_bytes: AtomicU64::new(0),
            streams: Arc::new(Semaphore::new(streams)),
            gate: Arc::default(),
            reported: Mutex::default(),
        }
    }

    pub(super) fn settings(&self) -> SqlSettings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the operator of an error that guests do not see, at most once a second.
    pub(super) fn report(&self, error: &SqlError) {
        if !matches!(error, SqlError::Unavailable(_)) {
            return;
        }
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            *reported = Some(Instant::now());
            tracing::error!(service = self.service, %error, "the service's database failed");
        }
    }

    /// Notes how long the write-ahead log is.
    pub(super) fn measure_log(&self) {
        let mut name = self.file.clone().into_os_string();
        name.push("-wal");
        let bytes = std::fs::metadata(name).map_or(0, |file| file.len());
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }
}
