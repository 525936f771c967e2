//! Migrations: steps of a schema, each applied once, in a transaction of its own, with a note of its checksum.
//!
//! Their text is the component's, so it runs as any statement of the service does: nothing in it reaches the host's
//! tables or another file. Statements are compiled one at a time, each after the one before it has run.

use std::time::{Duration, SystemTime};

use rusqlite::{Batch, fallible_iterator::FallibleIterator, params};
use sha2::{Digest, Sha256};

use super::failure;
use super::work::Lane;
use crate::state::{AppliedMigration, Migration, MigrationError, SqlError, SqlSettings};

/// What the database has had.
pub(super) fn applied(lane: &Lane) -> Result<Vec<AppliedMigration>, SqlError> {
    lane.host(|connection| {
        connection
            .prepare("SELECT number, name, checksum, applied FROM _wharf_migrations ORDER BY number")?
            .query_map([], |row| {
                let millis: i64 = row.get(3)?;
                Ok(AppliedMigration {
                    number: row.get(0)?,
                    name: row.get(1)?,
                    checksum: row.get(2)?,
                    applied: SystemTime::UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs()),
                })
            })?
            .collect()
    })
}

/// Compares what was applied with what is to be, before anything happens.
pub(super) fn check(applied: &[AppliedMigration], migrations: &[Migration]) -> Result<(), MigrationError> {
    for had in applied {
        if let Some(now) = migrations.iter().find(|migration| migration.number == had.number)
            && checksum(now) != had.checksum
        {
            return Err(MigrationError::Changed { name: now.name.clone(), applied: had.name.clone() });
        }
    }
    Ok(())
}

pub(super) fn checksum(migration: &Migration) -> [u8; 32] {
    Sha256::digest(migration.sql.as_bytes()).into()
}

/// Applies one.
pub(super) fn apply(
    lane: &Lane,
    migration: &Migration,
    settings: &SqlSettings,
) -> Result<AppliedMigration, MigrationError> {
    lane.begin().map_err(MigrationError::Unavailable)?;
    statements(lane, migration, settings)?;
    let applied = AppliedMigration {
        number: migration.number,
        name: migration.name.clone(),
        checksum: checksum(migration),
        applied: SystemTime::now(),
    };
    let millis = applied.applied.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let noted = lane.host(|connection| {
        connection.prepare("INSERT INTO _wharf_migrations VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            applied.number,
            applied.name,
            applied.checksum,
            i64::try_from(millis).unwrap_or(i64::MAX),
        ])
    });
    let committed = noted.and_then(|_| lane.commit());
    committed.map_err(|error| match error {
        SqlError::Unavailable(_) => MigrationError::Unavailable(error),
        // At the end of its transaction: a deferred foreign key, the host's names, or no room for the note.
        error => MigrationError::Statement {
            name: migration.name.clone(),
            line: migration.sql.lines().count().max(1),
            message: error.to_string(),
        },
    })?;
    Ok(applied)
}

fn statements(lane: &Lane, migration: &Migration, settings: &SqlSettings) -> Result<(), MigrationError> {
    let sql = &migration.sql;
    let mut batch = Batch::new(&lane.connection, sql);
    // Where the next statement's text begins.
    let mut at = 0;
    loop {
        lane.guard.begin(u64::MAX);
        let mut statement = match batch.next() {
            Ok(Some(statement)) => statement,
            Ok(None) => return Ok(()),
            Err(error) => {
                let (begins, offset) = match &error {
                    rusqlite::Error::SqlInputError { sql: rest, offset, .. } => {
                        (sql.len().saturating_sub(rest.len()), usize::try_from(*offset).unwrap_or(0))
                    }
                    _ => (at, 0),
                };
                let place = if offset == 0 { skip_blank(sql, begins) } else { begins + offset };
                return Err(wrong(lane, migration, place, &error, settings));
            }
        };
        let begins = skip_blank(sql, at);
        // Without parameters, this is the text itself.
        at += statement.expanded_sql().map_or(0, |text| text.len());
        let run = run(&mut statement);
        drop(statement);
        run.map_err(|error| wrong(lane, migration, begins, &error, settings))?;
    }
}

fn run(statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<()> {
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

fn wrong(
    lane: &Lane,
    migration: &Migration,
    place: usize,
    error: &rusqlite::Error,
    settings: &SqlSettings,
) -> MigrationError {
    let line = migration.sql.bytes().take(place).filter(|&byte| byte == b'\n').count() + 1;
    let message = match failure::of_statement(error, &lane.guard, settings) {
        unavailable @ SqlError::Unavailable(_) => return MigrationError::Unavailable(unavailable),
        SqlError::Timeout(_) => {
            format!("it took longer than sql.migrationTimeout ({:?}) and was ended", settings.migration_timeout)
        }
        other => other.to_string(),
    };
    MigrationError::Statement { name: migration.name.clone(), line, message }
}

/// The first byte from `at` on that belongs to a statement: behind blanks and comments.
fn skip_blank(sql: &str, mut at: usize) -> usize {
    loop {
        let rest = sql.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let comment = match trimmed {
            line if line.starts_with("--") => line.find('\n').map(|end| end + 1),
            block if block.starts_with("/*") => block.find("*/").map(|end| end + 2),
            _ => return at,
        };
        match comment {
            Some(length) => at += length,
            None => return at,
        }
    }
}
