//! `wharf sql`: a look into the database of a service.
//!
//! It opens the file itself, beside a running host or without one, with all that keeps a service's own statements in
//! their bounds: reading only, no other file, none of the host's tables. Why not by the admin API: that one answers
//! whoever reaches it on this machine, while the state belongs to whoever may read its files.
//!
//! Bounds: rows by `--limit`, bytes by `MOST_BYTES`, and 30 seconds. What a service wrote is escaped on a terminal.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::asker::shown;
use super::backup::state_dir;
use super::events::lines;
use super::rollout::align;
use crate::config::{Problems, Source};
use crate::state::backup::{BackupError, StateLock};
use crate::state::sqlite::SqliteState;
use crate::state::{Durability, SqlDatabase, SqlEngine, SqlError, SqlRow, SqlSettings, SqlValue};

/// The most rows that are asked for.
pub const MOST_ROWS: u32 = 100_000;
/// No further row is read when there are so many bytes.
const MOST_BYTES: usize = 16 << 20;
/// Characters of a value in a table.
const WIDEST: usize = 60;
/// What has to wait for the file, and reads much, may take so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rows that are read at once.
const PIECE: usize = 100;
/// Bytes of a value, which no service can exceed.
const LARGEST: u64 = 64 << 20;

const TABLES: &str = "SELECT type, name, sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_wharf\\_%' ESCAPE '\\'
    ORDER BY type = 'index', name";

/// Why nothing was shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong, so it is not known where the state is.
    #[error("the configuration is not valid (give the state directory with --state instead)\n{0}")]
    Problems(#[from] Problems),
    /// The state is being restored.
    #[error(transparent)]
    State(#[from] BackupError),
    /// There is no such database.
    #[error("the service `{}` has no database in {}{}", shown(.service), .root.display(), these(.others))]
    None {
        /// The service.
        service: String,
        /// Where the state is.
        root: PathBuf,
        /// Those that have one.
        others: Vec<String>,
    },
    /// The database does not do it.
    #[error("{0}")]
    Sql(String),
    /// Printing failed, or there is no runtime.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        // Names and texts of the service stand in it. Not as a source: that would be told as it is.
        let said = error.to_string();
        Self::Sql(for_people(&said).map_or_else(|| safe(&said), str::to_owned))
    }
}

/// What the engine tells services about interfaces that a person at a terminal does not have, said for that person.
fn for_people(said: &str) -> Option<&'static str> {
    const INSTEAD: [(&str, &str); 3] = [
        ("query only reads", "only statements that read are run here: data is changed by its service or a migration"),
        ("ATTACH, DETACH and VACUUM", "ATTACH, DETACH and VACUUM are not run here: one statement that reads is"),
        ("BEGIN, COMMIT, ROLLBACK", "there are no transactions here: one statement that reads is run"),
    ];
    INSTEAD.iter().find(|(theirs, _)| said.contains(theirs)).map(|(_, instead)| *instead)
}

