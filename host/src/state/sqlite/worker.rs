//! The thread of one store: takes jobs in order, groups them into transactions, answers after the commit.
//!
//! A group is what waits when the thread gets to it, up to [`GROUP_JOBS`] and [`GROUP_BYTES`]. Each write in it runs
//! inside a savepoint, so one that is refused takes nothing of the others with it; nobody hears of a result before the
//! whole group is committed, so a failed commit is an error for everybody in it and a lie to nobody.
//!
//! The thread starts at the first job and opens the file itself. When it cannot, it answers what waits with the reason
//! and ends; the next job tries again. So a full disk or a locked file heals without a restart. A job whose caller is
//! gone (a guest over its deadline) is skipped. The queue is short: a store that is too slow holds its callers back
//! instead of collecting their values in memory.
//!
//! When nothing waits, the thread gives back the space of entries that have ended, step by step between looks at the
//! queue. It sets no alarm: what ends while nobody asks is given back at the next job.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::clock::Clock;
use super::expired::Expired;
use super::session::{Kind, Session, failure};
use super::{key_value, open};
use crate::state::key_value::KeyValueError;

/// Jobs that may wait for the thread before their callers do.
const QUEUE: usize = 64;
/// Most jobs in one transaction.
const GROUP_JOBS: usize = 64;
/// How often one job may start a thread.
const STARTS: usize = 3;
/// Keys end at milliseconds.
const NANOS_PER_MS: i64 = 1_000_000;
/// A group takes no further job once the writes in it carry this many bytes.
const GROUP_BYTES: usize = 4 << 20;

/// Sends the answer, given how the commit went.
type Answer = Box<dyn FnOnce(Result<(), KeyValueError>) + Send>;
type Work = Box<dyn FnOnce(Result<&mut Session<'_>, KeyValueError>) -> Answer + Send>;

struct Job {
    kind: Kind,
    work: Work,
}

/// What the handle and the thread share.
#[derive(Debug)]
struct Shared {
    service: String,
    file: PathBuf,
    quota: AtomicU64,
    clock: Clock,
    reported: Mutex<Option<Instant>>,
}

impl Shared {
    /// Tells the operator, at most once a second: guests can ask a broken store very often.
    fn report(&self, error: &impl std::fmt::Display) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            *reported = Some(Instant::now());
            tracing::error!(service = self.service, %error, "key-value store failed");
        }
    }
}

/// Handle on the thread of a store. Dropping it ends the thread after the jobs that wait.
pub(super) struct Worker {
    shared: Arc<Shared>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Worker {
    pub(super) fn new(service: &str, file: PathBuf, quota: u64, clock: Clock) -> Self {
        let (service, quota) = (service.to_owned(), AtomicU64::new(quota));
        let shared = Shared { service, file, quota, clock, reported: Mutex::default() };
        Self { shared: Arc::new(shared), jobs: Mutex::default() }
    }

    pub(super) fn set_quota(&self, quota: u64) {
        self.shared.quota.store(quota, Ordering::Relaxed);
    }

    /// Runs `work` on the thread and returns what it returned, when that is committed.
    pub(super) async fn run<T, F>(&self, kind: Kind, work: F) -> Result<T, KeyValueError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> Result<T, KeyValueError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |session| {
            if reply.is_closed() {
                return Box::new(|_| ());
            }
            let result = session.and_then(|session| session.run(kind, work));
            Box::new(move |committed| drop(reply.send(committed.and(result))))
        });
        let mut job = Job { kind, work };
        // A thread that is about to end, because the file does not open, no longer takes jobs: start the next one.
        for _ in 0..STARTS {
            match self.jobs()?.send(job).await {
                Ok(()) => {
                    let ended = |_| KeyValueError::Unavailable { detail: "its thread has ended".to_owned() };
                    return answer.await.map_err(ended)?;
                }
                Err(mpsc::error::SendError(back)) => job = back,
            }
        }
        Err(KeyValueError::Unavailable { detail: "it does not open, again and again".to_owned() })
    }

    /// The queue of the thread, which is started when it doesn't run.
    fn jobs(&self) -> Result<mpsc::Sender<Job>, KeyValueError> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = jobs.as_ref().filter(|jobs| !jobs.is_closed()) {
            return Ok(running.clone());
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("key-value".to_owned())
            .spawn(move || serve(&shared, receiver))
            .map_err(|error| KeyValueError::Unavailable { detail: format!("cannot start a thread for it: {error}") })?;
        Ok(jobs.insert(sender).clone())
    }
}

