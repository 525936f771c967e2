//! From the first reading of a subscription to its end, or to a seek: what is begun when, and what comes of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::book::{Book, Job};
use super::shared::Standing;
use super::{LAZY, LINGER, LOG_AGAIN, MANY, NEWS_GAP, PROBE, READ_BYTES, READ_EVENTS, Subscription, Terms};
use crate::capability::delivery::Delivery;
use crate::events::deliver::{Deliver, Outcome};
use crate::events::message;
use crate::state::{EventLog, EventLogError, EventPage, Offset, Progress, Selection, StoredEvent};

/// What came of something that ran beside.
pub(super) enum Done {
    Delivered { offset: Offset, probe: bool, outcome: Outcome },
    Read(Result<EventPage, EventLogError>),
    Noted(Progress, Result<(), EventLogError>),
}

/// The service is not there.
#[derive(Debug, Clone, Copy)]
struct Pause {
    tries: u32,
    until: Instant,
}

/// From the first reading to the end, or to a seek.
pub(super) struct Serving<'a> {
    of: &'a Subscription,
    book: Book,
    pub(super) jobs: JoinSet<Done>,
    in_flight: usize,
    reading: bool,
    noting: bool,
    pause: Option<Pause>,
    /// The log failed so often in a row, and is left alone until then.
    log_failed: u32,
    log_after: Instant,
    /// Since when something is to be noted.
    unnoted_since: Option<Instant>,
    noted_at: Instant,
}

impl<'a> Serving<'a> {
    /// Nothing is on its way yet.
    pub(super) fn new(of: &'a Subscription, book: Book) -> Self {
        let now = Instant::now();
        Self {
            of,
            book,
            jobs: JoinSet::new(),
            in_flight: 0,
            reading: false,
            noting: false,
            pause: None,
            log_failed: 0,
            log_after: now,
            unnoted_since: None,
            noted_at: now,
        }
    }
}

