//! Results on the thread of a connection, read piece by piece.
//!
//! A result that is not read to its end keeps its statement open, at its place. Statements of one connection do not
//! depend on each other's lifetime, so they stand in a list, and a result is its place in that list.

use std::mem::ManuallyDrop;

use rusqlite::Statement;
use rusqlite::types::ValueRef;

use super::work::{Compiled, Lane, TEMPORARY_BYTES};
use crate::state::{MAX_OPEN_ROWS, MAX_PIECE_ROWS, PIECE_BYTES, SqlError, SqlRow, SqlSettings, SqlValue};

/// Rows of a result, and whether those were the last.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) rows: Vec<SqlRow>,
    pub(super) end: bool,
}

/// The beginning of a result.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) columns: Vec<String>,
    pub(super) first: Piece,
    /// Which one it is, while it is not at its end.
    pub(super) place: Option<usize>,
}

/// The statements of one session that are open.
#[derive(Default)]
pub(super) struct OpenRows<'a>(Vec<Option<Compiled<'a>>>);

impl Lane {
    /// Runs a statement for the beginning of its result: up to `rows` and about `bytes`.
    pub(super) fn query<'a>(
        &'a self,
        open: &mut OpenRows<'a>,
        text: &str,
        parameters: &[SqlValue],
        (rows, bytes): (usize, usize),
        settings: &SqlSettings,
    ) -> Result<Begun, SqlError> {
        if open.0.iter().flatten().count() >= MAX_OPEN_ROWS {
            return Err(SqlError::TooLarge(format!(
                "a transaction has at most {MAX_OPEN_ROWS} unfinished results: read or drop some first"
            )));
        }
        let mut compiled = self.compile(text, settings)?;
        let statement = compiled.get();
        self.bind(statement, parameters, settings)?;
        let columns = statement.column_names().map(str::to_owned).collect();
        let first = self.read(statement, rows, bytes, settings)?;
        let place = (!first.end).then(|| open.keep(compiled));
        Ok(Begun { columns, first, place })
    }

    /// More of a result; the end of one that is closed.
    pub(super) fn next(
        &self,
        open: &mut OpenRows<'_>,
        place: usize,
        max: usize,
        settings: &SqlSettings,
    ) -> Result<Piece, SqlError> {
        let Some(compiled) = open.0.get_mut(place).and_then(Option::as_mut) else {
            return Ok(Piece { rows: Vec::new(), end: true });
        };
        self.guard.begin(TEMPORARY_BYTES);
        let piece = self.read(compiled.get(), max, PIECE_BYTES, settings);
        if piece.as_ref().map_or(true, |piece| piece.end) {
            open.close(place);
        }
        piece
    }

    fn read(
        &self,
        statement: &mut Statement<'_>,
        max: usize,
        max_bytes: usize,
        settings: &SqlSettings,
    ) -> Result<Piece, SqlError> {
        let columns = statement.column_count();
        // Dropping it would take the statement back to its beginning. At its end, and after an error, it has done that.
        let mut rows = ManuallyDrop::new(statement.raw_query());
        let mut piece = Piece::default();
        let mut bytes = 0;
        while piece.rows.len() < max.clamp(1, MAX_PIECE_ROWS) && bytes < max_bytes {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => {
                    piece.end = true;
                    return Ok(piece);
                }
                Err(error) => return Err(self.failure(&error, settings)),
            };
            let mut values = Vec::with_capacity(columns);
            let mut row_bytes = 0_usize;
            for column in 0..columns {
                let value = value(row.get_ref(column).map_err(|error| self.failure(&error, settings))?);
                row_bytes += value.bytes();
                values.push(value);
            }
            // SQLite bounds each value, and the rows of tables; this bounds what a statement puts together.
            if row_bytes as u64 > settings.max_row_size.saturating_add(8 * columns as u64) {
                drop(ManuallyDrop::into_inner(rows));
                return Err(SqlError::TooLarge(format!(
                    "a row has {row_bytes} bytes, at most {} are allowed (sql.maxRowSize): ask for fewer columns",
                    settings.max_row_size
                )));
            }
            bytes += row_bytes;
            piece.rows.push(values);
        }
        Ok(piece)
    }
}

impl<'a> OpenRows<'a> {
    fn keep(&mut self, compiled: Compiled<'a>) -> usize {
        if let Some(free) = self.0.iter().position(Option::is_none)
            && let Some(place) = self.0.get_mut(free)
        {
            *place = Some(compiled);
            return free;
        }
        self.0.push(Some(compiled));
        self.0.len() - 1
    }

    pub(super) fn close(&mut self, place: usize) {
        if let Some(mut compiled) = self.0.get_mut(place).and_then(Option::take) {
            // Back to its beginning, whatever becomes of it.
            drop(compiled.get().raw_query());
        }
    }

    pub(super) fn close_all(&mut self) {
        (0..self.0.len()).for_each(|place| self.close(place));
    }
}

fn value(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Real(number) => SqlValue::Real(number),
        // SQLite takes any bytes for text; the interface does not.
        ValueRef::Text(bytes) => SqlValue::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
    }
}
