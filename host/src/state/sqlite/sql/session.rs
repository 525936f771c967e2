//! One session on its thread: commands in order, until it is over.
//!
//! The last answer of a session is given after its connection was handed back (it is the *farewell*), so that whoever
//! asks again at once finds the same connection.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use super::guard::Stop;
use super::lane::{Kind, Reply, Session};
use super::outbox;
use super::rows::{Begun, OpenRows, Piece};
use super::shared::Shared;
use super::work::Lane;
use crate::state::{Event, MAX_TRANSACTION_EVENTS, SqlChanges, SqlError, SqlSettings, SqlValue};

/// Rows of a result that are read before anybody asks for them. One that ends within them holds no connection.
pub(super) const FIRST_ROWS: usize = 256;
/// Bytes of those rows.
pub(super) const FIRST_BYTES: usize = 256 << 10;

/// What the host does with a connection.
pub(super) type HostJob = Box<dyn FnOnce(Result<&Lane, SqlError>) -> Farewell + Send>;

/// What a session is asked.
pub(super) enum Command {
    Begin(Reply<()>),
    Execute(String, Vec<SqlValue>, Reply<SqlChanges>),
    Query(String, Vec<SqlValue>, Reply<Begun>),
    Next(usize, usize, Reply<Piece>),
    Close(usize),
    Publish(Vec<Event>, Reply<()>),
    /// Whether events were published in it is the answer.
    Commit(Reply<bool>),
    Rollback(Reply<()>),
    /// A job of the host, which answers by itself.
    Host(HostJob),
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Begin(_) => "Begin",
            Self::Execute(..) => "Execute",
            Self::Query(..) => "Query",
            Self::Next(..) => "Next",
            Self::Close(_) => "Close",
            Self::Publish(..) => "Publish",
            Self::Commit(_) => "Commit",
            Self::Rollback(_) => "Rollback",
            Self::Host(_) => "Host",
        })
    }
}

/// What is said when the connection is free again.
pub(super) type Farewell = Option<Box<dyn FnOnce() + Send>>;

/// Answers the first command with this error.
pub(super) fn refuse(commands: &mpsc::Receiver<Command>, error: &SqlError) {
    if let Ok(command) = commands.try_recv() {
        fail(command, error.clone());
    }
}

fn fail(command: Command, error: SqlError) {
    match command {
        Command::Begin(reply) | Command::Rollback(reply) | Command::Publish(_, reply) => drop(reply.send(Err(error))),
        Command::Execute(_, _, reply) => drop(reply.send(Err(error))),
        Command::Query(_, _, reply) => drop(reply.send(Err(error))),
        Command::Next(_, _, reply) => drop(reply.send(Err(error))),
        Command::Commit(reply) => drop(reply.send(Err(error))),
        Command::Host(job) => {
            if let Some(farewell) = job(Err(error)) {
                farewell();
            }
        }
        Command::Close(_) => {}
    }
}

fn farewell<T: Send + 'static>(reply: Reply<T>, answer: Result<T, SqlError>) -> Farewell {
    Some(Box::new(move || drop(reply.send(answer))))
}

/// Runs the session to its end.
pub(super) fn run(shared: &Shared, lane: &mut Lane, session: &Session) -> Farewell {
    let settings = shared.settings();
    if let Err(error) = lane.configure(&settings) {
        shared.report(&error);
        refuse(&session.commands, &error);
        return None;
    }
    let said = match session.kind {
        Kind::Once => once(shared, lane, session, &settings),
        Kind::Read => read(shared, lane, session, &settings),
        Kind::Transaction => transaction(shared, lane, session, &settings),
    };
    // From here on nobody interrupts the connection in this session's name.
    session.control.disarm();
    lane.roll_back();
    said
}

/// The next command, unless the session's time is over or nobody holds it any more.
fn receive(session: &Session) -> Option<Command> {
    match session.deadline {
        None => session.commands.recv().ok(),
        Some(deadline) => session.commands.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
    }
}

/// One command, and nothing after it.
fn once(shared: &Shared, lane: &Lane, session: &Session, settings: &SqlSettings) -> Farewell {
    match receive(session)? {
        Command::Execute(text, parameters, reply) => {
            if reply.is_closed() {
                return None;
            }
            lane.guard.allow(settings.statement_timeout);
            let done = lane.begin().and_then(|()| {
                let changes = lane.execute(&text, &parameters, settings)?;
                lane.commit()?;
                Ok(changes)
            });
            lane.roll_back();
            shared.measure_log();
            done.as_ref().err().inspect(|error| shared.report(error));
            farewell(reply, done)
        }
        Command::Host(job) => {
            let said = job(Ok(lane));
            shared.measure_log();
            said
        }
        other => {
            fail(other, SqlError::Closed("it is over".to_owned()));
            None
        }
    }
}

