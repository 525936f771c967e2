//! The thread that writes: takes jobs in order, groups them into transactions, answers after the commit.
//!
//! Who was just answered often comes back at once, and would miss the next group by a few microseconds: half of the
//! publishers would always wait for the commit of the other half. So the thread waits a little for as many as there were
//! in the last group, besides those that are here: at most a [`PATIENCE`]th of what the last commit took, so that it
//! loses next to nothing when nobody comes. One publisher alone never waits.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Failure, GROUP_JOBS, GROUP_KIB, Job, Ledger, Shared, Sync, Transaction};
use crate::state::sqlite::open;

/// The share of a commit's time that a group waits for others.
const PATIENCE: u32 = 8;
const LONGEST_WAIT: Duration = Duration::from_millis(1);

/// The thread.
pub(super) fn serve<L: Ledger>(shared: &Shared<L>, mut jobs: mpsc::Receiver<Job<L>>) {
    let mut open = None;
    let mut last = Last::default();
    while let Some(first) = jobs.blocking_recv() {
        let group = gather(first, &mut jobs, &last);
        let (begun, jobs_in_group) = (Instant::now(), group.len());
        let writer = match open.take() {
            Some(writer) => Ok(writer),
            None => Writer::open(shared),
        };
        let mut writer = match writer {
            Ok(writer) => writer,
            Err(failure) => {
                shared.report(&failure);
                for job in group {
                    (job.work)(Err(failure.clone())).0(Ok(()));
                }
                continue;
            }
        };
        match writer.run(shared, group) {
            Ok(()) => {
                open = Some(writer);
                last = Last { jobs: jobs_in_group, took: begun.elapsed() };
            }
            Err(failure) => shared.report(&failure),
        }
    }
}

/// The last group.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    jobs: usize,
    took: Duration,
}

/// The first job, what waits behind it and who comes back soon, up to the bounds of a group.
fn gather<L>(first: Job<L>, jobs: &mut mpsc::Receiver<Job<L>>, last: &Last) -> Vec<Job<L>> {
    let mut kib = first.kib;
    let mut group = vec![first];
    let mut take = |group: &mut Vec<Job<L>>| {
        while group.len() < GROUP_JOBS
            && kib < GROUP_KIB
            && let Ok(job) = jobs.try_recv()
        {
            kib += job.kib;
            group.push(job);
        }
        group.len() < GROUP_JOBS && kib < GROUP_KIB
    };
    let mut has_room = take(&mut group);
    if last.jobs > 1 || group.len() > 1 {
        let hoped_for = group.len() + last.jobs;
        let patience = (last.took / PATIENCE).min(LONGEST_WAIT);
        let end = Instant::now() + patience;
        while has_room && group.len() < hoped_for && Instant::now() < end {
            thread::park_timeout(patience / 4);
            has_room = take(&mut group);
        }
    }
    group
}

struct Writer {
    connection: Connection,
    sync: Sync,
}

impl Writer {
    fn open<L: Ledger>(shared: &Shared<L>) -> Result<Self, Failure> {
        let connection = open::open(&shared.file, shared.format).map_err(|error| {
            // The text names the file.
            Failure::Unavailable(error.to_string())
        })?;
        let ledger = L::load(&connection)?;
        (shared.told)(&ledger);
        shared.opened.store(true, Ordering::Release);
        // Files that are written by groups begin with `FULL`.
        Ok(Self { connection, sync: Sync::Now })
    }

    /// Runs a group as one transaction and answers all of it; the error is the one that undid it.
    fn run<L: Ledger>(&mut self, shared: &Shared<L>, group: Vec<Job<L>>) -> Result<(), Failure> {
        let sync = group.iter().map(|job| job.sync).max().unwrap_or(Sync::Later);
        let mut transaction = match self.begin(sync) {
            Ok(transaction) => transaction,
            Err(error) => {
                let failure = Failure::from(error);
                for job in group {
                    (job.work)(Err(failure.clone())).0(Ok(()));
                }
                return Err(failure);
            }
        };
        let mut broken = None;
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            let (answer, failure) = (job.work)(match &broken {
                None => Ok(&mut transaction),
                Some(failure) => Err(Failure::clone(failure)),
            });
            answers.push((answer, job.place));
            broken = broken.or(failure);
        }
        let committed = match broken {
            Some(failure) => Err(failure),
            None => commit(&mut transaction).map_err(Failure::from),
        };
        match &committed {
            Ok(()) => (shared.told)(&transaction.ledger),
            // After some errors SQLite has rolled back by itself.
            Err(_) if self.connection.is_autocommit() => {}
            Err(_) => {
                if let Err(error) = execute(&self.connection, "ROLLBACK") {
                    tracing::error!(%error, "{} does not roll back", shared.format.what);
                }
            }
        }
        for (answer, _place) in answers {
            answer(committed.clone());
        }
        committed
    }

    fn begin<L: Ledger>(&mut self, sync: Sync) -> rusqlite::Result<Transaction<'_, L>> {
        if self.sync != sync {
            let level = if sync == Sync::Now { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level)?;
            self.sync = sync;
        }
        execute(&self.connection, "BEGIN IMMEDIATE")?;
        // When this fails the connection is dropped, and the transaction with it.
        let ledger = L::load(&self.connection)?;
        Ok(Transaction { connection: &self.connection, ledger })
    }
}

fn commit<L: Ledger>(transaction: &mut Transaction<'_, L>) -> rusqlite::Result<()> {
    transaction.ledger.store(transaction.connection)?;
    execute(transaction.connection, "COMMIT")
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    // Not `execute`: some of these statements count as queries without rows.
    connection.prepare_cached(sql)?.query([])?.next().map(drop)
}
