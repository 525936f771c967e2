//! The thread that writes: takes jobs in order, groups them into transactions, answers after the commit.

use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{Failure, GROUP_JOBS, GROUP_KIB, Job, Ledger, Shared, Sync, Transaction};
use crate::state::sqlite::open;

/// The thread.
pub(super) fn serve<L: Ledger>(shared: &Shared<L>, mut jobs: mpsc::Receiver<Job<L>>) {
    let mut open = None;
    while let Some(first) = jobs.blocking_recv() {
        let group = gather(first, &mut jobs);
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
            Ok(()) => open = Some(writer),
            Err(failure) => shared.report(&failure),
        }
    }
}

/// The first job and what waits behind it, up to the bounds of a group.
fn gather<L>(first: Job<L>, jobs: &mut mpsc::Receiver<Job<L>>) -> Vec<Job<L>> {
    let mut kib = first.kib;
    let mut group = vec![first];
    while group.len() < GROUP_JOBS
        && kib < GROUP_KIB
        && let Ok(job) = jobs.try_recv()
    {
        kib += job.kib;
        group.push(job);
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
