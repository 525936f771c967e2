//! The threads of one database: one that writes, and up to [`READERS`] that read, each with a connection of its own.
//!
//! A *session* is what has a connection to itself: one statement, a transaction, a result that is being read, or a job
//! of the host. It waits for a permit (fair, bounded in number and time, without blocking anybody), is sent to an idle
//! thread or starts one, and gives both back at its end. While it lasts, commands reach it through a channel; when the
//! channel's other end is dropped, or its time is over, what it has not committed is undone. A thread that was idle for
//! [`IDLE`] closes its connection and ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::control::Control;
use super::open;
use super::session::{self, Command};
use super::shared::Shared;
use super::work::Lane;
use crate::state::SqlError;

/// Connections that read at the same time.
pub(super) const READERS: usize = 8;
/// How long a connection stays open without a session.
const IDLE: Duration = Duration::from_secs(10);
/// Sessions that may wait for a permit; more are refused at once.
const WAITING: usize = 256;

/// The threads of one kind.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) shared: Arc<Shared>,
    writes: bool,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    idle: Mutex<Idle>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Idle {
    closed: bool,
    /// The one used last at the end.
    lanes: Vec<Resting>,
}

/// A thread that waits for a session, and its connection. In this order: the thread ends when it has no home, and
/// closes the connection.
#[derive(Debug)]
struct Resting {
    id: u64,
    lane: Arc<Mutex<Lane>>,
    home: mpsc::Sender<Session>,
}

/// One use of a connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) kind: Kind,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) control: Arc<Control>,
    /// When a transaction or result has been held for too long; none for jobs of the host.
    pub(super) deadline: Option<Instant>,
    home: Option<mpsc::Sender<Session>>,
    permit: OwnedSemaphorePermit,
}

/// What a session does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One command.
    Once,
    /// One query, and then pieces of its result.
    Read,
    /// Whatever comes until it is committed or rolled back.
    Transaction,
}

impl Lanes {
    pub(super) fn new(shared: &Arc<Shared>, writes: bool) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            writes,
            permits: Arc::new(Semaphore::new(if writes { 1 } else { READERS })),
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Waits for a permit (`all`: for all of them), no longer than `timeout`.
    pub(super) async fn permit(&self, all: bool, timeout: Duration) -> Result<OwnedSemaphorePermit, SqlError> {
        let count = if all && !self.writes { READERS as u32 } else { 1 };
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_many_owned(count) {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.waiting).ok_or_else(|| {
            SqlError::Timeout(format!("{WAITING} others wait for the database already: try again later"))
        })?;
        let what = if self.writes { "other transactions are" } else { "results are" };
        match tokio::time::timeout(timeout, Arc::clone(&self.permits).acquire_many_owned(count)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(SqlError::Unavailable("it was closed".to_owned())),
            Err(_elapsed) => Err(SqlError::Timeout(format!(
                "{what} not over yet after {timeout:?} (sql.statementTimeout); one that this very request holds is \
                 waited for in vain"
            ))),
        }
    }

    /// Sends a session to an idle thread, or to a new one.
    pub(super) fn start(
        self: &Arc<Self>,
        kind: Kind,
        permit: OwnedSemaphorePermit,
        deadline: Option<Instant>,
        first: Command,
    ) -> Result<(mpsc::Sender<Command>, Arc<Control>), SqlError> {
        let (sender, commands) = mpsc::channel();
        let control = Arc::new(Control::default());
        // The other end is in this function, so it takes it.
        let _ = sender.send(first);
        let mut session = Session { kind, commands, control: Arc::clone(&control), deadline, home: None, permit };
        loop {
            let Some(Resting { id, home, lane: _ }) = self.idle().lanes.pop() else { break };
            session.home = Some(home.clone());
            match home.send(session) {
                Ok(()) => return Ok((sender, control)),
                // It has just ended.
                Err(mpsc::SendError(back)) => {
                    tracing::trace!(id, "a database thread was gone");
                    session = back;
                }
            }
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (home, sessions) = mpsc::channel();
        session.home = Some(home);
        let lanes = Arc::clone(self);
        thread::Builder::new()
            .name(if self.writes { "sql-write" } else { "sql-read" }.to_owned())
            .spawn(move || serve(&lanes, id, session, &sessions))
            .map_err(|error| SqlError::Unavailable(format!("cannot start a thread for it: {error}")))?;
        Ok((sender, control))
    }

    /// Does something with a connection that is free, on this thread; nothing if none is.
    pub(super) fn lend<T>(&self, work: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        self.lend_for(&permit, work)
    }

    /// The same for who has a permit.
    pub(super) fn lend_for<T>(&self, _: &OwnedSemaphorePermit, work: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let resting = self.idle().lanes.pop()?;
        let done = work(&mut own(&resting.lane));
        let mut idle = self.idle();
        if !idle.closed {
            idle.lanes.push(resting);
        }
        Some(done)
    }

    /// Ends all threads once they are idle.
    pub(super) fn close(&self) {
        let mut idle = self.idle();
        idle.closed = true;
        idle.lanes.clear();
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the thread off the list; false if a session is on its way to it, or its connection is lent.
    fn resign(&self, id: u64) -> bool {
        let mut idle = self.idle();
        let before = idle.lanes.len();
        idle.lanes.retain(|resting| resting.id != id);
        idle.lanes.len() < before || idle.closed
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.idle().lanes.len()
    }
}

/// Counts one session as waiting for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) >= WAITING {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The thread.
fn serve(lanes: &Lanes, id: u64, first: Session, sessions: &mpsc::Receiver<Session>) {
    let lane = match open::open(&lanes.shared.file, lanes.writes) {
        Ok(opened) => Lane::new(opened, lanes.writes, &lanes.shared.gate),
        Err(error) => {
            let error = SqlError::Unavailable(error.to_string());
            lanes.shared.report(&error);
            return session::refuse(&first.commands, &error);
        }
    };
    let interrupt = Arc::new(lane.connection.get_interrupt_handle());
    let lent = Arc::new(Mutex::new(lane));
    let mut next = VecDeque::from([first]);
    loop {
        let session = match next.pop_front() {
            Some(session) => session,
            None => match sessions.recv_timeout(IDLE) {
                Ok(session) => session,
                Err(mpsc::RecvTimeoutError::Timeout) if !has_rested(&lent) || !lanes.resign(id) => continue,
                Err(_) => return,
            },
        };
        let mut lane = own(&lent);
        session.control.arm(&interrupt);
        lane.guard.obey(&session.control.sign);
        let farewell = session::run(&lanes.shared, &mut lane, &session);
        session.control.disarm();
        let Session { home, permit, commands, .. } = session;
        // What was sent too late is answered by the end of the channel.
        drop(commands);
        if !lane.is_lost() {
            tracing::error!(service = lanes.shared.service, "a transaction does not end; its connection is closed");
            return;
        }
        drop(lane);
        if let Some(home) = home {
            let mut idle = lanes.idle();
            if !idle.closed {
                idle.lanes.push(Resting { id, lane: Arc::clone(&lent), home });
            }
        }
        drop(permit);
        if let Some(farewell) = farewell {
            farewell();
        }
    }
}

/// The connection, which nobody else has: who takes it has taken its thread off the list first.
fn own(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the connection was not used since this was last asked.
fn has_rested(lane: &Mutex<Lane>) -> bool {
    std::mem::replace(&mut own(lane).rested, true)
}

/// Says an answer to whoever waits for it.
pub(super) type Reply<T> = oneshot::Sender<Result<T, SqlError>>;
