//! One subscription at work: reads the log from its place, delivers, and notes what came of it.
//!
//! ```text
//! log ─ read ─→ book ─ job ─→ deliver ─→ outcome ─→ book ─ progress ─→ log
//!                 ↑                          └ not there: pause, and one probe at a time
//!                 └───────────── due ────────┘
//! ```
//!
//! One task owns the [`Book`]; deliveries, the reading ahead and the noting run beside it, at most one reading and one
//! noting at a time. What is noted is what has happened, so a crash at any point only delivers again. While the service
//! is not there nothing is tried but a probe, at growing intervals, or at once when an instance comes.
//!
//! Bounds: `maxInFlight` deliveries, those of the book, [`READ_BYTES`] of events for each reading.

mod book;
mod serving;
mod shared;
mod terms;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::book::Book;
use self::serving::Serving;
pub(super) use self::serving::deliver_once;
pub(super) use self::shared::{Shared, Standing};
pub(super) use self::terms::Terms;
use super::deliver::Deliver;
use crate::policy::Backoff;
use crate::state::{EventLog, EventLogError, Offset, Start};

/// Events of one reading.
const READ_EVENTS: usize = 256;
/// Bytes of events of one reading, about.
const READ_BYTES: usize = 4 << 20;
/// Rows of one reading at the start; each may have an event of the largest size.
const RESTORED: usize = 64;
/// What happened is noted together with what happens within this time.
const LINGER: Duration = Duration::from_millis(5);
/// Nothing but events for others went by: so often is that noted.
const LAZY: Duration = Duration::from_secs(1);
/// As many notes are written at once.
const MANY: usize = 256;
/// Between attempts to use a log that does not answer.
const LOG_AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// Between probes of a service that is not there.
const PROBE: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
/// News of instances lead to no more probes than one in this time.
const NEWS_GAP: Duration = Duration::from_millis(50);
/// For so long deliveries may finish when the subscription ends.
const GRACE: Duration = Duration::from_secs(10);

/// What a subscription can be told.
#[derive(Debug)]
pub(super) enum Command {
    /// To begin again there.
    Seek(Start, oneshot::Sender<Result<Offset, EventLogError>>),
}

/// A subscription, and all that it needs to work.
pub(super) struct Subscription {
    pub(super) terms: Arc<Terms>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) deliver: Arc<dyn Deliver>,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) stop: CancellationToken,
}

/// Why it no longer serves.
enum Ended {
    Stop,
    /// It begins again from where the log says.
    Again,
}

impl Subscription {
    /// Works until it is stopped.
    pub(super) async fn run(mut self) {
        let mut failed = 0;
        loop {
            match self.serve().await {
                Ok(Ended::Stop) => break,
                Ok(Ended::Again) => failed = 0,
                Err(error) => {
                    let Terms { service, name, .. } = &*self.terms;
                    tracing::warn!(%service, subscription = %name, %error, "a subscription cannot begin");
                    self.shared.stand(Standing::Failing, error.to_string());
                    let wait = LOG_AGAIN.wait(failed, fastrand::f64());
                    failed = failed.saturating_add(1);
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = sleep(wait) => {}
                    }
                }
            }
        }
        self.shared.stand(Standing::Stopped, String::new());
    }

    async fn serve(&mut self) -> Result<Ended, EventLogError> {
        let terms = Arc::clone(&self.terms);
        let mut newest = self.log.newest();
        let mut news = self.deliver.news();
        let state = self.log.subscribe(&terms.id, terms.topics.clone(), terms.start).await?;
        let mut book = Book::new(terms.ordered, state.position);
        restore(&mut book, &*self.log, &terms).await?;
        self.shared.stand(Standing::Active, String::new());
        let (stop, mut commands) = (self.stop.clone(), std::mem::replace(&mut self.commands, mpsc::channel(1).1));
        let mut serving = Serving::new(self, book);
        let seek = loop {
            serving.go_on(&mut newest);
            let wake = serving.wake();
            tokio::select! {
                () = stop.cancelled() => break None,
                Some(command) = commands.recv() => break Some(command),
                Some(done) = serving.jobs.join_next() => {
                    if let Ok(done) = done {
                        serving.done(done);
                    }
                }
                // A sender that is gone is a log that is closed: the stop follows.
                Ok(()) = newest.changed() => {}
                Ok(()) = news.changed() => serving.somebody_came(),
                () = at(wake) => {}
            }
        };
        serving.finish(if seek.is_some() { Duration::ZERO } else { GRACE }).await;
        self.commands = commands;
        let Some(Command::Seek(start, reply)) = seek else { return Ok(Ended::Stop) };
        // Nobody who asked is there any more: then it does not matter to anybody.
        let _ = reply.send(self.log.seek(&terms.id, start).await);
        Ok(Ended::Again)
    }
}

/// The rows that were there.
async fn restore(book: &mut Book, log: &dyn EventLog, terms: &Terms) -> Result<(), EventLogError> {
    let mut after = Offset(0);
    loop {
        let rows = log.waiting(&terms.id, after, RESTORED).await?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = last.offset;
        let (now, wall) = (Instant::now(), SystemTime::now());
        for (row, _) in rows {
            // A clock that was set back must not make anybody wait for a year.
            let due = row.due.map(|due| now + due.duration_since(wall).unwrap_or_default().min(terms.longest_wait));
            book.restore(row, due);
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