/// A query, and then pieces of its result.
fn read(shared: &Shared, lane: &Lane, session: &Session, settings: &SqlSettings) -> Farewell {
    let Some(Command::Query(text, parameters, reply)) = receive(session) else { return None };
    if reply.is_closed() {
        return None;
    }
    let mut open = OpenRows::default();
    lane.guard.allow(settings.statement_timeout);
    let schema = lane.gate.count();
    let begun = match lane.query(&mut open, &text, &parameters, (FIRST_ROWS, FIRST_BYTES), settings) {
        Ok(begun) => begun,
        Err(error) => {
            shared.report(&error);
            return farewell(reply, Err(error));
        }
    };
    let Some(place) = begun.place else {
        lane.learn(&text, schema);
        return farewell(reply, Ok(begun));
    };
    // Others that only want a few rows must not wait until this one is read.
    let Ok(_stream) = Arc::clone(&shared.streams).try_acquire_owned() else {
        open.close_all();
        let error = "too many large results are being read: try again, or ask for less at once".to_owned();
        return farewell(reply, Err(SqlError::Timeout(error)));
    };
    let said = match reply.send(Ok(begun)) {
        Ok(()) => pieces(shared, lane, session, settings, &mut open),
        Err(_) => None,
    };
    open.close(place);
    said
}

/// Pieces of a result, until its end.
fn pieces<'a>(
    shared: &Shared,
    lane: &'a Lane,
    session: &Session,
    settings: &SqlSettings,
    open: &mut OpenRows<'a>,
) -> Farewell {
    loop {
        match receive(session)? {
            Command::Next(place, max, reply) => {
                lane.guard.allow(settings.statement_timeout);
                let piece = lane.next(open, place, max, settings);
                piece.as_ref().err().inspect(|error| shared.report(error));
                if !matches!(&piece, Ok(piece) if !piece.end) {
                    return farewell(reply, piece);
                }
                reply.send(piece).ok()?;
            }
            Command::Close(_) => return None,
            other => fail(other, SqlError::Closed("it is a result".to_owned())),
        }
    }
}

/// A transaction, until it is committed, rolled back, lost or held for too long.
fn transaction(shared: &Shared, lane: &Lane, session: &Session, settings: &SqlSettings) -> Farewell {
    let mut open = OpenRows::default();
    let said = commands(shared, lane, session, settings, &mut open);
    open.close_all();
    lane.roll_back();
    shared.measure_log();
    said
}

fn commands<'a>(
    shared: &Shared,
    lane: &'a Lane,
    session: &Session,
    settings: &SqlSettings,
    open: &mut OpenRows<'a>,
) -> Farewell {
    let Some(Command::Begin(reply)) = receive(session) else { return None };
    lane.guard.allow(settings.statement_timeout);
    if let Err(error) = lane.begin() {
        shared.report(&error);
        return farewell(reply, Err(error));
    }
    reply.send(Ok(())).ok()?;
    let mut events = 0;
    while let Some(command) = receive(session) {
        lane.guard.allow(settings.statement_timeout);
        match command {
            Command::Execute(text, parameters, reply) => {
                let done = lane.execute(&text, &parameters, settings);
                done.as_ref().err().inspect(|error| shared.report(error));
                if is_over(lane, session) {
                    return farewell(reply, done);
                }
                drop(reply.send(done));
            }
            Command::Query(text, parameters, reply) => {
                let begun = lane.query(open, &text, &parameters, (FIRST_ROWS, FIRST_BYTES), settings);
                begun.as_ref().err().inspect(|error| shared.report(error));
                if is_over(lane, session) {
                    return farewell(reply, begun);
                }
                drop(reply.send(begun));
            }
            Command::Next(place, max, reply) => {
                let piece = lane.next(open, place, max, settings);
                if is_over(lane, session) {
                    return farewell(reply, piece);
                }
                drop(reply.send(piece));
            }
            Command::Close(place) => open.close(place),
            Command::Publish(more, reply) => {
                events += more.len();
                let put = if events > MAX_TRANSACTION_EVENTS {
                    Err(SqlError::TooLarge(format!(
                        "a transaction publishes at most {MAX_TRANSACTION_EVENTS} events: commit, and begin another"
                    )))
                } else {
                    outbox::put(lane, settings, &more)
                };
                put.as_ref().err().inspect(|error| shared.report(error));
                if put.is_err() {
                    // A part of them may be there.
                    return farewell(reply, put);
                }
                drop(reply.send(put));
            }
            Command::Commit(reply) => {
                open.close_all();
                let committed = lane.commit().map(|()| events > 0);
                committed.as_ref().err().inspect(|error| shared.report(error));
                return farewell(reply, committed);
            }
            Command::Rollback(reply) => {
                open.close_all();
                lane.roll_back();
                return farewell(reply, Ok(()));
            }
            Command::Begin(reply) => drop(reply.send(Err(SqlError::Closed("it has begun".to_owned())))),
            Command::Host(job) => drop(job(Err(SqlError::Closed("it is a transaction".to_owned())))),
        }
    }
    None
}

/// Whether nothing more can happen in the transaction: SQLite has undone it, or somebody wants it to end.
fn is_over(lane: &Lane, session: &Session) -> bool {
    lane.is_lost() || matches!(session.control.sign.get(), Stop::Transaction | Stop::Unwanted)
}
