//! The near end of a session, as an executor's thread holds it: a result, a transaction, and waiting for an answer.
//!
//! Whoever waits also stops: an answer that takes too long, or that nobody waits for any more, has its session's work
//! stopped. Dropping the near end ends the session.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::changed::Changed;
use super::control::Control;
use super::failure;
use super::guard::Stop;
use super::lane::Reply;
use super::rows::Begun;
use super::session::Command;
use super::shared::Shared;
use crate::state::{Event, SqlChanges, SqlError, SqlRow, SqlRows, SqlTransaction, SqlValue};

/// The near end of a session. Dropping it ends the session, in the middle of a statement too.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    pub(super) control: Arc<Control>,
    deadline: Instant,
}

impl Handle {
    pub(super) fn new(
        shared: &Arc<Shared>,
        commands: mpsc::Sender<Command>,
        control: Arc<Control>,
        deadline: Instant,
    ) -> Self {
        Self { shared: Arc::clone(shared), commands: Mutex::new(Some(commands)), control, deadline }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SqlError> {
        let settings = self.shared.settings();
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        let until = Instant::now() + settings.statement_timeout;
        let (until, why) =
            if self.deadline < until { (self.deadline, Stop::Transaction) } else { (until, Stop::Statement) };
        wait(&self.shared, &self.control, answer, until, why).await
    }

    fn send(&self, command: Command) -> Result<(), SqlError> {
        let over = || {
            if Instant::now() >= self.deadline {
                failure::expired(&self.shared.settings())
            } else {
                SqlError::Closed("it is over: committed, rolled back, or undone after an error".to_owned())
            }
        };
        self.commands().as_ref().ok_or_else(over)?.send(command).map_err(|_ended| over())
    }

    fn is_open(&self) -> bool {
        !self.control.is_over() && self.commands().is_some()
    }

    fn close(&self) {
        if self.commands().take().is_some() {
            self.control.stop(Stop::Unwanted);
        }
    }

    fn commands(&self) -> MutexGuard<'_, Option<mpsc::Sender<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// A result.
#[derive(Debug)]
pub(super) struct SqliteRows {
    columns: Vec<String>,
    /// Rows that were read already.
    ready: Mutex<VecDeque<SqlRow>>,
    /// Where the others come from, and which of its results it is.
    rest: Mutex<Option<(Arc<Handle>, usize)>>,
}

impl SqliteRows {
    pub(super) fn new(handle: Arc<Handle>, begun: Begun) -> Self {
        let rest = begun.place.map(|place| (handle, place));
        Self::begun(begun, rest)
    }

    /// A result that is there already.
    pub(super) fn whole(begun: Begun) -> Self {
        Self::begun(begun, None)
    }

    fn begun(begun: Begun, rest: Option<(Arc<Handle>, usize)>) -> Self {
        Self { columns: begun.columns, ready: Mutex::new(begun.first.rows.into()), rest: Mutex::new(rest) }
    }

    fn rest(&self) -> MutexGuard<'_, Option<(Arc<Handle>, usize)>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_ready(&self, max: usize) -> Vec<SqlRow> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let count = max.clamp(1, crate::state::MAX_PIECE_ROWS).min(ready.len());
        ready.drain(..count).collect()
    }
}

#[async_trait]
impl SqlRows for SqliteRows {
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    async fn next(&self, max: usize) -> Result<Vec<SqlRow>, SqlError> {
        let ready = self.take_ready(max);
        if !ready.is_empty() {
            return Ok(ready);
        }
        let Some((handle, place)) = self.rest().clone() else { return Ok(Vec::new()) };
        let piece = handle.ask(|reply| Command::Next(place, max, reply)).await?;
        if piece.end {
            self.rest().take();
        }
        Ok(piece.rows)
    }

    fn is_open(&self) -> bool {
        self.rest().as_ref().is_some_and(|(handle, _)| handle.is_open())
    }

    fn close(&self) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some((handle, place)) = self.rest().take() {
            // Over already, maybe.
            let _ = handle.send(Command::Close(place));
        }
    }
}

impl Drop for SqliteRows {
    fn drop(&mut self) {
        self.close();
    }
}

/// A transaction.
#[derive(Debug)]
pub(super) struct SqliteTransaction {
    pub(super) handle: Arc<Handle>,
    pub(super) changed: Arc<Changed>,
}

#[async_trait]
impl SqlTransaction for SqliteTransaction {
    async fn execute(&self, statement: String, parameters: Vec<SqlValue>) -> Result<SqlChanges, SqlError> {
        self.handle.ask(|reply| Command::Execute(statement, parameters, reply)).await
    }

    async fn query(&self, statement: String, parameters: Vec<SqlValue>) -> Result<Arc<dyn SqlRows>, SqlError> {
        let begun = self.handle.ask(|reply| Command::Query(statement, parameters, reply)).await?;
        Ok(Arc::new(SqliteRows::new(Arc::clone(&self.handle), begun)))
    }

    async fn publish(&self, events: Vec<Event>) -> Result<(), SqlError> {
        self.handle.ask(|reply| Command::Publish(events, reply)).await
    }

    async fn commit(&self) -> Result<(), SqlError> {
        let published = self.handle.ask(Command::Commit).await?;
        if published {
            self.changed.note([self.handle.shared.service.clone()]);
        }
        Ok(())
    }

    async fn rollback(&self) -> Result<(), SqlError> {
        self.handle.ask(Command::Rollback).await
    }

    fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    fn close(&self) {
        self.handle.close();
    }
}

/// Waits for an answer; stops the session's work when it takes too long or nobody waits any more.
pub(super) async fn wait<T>(
    shared: &Shared,
    control: &Control,
    answer: oneshot::Receiver<Result<T, SqlError>>,
    until: Instant,
    why: Stop,
) -> Result<T, SqlError> {
    struct Unwanted<'a>(Option<&'a Control>);
    impl Drop for Unwanted<'_> {
        fn drop(&mut self) {
            if let Some(control) = self.0 {
                control.stop(Stop::Unwanted);
            }
        }
    }
    let mut unwanted = Unwanted(Some(control));
    let mut answer = answer;
    let answered = match tokio::time::timeout_at(until.into(), &mut answer).await {
        Ok(answered) => answered,
        Err(_elapsed) => {
            control.stop(why);
            answer.await
        }
    };
    unwanted.0 = None;
    // Without an answer the session ended first, which only its time does.
    answered.unwrap_or_else(|_ended| Err(failure::expired(&shared.settings())))
}
