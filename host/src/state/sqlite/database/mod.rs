//! One file with one writer and a few readers: what the event log and the queues have in common.
//!
//! Writes go to one thread, which commits all that wait in one transaction (*group commit*): on a common disk a commit
//! costs milliseconds, whether it carries one write or a thousand. Nobody hears of a result before the whole group is
//! committed. A group with a *durable* write in it is synced to the disk before it is answered; one without is not, and
//! reaches the disk with the next group that is: it survives the end of the process, and a power cut may take it back.
//!
//! A write first looks whether it is allowed and only then changes something; so a refusal needs no savepoint. A failure
//! of SQLite, on the other hand, undoes the group and is everybody's answer. The file is opened at the first use and
//! again after a failure, so that a full disk or a file that was put right heals without a restart.
//!
//! Reads run on blocking threads with connections of their own and don't wait for the writer: each sees what is
//! committed when it begins. Bounds: [`QUEUE`] writes wait, with [`QUEUE_KIB`] together; who comes after waits outside.
//! [`READERS`] reads run at a time.
//!
//! Why not `sqlite::worker`: a key-value store is one of hundreds, so it has one thread for everything, and its writes
//! are small and never synced.

mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::open::{self, Format};

/// Writes that may wait for the thread before their callers do.
const QUEUE: usize = 1024;
/// KiB that the waiting writes may carry together.
const QUEUE_KIB: usize = 64 << 10;
/// Most writes in one transaction.
const GROUP_JOBS: usize = 1024;
/// A group takes no further write once those in it carry this many KiB.
const GROUP_KIB: usize = 16 << 10;
/// Reads at a time.
const READERS: usize = 2;
/// How often one write may start the thread.
const STARTS: usize = 3;

/// Why SQLite did not do it.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The disk is full.
    NoSpace,
    /// Anything else, for the host's log.
    Unavailable(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace,
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSpace => f.write_str("no space left on the disk"),
            Self::Unavailable(detail) => f.write_str(detail),
        }
    }
}

/// Sums that every write keeps exact: read when a transaction begins, written when it ends.
pub(super) trait Ledger: Sized + 'static {
    fn load(connection: &Connection) -> rusqlite::Result<Self>;
    fn store(&mut self, connection: &Connection) -> rusqlite::Result<()>;
}

/// A transaction in progress.
#[derive(Debug)]
pub(super) struct Transaction<'a, L> {
    pub(super) connection: &'a Connection,
    pub(super) ledger: L,
}

/// Whether the disk has to have it before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sync {
    Later,
    Now,
}

/// What a write came to: a refusal has changed nothing, an error of SQLite undoes the whole group.
pub(super) type Step<T, E> = rusqlite::Result<Result<T, E>>;

/// Sends the answer, given how the commit went.
type Answer = Box<dyn FnOnce(Result<(), Failure>) + Send>;
type Work<L> = Box<dyn FnOnce(Result<&mut Transaction<'_, L>, Failure>) -> (Answer, Option<Failure>) + Send>;
type Told<L> = Box<dyn Fn(&L) + Send + std::marker::Sync>;

struct Job<L> {
    sync: Sync,
    kib: usize,
    work: Work<L>,
    place: OwnedSemaphorePermit,
}

struct Shared<L> {
    file: PathBuf,
    format: &'static Format,
    opened: AtomicBool,
    reported: Mutex<Option<Instant>>,
    readers: Mutex<Vec<Connection>>,
    /// Hears the sums when the file is open and after every commit.
    told: Told<L>,
}

impl<L> Shared<L> {
    /// Tells the operator, at most once a second.
    fn report(&self, error: &dyn std::fmt::Display) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            *reported = Some(Instant::now());
            tracing::error!(file = %self.file.display(), %error, "{} failed", self.format.what);
        }
    }
}

/// The file. Dropping it ends the thread after the writes that wait.
pub(super) struct Database<L> {
    shared: Arc<Shared<L>>,
    writer: Mutex<Option<mpsc::Sender<Job<L>>>>,
    room: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

impl<L> std::fmt::Debug for Database<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("file", &self.shared.file).finish_non_exhaustive()
    }
}

