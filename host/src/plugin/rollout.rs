//! A file's way to a serving version, and an old version's way out.
//!
//! ```text
//! file appears or changes ── compiling ── probing ── serving ── (replaced or deleted) ── draining ── retired
//!                                └───────────┴── rejected: the running version stays
//! ```
//!
//! Each file has at most one load at a time: newer content ends the load of older content. A new version is given to the
//! [`Directory`] when it has passed its probe. What becomes of it (it serves at once, or is on trial first) is decided
//! there; what gets no more requests comes back from there, and keeps those it has for up to `drainTimeout`. A version
//! that serves again meanwhile is left alone.
//!
//! What was rejected for something that its service's settings can change (health check, a grant, limits) is tried
//! again when they do. The content is read again then, so that nothing is held in memory for it.
//!
//! Loads run beside each other, but what they came to is taken by the one task that also hears of changes: a file that
//! was deleted or replaced meanwhile is never published.

mod job;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use job::{Job, Loaded, Rejection, Retry};

use super::call::CallContext;
use super::contract;
use super::folder::{Change, FileVersion};
use super::load::Loader;
use super::version::Version;
use crate::capability::ServiceCapabilities;
use crate::config::Service;

/// How often idle slots and rejected files are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// How often trials are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Which file a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The service's name.
    pub service: Arc<str>,
    /// From `<service>@<label>.wasm`; none for the plain file.
    pub label: Option<Arc<str>>,
    /// The name of the file.
    pub file: Arc<str>,
}

/// Where a load stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Inspected, compiled, linked.
    Compiling,
    /// Instantiated and asked for its health.
    Probing,
    /// Not going to serve, and why.
    Rejected(String),
}

/// What the rollout tells and asks.
pub trait Directory: Send + Sync + 'static {
    /// A load of this content has come to this stage.
    fn stage(&self, file: &FileId, digest: &[u8; 32], size: usize, stage: Stage);
    /// Whether this content needs no loading: the file serves with it already, or it is not to be tried again.
    fn serves(&self, file: &FileId, digest: &[u8; 32]) -> bool;
    /// This version can serve.
    fn publish(&self, file: &FileId, version: Arc<Version>, size: usize);
    /// The file is gone.
    fn withdraw(&self, file: &FileId);
    /// Decides about versions on trial.
    fn decide(&self, now: Instant);
    /// Versions that get no more requests since this was asked last.
    fn leaving(&self) -> Vec<Arc<Version>>;
    /// A version that was leaving has finished its requests, or had to be cut off with this many left.
    fn retired(&self, version: &Arc<Version>, cut_off: usize);
    /// A file whose name makes it no service.
    fn refused(&self, file: &str, reason: &str);
    /// The service's settings as of now.
    fn settings(&self, service: &str) -> Arc<Service>;
    /// What the service's guests may reach.
    fn capabilities(&self, service: &Arc<str>) -> Arc<ServiceCapabilities>;
    /// This version has another contract, and maybe other notes.
    fn promises(&self, version: &Arc<Version>);
    /// All versions that serve.
    fn serving(&self) -> Vec<Arc<Version>>;
}

/// A load under way.
type Load = AbortOnDropHandle<Loaded>;

/// Follows the folder until its channel closes.
pub struct Rollout {
    loader: Arc<Loader>,
    directory: Arc<dyn Directory>,
    loads: HashMap<FileId, Load>,
    rejected: HashMap<FileId, Retry>,
    ready: watch::Sender<bool>,
}

impl Rollout {
    /// Starts following `changes`. The receiver turns true when the files that were there at the start all serve or
    /// are rejected.
    pub fn start(
        loader: Arc<Loader>,
        directory: Arc<dyn Directory>,
        changes: mpsc::Receiver<Change>,
    ) -> (AbortOnDropHandle<()>, watch::Receiver<bool>) {
        let (ready, is_ready) = watch::channel(false);
        let rollout = Self { loader, directory, loads: HashMap::new(), rejected: HashMap::new(), ready };
        (AbortOnDropHandle::new(tokio::spawn(rollout.run(changes))), is_ready)
    }