impl Serving<'_> {
    /// Begins whatever can be begun.
    pub(super) fn go_on(&mut self, newest: &mut watch::Receiver<Offset>) {
        let now = Instant::now();
        let newest = *newest.borrow_and_update();
        self.send(now);
        let log_answers = now >= self.log_after;
        if !self.reading && log_answers && self.book.read_to() < newest && self.book.room() > 0 {
            self.reading = true;
            let limit = self.book.room().min(READ_EVENTS);
            let (log, after) = (Arc::clone(&self.of.log), self.book.read_to());
            let selection = Selection { topics: self.of.terms.topics.clone(), ..Selection::default() };
            self.jobs.spawn(async move { Done::Read(log.read(selection, after, limit, READ_BYTES).await) });
        }
        if self.unnoted_since.is_none() && self.book.unnoted() > 0 {
            self.unnoted_since = Some(now);
        }
        if !self.noting && log_answers && self.note_at().is_some_and(|at| at <= now) {
            self.note();
        }
        let lag = newest.0.saturating_sub(self.book.position().0);
        self.of.shared.counted(self.book.position(), lag, self.in_flight, self.book.waiting());
    }

    fn send(&mut self, now: Instant) {
        loop {
            let probe = self.pause.is_some();
            let places = match self.pause {
                None => self.of.terms.max_in_flight,
                Some(pause) if pause.until <= now => 1,
                Some(_) => 0,
            };
            if self.in_flight >= places {
                return;
            }
            let Some(job) = self.book.next(now) else { return };
            self.in_flight += 1;
            let (log, deliver) = (Arc::clone(&self.of.log), Arc::clone(&self.of.deliver));
            let (terms, offset) = (Arc::clone(&self.of.terms), job.offset);
            self.jobs.spawn(async move {
                let delivered = AssertUnwindSafe(delivered(&*log, &*deliver, &terms, job)).catch_unwind().await;
                let outcome = delivered.unwrap_or_else(|_panic| {
                    tracing::error!(service = %terms.service, "a delivery ended in a panic of the host");
                    Outcome::Again(None, "the host failed".to_owned())
                });
                Done::Delivered { offset, probe, outcome }
            });
        }
    }

    fn note(&mut self) {
        self.unnoted_since = None;
        self.noted_at = Instant::now();
        let Some(progress) = self.book.take() else { return };
        self.noting = true;
        let (log, terms) = (Arc::clone(&self.of.log), Arc::clone(&self.of.terms));
        self.jobs.spawn(async move {
            let noted = log.progress(&terms.id, progress.clone()).await;
            Done::Noted(progress, noted)
        });
    }

    /// When something is to be noted, if nothing happens until then.
    fn note_at(&self) -> Option<Instant> {
        match self.unnoted_since {
            Some(since) if self.book.unnoted() >= MANY => Some(since),
            Some(since) => Some(since + LINGER),
            None => self.book.is_behind().then(|| self.noted_at + LAZY),
        }
    }

    /// When to look again, if nothing happens until then.
    pub(super) fn wake(&self) -> Option<Instant> {
        let note = if self.noting { None } else { self.note_at().map(|at| at.max(self.log_after)) };
        let read = Some(self.log_after).filter(|after| !self.reading && *after > Instant::now());
        let full = self.in_flight >= self.of.terms.max_in_flight;
        let send = match self.pause {
            Some(pause) if self.in_flight == 0 => match self.book.has_ready() {
                true => Some(pause.until),
                false => self.book.next_due().map(|due| due.max(pause.until)),
            },
            None if !full => self.book.next_due(),
            _ => None,
        };
        [note, read, send].into_iter().flatten().min()
    }

    pub(super) fn somebody_came(&mut self) {
        if let Some(pause) = &mut self.pause {
            pause.until = pause.until.min(Instant::now() + NEWS_GAP);
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Delivered { offset, probe, outcome } => {
                self.in_flight -= 1;
                self.delivered(offset, probe, outcome);
            }
            Done::Read(read) => {
                self.reading = false;
                match read {
                    Ok(page) => {
                        self.log_failed = 0;
                        self.book.read(page);
                    }
                    Err(error) => self.log_fails(&error),
                }
            }
            Done::Noted(progress, noted) => {
                self.noting = false;
                match noted {
                    Ok(()) => {
                        self.log_failed = 0;
                        self.book.noted(progress);
                    }
                    Err(error) => {
                        self.book.not_noted(progress);
                        self.log_fails(&error);
                    }
                }
            }
        }
    }

    fn log_fails(&mut self, error: &EventLogError) {
        let Terms { service, name, .. } = &*self.of.terms;
        if self.log_failed == 0 {
            tracing::warn!(%service, subscription = %name, %error, "the event log does not do what a subscription asks");
        }
        self.log_after = Instant::now() + LOG_AGAIN.wait(self.log_failed, fastrand::f64());
        self.log_failed = self.log_failed.saturating_add(1);
    }

    fn delivered(&mut self, offset: Offset, probe: bool, outcome: Outcome) {
        let (terms, shared) = (&self.of.terms, &self.of.shared);
        let Terms { service, name, .. } = &**terms;
        if let Outcome::NotThere(reason, after) = outcome {
            shared.deferred();
            self.book.put_back(offset);
            let tries = match self.pause {
                None => {
                    tracing::info!(%service, subscription = %name, reason, "deliveries wait for the service");
                    0
                }
                Some(pause) if probe => pause.tries.saturating_add(1),
                // It was sent before it was known that nobody is there.
                Some(_) => return,
            };
            let wait = PROBE.wait(tries, fastrand::f64()).max(after.unwrap_or_default());
            self.pause = Some(Pause { tries, until: Instant::now() + wait });
            return shared.stand(Standing::Paused, reason.to_owned());
        }
        if self.pause.take().is_some() {
            tracing::info!(%service, subscription = %name, "deliveries go on");
            shared.stand(Standing::Active, String::new());
        }
        let attempts = self.book.attempts(offset).saturating_add(1);
        match outcome {
            Outcome::Handled => {
                shared.handled();
                self.book.handled(offset);
            }
            Outcome::Again(after, error) if attempts < terms.attempts => {
                shared.retried();
                let wait = terms.backoff.wait(attempts - 1, fastrand::f64()).max(after.unwrap_or_default());
                tracing::debug!(%service, subscription = %name, offset = offset.0, attempts, ?wait, error, "again");
                self.book.again(offset, Instant::now() + wait, SystemTime::now() + wait, error);
            }
            Outcome::Again(_, error) | Outcome::Rejected(error) => {
                shared.died();
                tracing::warn!(%service, subscription = %name, offset = offset.0, attempts, error, "a dead letter");
                self.book.dead(offset, error);
            }
            Outcome::NotThere(..) => {}
        }
    }

    /// Lets what is under way come to its end, and notes it.
    pub(super) async fn finish(mut self, grace: Duration) {
        let end = Instant::now() + grace;
        while self.in_flight > 0 && !grace.is_zero() {
            match timeout_at(end, self.jobs.join_next()).await {
                Ok(Some(Ok(done))) => self.done(done),
                Ok(Some(Err(_cancelled))) => {}
                Ok(None) | Err(_) => break,
            }
        }
        // What was under way when it was cut off is delivered again, whether or not it was handled.
        while self.noting {
            match self.jobs.join_next().await {
                Some(Ok(done)) => self.done(done),
                Some(Err(_cancelled)) => {}
                None => break,
            }
        }
        self.jobs.abort_all();
        if let Some(progress) = self.book.take()
            && let Err(error) = self.of.log.progress(&self.of.terms.id, progress).await
        {
            let Terms { service, name, .. } = &*self.of.terms;
            tracing::warn!(%service, subscription = %name, %error, "the last deliveries are not noted: they come again");
        }
        self.of.shared.counted(self.book.position(), 0, 0, self.book.waiting());
    }
}

