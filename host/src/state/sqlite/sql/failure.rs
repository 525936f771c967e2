//! What a failure of SQLite means to a service.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::guard::{Guard, Stop};
use crate::state::{SqlError, SqlSettings};

/// What stopped a statement.
pub(super) fn stopped(why: Stop, settings: &SqlSettings) -> SqlError {
    match why {
        Stop::Transaction => expired(settings),
        Stop::Unwanted => SqlError::Closed("it was dropped".to_owned()),
        Stop::Temporary => SqlError::TooLarge(
            "the statement needs too much temporary space: sort or group less, or add an index".to_owned(),
        ),
        Stop::Statement | Stop::No => SqlError::Timeout(format!(
            "the statement took longer than sql.statementTimeout ({:?}) and was ended",
            settings.statement_timeout
        )),
    }
}

/// A transaction or result was held too long.
pub(super) fn expired(settings: &SqlSettings) -> SqlError {
    SqlError::Closed(format!(
        "it was held for longer than sql.transactionTimeout ({:?}) and was ended",
        settings.transaction_timeout
    ))
}

/// The error of a statement of a service.
pub(super) fn of_statement(error: &rusqlite::Error, guard: &Guard, settings: &SqlSettings) -> SqlError {
    let (code, extended, message) = match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            (code.code, code.extended_code, message.clone().unwrap_or_else(|| code.to_string()))
        }
        rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
            let message = if *offset > 0 { format!("{msg} (at byte {offset})") } else { msg.clone() };
            (error.code, error.extended_code, message)
        }
        rusqlite::Error::MultipleStatement => {
            return SqlError::Statement("only one statement at a time".to_owned());
        }
        rusqlite::Error::NulError(_) => {
            return SqlError::Statement("a statement has no zero bytes".to_owned());
        }
        other => return SqlError::Unavailable(other.to_string()),
    };
    match code {
        ErrorCode::ConstraintViolation => SqlError::Constraint { kind: constraint(extended).to_owned(), message },
        ErrorCode::OperationInterrupted => stopped(guard.stopped(), settings),
        ErrorCode::AuthorizationForStatementDenied => SqlError::Statement(guard.take_denied().unwrap_or(message)),
        ErrorCode::DiskFull => full(settings),
        ErrorCode::TooBig => SqlError::TooLarge(format!(
            "a value, row or statement is larger than it may be: values and rows have at most {} bytes \
             (sql.maxRowSize), statements {}",
            settings.max_row_size,
            crate::state::MAX_STATEMENT_BYTES
        )),
        ErrorCode::OutOfMemory => SqlError::TooLarge("the statement needs too much memory".to_owned()),
        ErrorCode::ReadOnly => SqlError::Statement(
            "query only reads: use execute, or a transaction for a statement that writes and gives rows".to_owned(),
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            SqlError::Timeout("another program has the database locked".to_owned())
        }
        // What the authorizer denies inside of a view or trigger comes as a plain error with its words.
        ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::NotFound | ErrorCode::ParameterOutOfRange => {
            SqlError::Statement(guard.take_denied().unwrap_or(message))
        }
        ErrorCode::InternalMalfunction
        | ErrorCode::PermissionDenied
        | ErrorCode::OperationAborted
        | ErrorCode::SystemIoFailure
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::SchemaChanged
        | ErrorCode::ApiMisuse
        | ErrorCode::NoLargeFileSupport
        | ErrorCode::NotADatabase => SqlError::Unavailable(message),
        _ => SqlError::Unavailable(message),
    }
}

/// The quota is used up.
pub(super) fn full(settings: &SqlSettings) -> SqlError {
    SqlError::Full(format!(
        "the database is full: its quota is {} bytes (sql.quota); delete rows or raise it",
        settings.quota
    ))
}

/// The name of a violated constraint.
fn constraint(extended: i32) -> &'static str {
    match extended {
        ffi::SQLITE_CONSTRAINT_CHECK => "CHECK",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "FOREIGNKEY",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "NOTNULL",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "ROWID",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "TRIGGER",
        ffi::SQLITE_CONSTRAINT_UNIQUE => "UNIQUE",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "DATATYPE",
        _ => "CONSTRAINT",
    }
}