    async fn run(mut self, mut changes: mpsc::Receiver<Change>) {
        let mut sweep = tokio::time::interval(SWEEP);
        let mut tick = tokio::time::interval(TICK);
        let mut initial = true;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(Change::Present(file)) => self.load(file),
                    Some(Change::Gone { file_name }) => self.gone(&file_name),
                    Some(Change::Rejected { file_name, reason }) => {
                        // Only its name counts: a file that served before and cannot be read now keeps serving.
                        self.directory.refused(&file_name, &reason);
                    }
                    Some(Change::InitialScanDone) => initial = false,
                    None => return,
                },
                _ = sweep.tick() => {
                    let serving = self.directory.serving();
                    serving.iter().for_each(|version| version.drop_stale_slots());
                    let changed = contract::refresh(serving).await;
                    changed.iter().for_each(|version| self.directory.promises(version));
                    self.try_again().await;
                }
                now = tick.tick() => self.directory.decide(now),
                (id, loaded) = finished(&mut self.loads), if !self.loads.is_empty() => self.finish(&id, loaded),
            }
            for old in self.directory.leaving() {
                tokio::spawn(drain(Arc::clone(&self.directory), old));
            }
            if !initial && self.loads.is_empty() && !*self.ready.borrow() {
                self.ready.send_replace(true);
            }
        }
    }

    fn load(&mut self, file: FileVersion) {
        let id = FileId {
            service: file.service.as_str().into(),
            label: file.label.as_deref().map(Arc::from),
            file: file.file_name.as_str().into(),
        };
        self.rejected.remove(&id);
        if self.directory.serves(&id, &file.digest) {
            // What was loading in its place is no longer wanted.
            self.loads.remove(&id);
            return;
        }
        let job = self.job(&id);
        // Replacing the handle ends the load of older content, or forgets what it has just come to.
        self.loads.insert(id, AbortOnDropHandle::new(tokio::spawn(job.run(file))));
    }

    fn job(&self, id: &FileId) -> Job {
        Job { loader: Arc::clone(&self.loader), directory: Arc::clone(&self.directory), id: id.clone() }
    }

    /// Loads rejected files whose settings, or whose files beside them, have changed.
    async fn try_again(&mut self) {
        let mut again = Vec::new();
        for (id, retry) in &self.rejected {
            if self.directory.settings(&id.service) != retry.settings || retry.has_other_files().await {
                again.push(id.clone());
            }
        }
        for id in again {
            let Some(retry) = self.rejected.remove(&id) else { continue };
            tracing::info!(service = %id.service, file = %id.file, "what it was rejected for has changed: tried again");
            let job = self.job(&id);
            self.loads.insert(id, AbortOnDropHandle::new(tokio::spawn(job.run_again(retry))));
        }
    }

    fn finish(&mut self, id: &FileId, loaded: Result<Loaded, JoinError>) {
        match loaded {
            Ok(Loaded { size, version: Ok(version), .. }) => {
                // The configuration may have changed since its probe.
                version.apply(self.directory.settings(&id.service));
                self.directory.publish(id, version, size);
            }
            Ok(Loaded { digest, size, version: Err(Rejection { reason, retry }) }) => {
                self.directory.stage(id, &digest, size, Stage::Rejected(reason));
                if let Some(retry) = retry {
                    self.rejected.insert(id.clone(), retry);
                }
            }
            // Nobody ends a load that is still known here, so it panicked.
            Err(error) => tracing::error!(service = %id.service, file = %id.file, %error, "loading failed"),
        }
    }

    fn gone(&mut self, file_name: &str) {
        self.loads.retain(|id, _| &*id.file != file_name);
        self.rejected.retain(|id, _| &*id.file != file_name);
        let (service, label) = file_name.trim_end_matches(".wasm").split_once('@').map_or_else(
            || (file_name.trim_end_matches(".wasm"), None),
            |(service, label)| (service, Some(Arc::from(label))),
        );
        let id = FileId { service: service.into(), label, file: file_name.into() };
        self.directory.withdraw(&id);
    }
}

impl std::fmt::Debug for Rollout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rollout").finish_non_exhaustive()
    }
}

/// Returns when a load has ended, and forgets it.
async fn finished(loads: &mut HashMap<FileId, Load>) -> (FileId, Result<Loaded, JoinError>) {
    std::future::poll_fn(|cx| {
        let ended = loads.iter_mut().find_map(|(id, load)| match Pin::new(load).poll(cx) {
            Poll::Ready(loaded) => Some((id.clone(), loaded)),
            Poll::Pending => None,
        });
        ended.map_or(Poll::Pending, |(id, loaded)| {
            loads.remove(&id);
            Poll::Ready((id, loaded))
        })
    })
    .await
}

/// Whether a version can start, and answers its health path if it has one.
///
/// # Errors
/// With the reason in words.
pub async fn probe(version: &Arc<Version>) -> Result<(), String> {
    let health = version.settings().health_check.clone();
    let timeout = health.start_timeout.get();
    let probe = async {
        version.instantiate_once().await.map_err(|error| error.to_string())?;
        let Some(path) = &health.path else { return Ok(()) };
        if version.serves().http.is_none() {
            // There is nobody to ask; that it starts is all it can show.
            return Ok(());
        }
        let uri = format!("http://{}.internal{path}", version.service());
        let request = Request::get(&uri)
            .header(http::header::USER_AGENT, "wharf-probe")
            .body(Empty::<Bytes>::new().map_err(|never| match never {}))
            .map_err(|error| format!("healthCheck.path `{path}` is no path: {error}"))?;
        let context = CallContext { request_id: Some("probe".into()), ..CallContext::default() };
        let response = version
            .call(request, context)
            .await
            .map_err(|error| format!("its health check at {path} failed: {error}"))?;
        let status = response.status();
        if health.expects(status.as_u16()) {
            Ok(())
        } else {
            Err(format!("its health check at {path} answered {status}"))
        }
    };
    tokio::time::timeout(timeout, probe).await.unwrap_or_else(|_elapsed| {
        Err(format!("it did not start and answer within healthCheck.startTimeout ({timeout:?})"))
    })
}

/// Waits for a version's requests, at most its `drainTimeout`.
async fn drain(directory: Arc<dyn Directory>, old: Arc<Version>) {
    let stint = old.stint();
    let timeout = old.settings().drain_timeout.0.get();
    let _ = tokio::time::timeout(timeout, old.drained()).await;
    if old.stint() != stint {
        // It serves again; if it was replaced again since, that is another drain.
        return;
    }
    let left = old.in_flight();
    if left > 0 {
        old.cut_off();
    }
    old.rest();
    directory.retired(&old, left);
}