/// What is asked.
#[derive(Debug)]
pub struct Asked {
    /// Whose database.
    pub service: String,
    /// One statement that reads; without, what there is.
    pub statement: Option<String>,
    /// Rows at most.
    pub limit: u32,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// A result, as much of it as is shown.
#[derive(Debug)]
struct Found {
    columns: Vec<String>,
    rows: Vec<SqlRow>,
    more: bool,
}

/// Asks the database and prints its answer.
///
/// # Errors
/// When there is no such database, the statement is not one that reads, or nothing can be printed.
pub fn run(source: &Source, state: Option<PathBuf>, asked: &Asked, out: &mut dyn Write) -> Result<(), Error> {
    let root = state_dir(source, state)?;
    let database = open(&root, &asked.service)?;
    // Nobody puts a backup in its place meanwhile.
    let _lock = StateLock::shared(&root)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let statement = asked.statement.as_deref().unwrap_or(TABLES);
    let found = runtime.block_on(read(&*database, statement, usize::try_from(asked.limit).unwrap_or(usize::MAX)))?;
    match (asked.json, &asked.statement) {
        (true, _) => print_json(&found, out)?,
        (false, Some(_)) => print_table(&found, out)?,
        (false, None) => print_schema(&found, out)?,
    }
    Ok(())
}

fn open(root: &Path, service: &str) -> Result<Arc<dyn SqlDatabase>, Error> {
    let state = SqliteState::new(root);
    let mut others = state.services_with_database();
    if !others.iter().any(|other| other == service) {
        others.sort();
        return Err(Error::None { service: service.to_owned(), root: root.to_owned(), others });
    }
    let settings = SqlSettings {
        quota: 0,
        statement_timeout: PATIENCE,
        transaction_timeout: PATIENCE,
        migration_timeout: PATIENCE,
        max_row_size: LARGEST,
        durability: Durability::Full,
    };
    Ok(state.database(service, settings))
}

async fn read(database: &dyn SqlDatabase, statement: &str, limit: usize) -> Result<Found, SqlError> {
    let rows = database.query(statement.to_owned(), Vec::new()).await?;
    let mut found = Found { columns: rows.columns(), rows: Vec::new(), more: false };
    let mut bytes = 0;
    loop {
        // One more than is shown: then it is known whether there are more.
        let wanted = limit.saturating_sub(found.rows.len()).saturating_add(1).min(PIECE);
        let piece = rows.next(wanted).await?;
        if piece.is_empty() {
            return Ok(found);
        }
        for row in piece {
            if found.rows.len() >= limit || bytes >= MOST_BYTES {
                found.more = true;
                return Ok(found);
            }
            bytes += row.iter().map(SqlValue::bytes).sum::<usize>();
            found.rows.push(row);
        }
    }
}

fn print_json(found: &Found, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<Vec<Value>> = found.rows.iter().map(|row| row.iter().map(as_json).collect()).collect();
    writeln!(out, "{:#}", json!({ "columns": found.columns, "rows": rows, "more": found.more }))
}

/// Numbers that JSON does not have are texts; bytes are an object, so that they are not taken for text.
fn as_json(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => json!(number),
        SqlValue::Real(number) if number.is_finite() => json!(number),
        SqlValue::Real(number) => json!(number.to_string()),
        SqlValue::Text(text) => json!(text),
        SqlValue::Blob(bytes) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// What the tables are made by, as it was written.
fn print_schema(found: &Found, out: &mut dyn Write) -> io::Result<()> {
    if found.rows.is_empty() {
        return writeln!(out, "no tables");
    }
    for row in &found.rows {
        if let Some(SqlValue::Text(made_by)) = row.last() {
            writeln!(out, "{};", lines(made_by))?;
        }
    }
    Ok(())
}

fn print_table(found: &Found, out: &mut dyn Write) -> io::Result<()> {
    let mut rows: Vec<Vec<String>> = vec![found.columns.iter().map(|name| cut(name)).collect()];
    rows.extend(found.rows.iter().map(|row| row.iter().map(as_text).collect()));
    align(&rows, "", out)?;
    let count = found.rows.len();
    match (count, found.more) {
        (_, true) => writeln!(out, "\nthe first {count} rows; there are more (--limit)"),
        (0, false) => writeln!(out, "\nno rows"),
        (1, false) => writeln!(out, "\n1 row"),
        (_, false) => writeln!(out, "\n{count} rows"),
    }
}

fn as_text(value: &SqlValue) -> String {
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => cut(text),
        SqlValue::Blob(bytes) => {
            let hex: String = bytes.iter().take(WIDEST / 2).map(|byte| format!("{byte:02x}")).collect();
            format!("x'{hex}{}", if bytes.len() > WIDEST / 2 { "…" } else { "'" })
        }
    }
}

/// On one line and not too wide, whatever a service wrote.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", safe(text.get(..end).unwrap_or_default())),
        None => safe(text),
    }
}

/// On one line. Quotes are left as they are: SQL is full of them.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\'' | '"') { safe.push(c) } else { safe.extend(c.escape_debug()) }
    }
    safe
}

fn these(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!("; these have one: {}", shown(&others.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_short_and_cannot_change_the_terminal() {
        assert_eq!(as_text(&SqlValue::Text("it's\n\u{1b}[2J ü…".into())), "it's\\n\\u{1b}[2J ü…");
        assert_eq!(as_text(&SqlValue::Text("x".repeat(61))), format!("{}…", "x".repeat(60)));
        assert_eq!(as_text(&SqlValue::Blob(vec![0, 255])), "x'00ff'");
        assert_eq!(as_text(&SqlValue::Real(2.0)), "2.0");
        assert_eq!(as_json(&SqlValue::Real(f64::INFINITY)), json!("inf"));
        assert_eq!(as_json(&SqlValue::Blob(vec![1])), json!({ "base64": "AQ==" }));
    }
}