/// One delivery.
async fn delivered(log: &dyn EventLog, deliver: &dyn Deliver, terms: &Terms, job: Job) -> Outcome {
    let event = match job.event {
        Some(event) => event,
        None => match with_row(log, terms, job.offset).await {
            Ok(Some(event)) => event,
            Ok(None) => {
                tracing::error!(service = %terms.service, offset = job.offset.0, "an event that waits is not in the log");
                return Outcome::Handled;
            }
            Err(_) => return Outcome::NotThere("event_log", None),
        },
    };
    let delivery = Delivery { subscription: Arc::clone(&terms.name), attempt: job.attempt, event };
    deliver_once(deliver, terms, delivery).await
}

/// Has the service handle it, once.
pub(in crate::events) async fn deliver_once(deliver: &dyn Deliver, terms: &Terms, delivery: Delivery) -> Outcome {
    match message::request(&terms.service, &terms.path, delivery) {
        Some(request) => deliver.deliver(&terms.service, request, terms.timeout).await.into(),
        // The configuration has checked service and path.
        None => Outcome::Rejected("it makes no request".to_owned()),
    }
}

/// The event of a row. Should the row be gone, which nobody but a seek does, the event itself is looked for.
async fn with_row(log: &dyn EventLog, terms: &Terms, offset: Offset) -> Result<Option<StoredEvent>, EventLogError> {
    let before = Offset(offset.0.saturating_sub(1));
    let rows = log.waiting(&terms.id, before, 1).await?;
    if let Some((_, event)) = rows.into_iter().find(|(row, _)| row.offset == offset) {
        return Ok(Some(event));
    }
    let page = log.read(Selection::default(), before, 1, 1).await?;
    Ok(page.events.into_iter().find(|event| event.offset == offset))
}