/// The thread.
fn serve(shared: &Shared, mut jobs: mpsc::Receiver<Job>) {
    let mut connection = None;
    let mut expired = Expired::default();
    let mut now = i64::MIN;
    while let Some(first) = next_job(shared, &mut jobs, connection.as_ref(), &mut expired, now) {
        let connection = match &connection {
            Some(connection) => connection,
            None => match open::open(&shared.file, &key_value::FORMAT) {
                Ok(opened) => connection.insert(opened),
                Err(error) => {
                    shared.report(&error);
                    jobs.close();
                    let error = KeyValueError::Unavailable { detail: error.to_string() };
                    let mut next = Some(first);
                    while let Some(job) = next {
                        (job.work)(Err(error.clone()))(Ok(()));
                        next = jobs.blocking_recv();
                    }
                    return;
                }
            },
        };
        let group = gather(first, &mut jobs);
        // What has ended does not come back when somebody sets the clock of the machine.
        now = now.max(shared.clock.now() / NANOS_PER_MS);
        match run_group(connection, (shared.quota.load(Ordering::Relaxed), now), expired, group) {
            Ok(known) => expired = known,
            Err(error) => shared.report(&error),
        }
    }
}

/// Waits for a job, and gives back space while there is none.
fn next_job(
    shared: &Shared,
    jobs: &mut mpsc::Receiver<Job>,
    connection: Option<&Connection>,
    expired: &mut Expired,
    now: i64,
) -> Option<Job> {
    while let (Some(connection), true) = (connection, expired.keys > 0) {
        match jobs.try_recv() {
            Ok(job) => return Some(job),
            Err(mpsc::error::TryRecvError::Disconnected) => return None,
            Err(mpsc::error::TryRecvError::Empty) => {}
        }
        let swept = Session::begin(connection, (shared.quota.load(Ordering::Relaxed), now), *expired, true);
        match swept.map_err(failure).and_then(Session::commit) {
            Ok(known) => *expired = known,
            Err(error) => {
                // Perhaps somebody else has the file; at the next job it is tried again.
                shared.report(&error);
                break;
            }
        }
    }
    jobs.blocking_recv()
}

/// The first job and what waits behind it, up to the bounds of a group.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let weight = |job: &Job| match job.kind {
        Kind::Read => 0,
        Kind::Write(bytes) => bytes,
    };
    let mut bytes = weight(&first);
    let mut group = vec![first];
    while group.len() < GROUP_JOBS
        && bytes < GROUP_BYTES
        && let Ok(job) = jobs.try_recv()
    {
        bytes += weight(&job);
        group.push(job);
    }
    group
}

/// Runs a group as one transaction and answers all of it; the error is the one that all were answered with.
fn run_group(
    connection: &Connection,
    bounds: (u64, i64),
    expired: Expired,
    group: Vec<Job>,
) -> Result<Expired, KeyValueError> {
    let writes = group.iter().any(|job| job.kind != Kind::Read);
    let mut session = match Session::begin(connection, bounds, expired, writes) {
        Ok(session) => session,
        Err(error) => {
            let error = failure(error);
            for job in group {
                (job.work)(Err(error.clone()))(Ok(()));
            }
            return Err(error);
        }
    };
    let answers: Vec<Answer> = group.into_iter().map(|job| (job.work)(Ok(&mut session))).collect();
    let committed = session.commit();
    for answer in answers {
        answer(committed.clone().map(drop));
    }
    committed
}