impl<L: Ledger> Database<L> {
    /// Nothing is opened or created before the first use.
    pub(super) fn new(file: PathBuf, format: &'static Format, told: Told<L>) -> Self {
        let shared = Shared {
            file,
            format,
            opened: AtomicBool::default(),
            reported: Mutex::default(),
            readers: Mutex::default(),
            told,
        };
        Self {
            shared: Arc::new(shared),
            writer: Mutex::default(),
            room: Arc::new(Semaphore::new(QUEUE_KIB)),
            reading: Arc::new(Semaphore::new(READERS)),
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.shared.file
    }

    /// Runs `work`, which carries about so many bytes, in the next group, and returns what it returned when that is
    /// committed. Work whose caller is gone before its turn is not done.
    pub(super) async fn write<T, E, F>(&self, sync: Sync, bytes: usize, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        F: FnOnce(&mut Transaction<'_, L>) -> Step<T, E> + Send + 'static,
    {
        let unavailable = |detail: &str| E::from(Failure::Unavailable(detail.to_owned()));
        let kib = (bytes / 1024 + 1).min(QUEUE_KIB);
        let place = Arc::clone(&self.room).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await;
        let place = place.map_err(|_| unavailable("it is closed"))?;
        let (reply, answer) = oneshot::channel::<Result<T, E>>();
        let work: Work<L> = Box::new(move |transaction| {
            if reply.is_closed() {
                return (Box::new(|_| ()), None);
            }
            let step = match transaction {
                Ok(transaction) => work(transaction).map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            match step {
                Ok(Ok(done)) => {
                    (Box::new(move |committed| drop(reply.send(committed.map(|()| done).map_err(E::from)))), None)
                }
                Ok(Err(refused)) => (Box::new(move |_| drop(reply.send(Err(refused)))), None),
                Err(failure) => {
                    let answer = failure.clone();
                    (Box::new(move |_| drop(reply.send(Err(answer.into())))), Some(failure))
                }
            }
        });
        let mut job = Job { sync, kib, work, place };
        for _ in 0..STARTS {
            match self.writer().map_err(E::from)?.send(job).await {
                Ok(()) => return answer.await.unwrap_or_else(|_| Err(unavailable("its thread has ended"))),
                Err(mpsc::error::SendError(back)) => job = back,
            }
        }
        Err(unavailable("its thread ends, again and again"))
    }

    /// Runs `work` on a blocking thread, in one transaction that changes nothing.
    pub(super) async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        if !self.shared.opened.load(Ordering::Acquire) {
            self.write::<(), E, _>(Sync::Later, 0, |_| Ok(Ok(()))).await?;
        }
        let closed = |error: &dyn std::fmt::Display| E::from(Failure::Unavailable(error.to_string()));
        let permit = Arc::clone(&self.reading).acquire_owned().await.map_err(|error| closed(&error))?;
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = shared.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => open::open_reader(&shared.file, shared.format).map_err(|error| {
                    shared.report(&error);
                    Failure::Unavailable(error.to_string())
                })?,
            };
            let result = connection.unchecked_transaction().and_then(|transaction| work(&transaction));
            match result {
                Ok(done) => {
                    shared.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                    Ok(done)
                }
                Err(error) => {
                    shared.report(&error);
                    Err(Failure::from(error))
                }
            }
        });
        reading.await.map_err(|error| closed(&error))?.map_err(E::from)
    }

    /// The queue of the thread, which is started when it doesn't run.
    fn writer(&self) -> Result<mpsc::Sender<Job<L>>, Failure> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = writer.as_ref().filter(|writer| !writer.is_closed()) {
            return Ok(running.clone());
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || writer::serve(&shared, receiver))
            .map_err(|error| Failure::Unavailable(format!("cannot start a thread for it: {error}")))?;
        Ok(writer.insert(sender).clone())
    }
}
