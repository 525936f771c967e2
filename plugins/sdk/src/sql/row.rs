//! Results: a row, what is made of one, and the rows of a result one after the other.

use std::rc::Rc;

use super::{FromValue, SqlError, Value};
use crate::platform::sql as host;

/// Rows that are fetched at once.
const PIECE: u32 = 256;

/// A row of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The value of the column with this name.
    ///
    /// # Errors
    /// When there is no such column, or its value is no `T`.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, SqlError> {
        let at = self.columns.iter().position(|name| name == column);
        self.at(at.ok_or_else(|| SqlError::Column(format!("the result has no column `{column}`")))?)
    }

    /// The value of a column by its place, from 0.
    ///
    /// # Errors
    /// When there is no such column, or its value is no `T`.
    pub fn at<T: FromValue>(&self, place: usize) -> Result<T, SqlError> {
        let name = || self.columns.get(place).cloned().unwrap_or_else(|| place.to_string());
        let value = self.values.get(place);
        let value = value.ok_or_else(|| SqlError::Column(format!("the result has no column {}", name())))?;
        T::from_value(value).ok_or_else(|| {
            let kind = std::any::type_name::<T>();
            SqlError::Column(format!("column `{}` has {value:?}, which is no {kind}", name()))
        })
    }
}

/// Made of a row: tuples of up to eight values by the order of columns, and what a service says itself.
pub trait FromRow: Sized {
    /// The row as this.
    ///
    /// # Errors
    /// When a column is missing or has another kind of value.
    fn from_row(row: &Row) -> Result<Self, SqlError>;
}

impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(row.clone())
    }
}

macro_rules! tuples {
    ($($name:ident $place:tt),+) => {
        impl<$($name: FromValue),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row) -> Result<Self, SqlError> {
                Ok(($(row.at::<$name>($place)?,)+))
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A result, row by row. Rows are fetched piece by piece, so a large result needs little memory.
#[derive(Debug)]
pub struct Rows {
    rows: host::Rows,
    columns: Rc<[String]>,
    ready: std::vec::IntoIter<Vec<Value>>,
    over: bool,
}

impl Rows {
    pub(super) fn new(rows: host::Rows) -> Self {
        let columns = rows.columns().into();
        Self { rows, columns, ready: Vec::new().into_iter(), over: false }
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn collect_as<T: FromRow>(self) -> Result<Vec<T>, SqlError> {
        self.map(|row| T::from_row(&row?)).collect()
    }

    pub(super) fn first<T: FromRow>(mut self) -> Result<Option<T>, SqlError> {
        self.next().map(|row| T::from_row(&row?)).transpose()
    }
}

impl Iterator for Rows {
    type Item = Result<Row, SqlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.len() == 0 && !self.over {
            match self.rows.next(PIECE) {
                Ok(piece) => {
                    self.over = piece.is_empty();
                    self.ready = piece.into_iter();
                }
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(Row { columns: Rc::clone(&self.columns), values: self.ready.next()? }))
    }
}
