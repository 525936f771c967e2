//! The database, as the host gives it.

use super::bindings::database::wharf::service::sql as wit;
use super::events::to_wit;
use crate::Event;
use crate::sql::{Changes, SqlError, Value};

#[derive(Debug)]
pub(crate) struct Rows(wit::Rows);

impl Rows {
    pub(crate) fn columns(&self) -> Vec<String> {
        self.0.columns()
    }

    pub(crate) fn next(&self, max: u32) -> Result<Vec<Vec<Value>>, SqlError> {
        Ok(self.0.next(max)?.into_iter().map(|row| row.into_iter().map(value).collect()).collect())
    }
}

#[derive(Debug)]
pub(crate) struct Transaction(wit::Transaction);

impl Transaction {
    pub(crate) fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Changes, SqlError> {
        Ok(self.0.execute(statement, &values(parameters))?.into())
    }

    pub(crate) fn query(&self, statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
        Ok(Rows(self.0.query(statement, &values(parameters))?))
    }

    pub(crate) fn publish(&self, events: Vec<Event>) -> Result<Vec<String>, SqlError> {
        let events: Vec<_> = events.into_iter().map(to_wit).collect();
        Ok(self.0.publish(&events)?)
    }

    pub(crate) fn commit(&self) -> Result<(), SqlError> {
        Ok(self.0.commit()?)
    }

    pub(crate) fn rollback(&self) -> Result<(), SqlError> {
        Ok(self.0.rollback()?)
    }
}

pub(crate) fn execute(statement: &str, parameters: &[Value]) -> Result<Changes, SqlError> {
    Ok(wit::execute(statement, &values(parameters))?.into())
}

pub(crate) fn query(statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
    Ok(Rows(wit::query(statement, &values(parameters))?))
}

pub(crate) fn begin() -> Result<Transaction, SqlError> {
    Ok(Transaction(wit::begin()?))
}

fn values(values: &[Value]) -> Vec<wit::Value> {
    values
        .iter()
        .map(|value| match value {
            Value::Null => wit::Value::Null,
            Value::Integer(number) => wit::Value::Integer(*number),
            Value::Real(number) => wit::Value::Real(*number),
            Value::Text(text) => wit::Value::Text(text.clone()),
            Value::Blob(bytes) => wit::Value::Blob(bytes.clone()),
        })
        .collect()
}

fn value(value: wit::Value) -> Value {
    match value {
        wit::Value::Null => Value::Null,
        wit::Value::Integer(number) => Value::Integer(number),
        wit::Value::Real(number) => Value::Real(number),
        wit::Value::Text(text) => Value::Text(text),
        wit::Value::Blob(bytes) => Value::Blob(bytes),
    }
}

impl From<wit::Changes> for Changes {
    fn from(wit::Changes { rows, last_insert_id }: wit::Changes) -> Self {
        Self { rows, last_insert_id }
    }
}

impl From<wit::Error> for SqlError {
    fn from(error: wit::Error) -> Self {
        match error {
            wit::Error::Denied(why) => Self::Denied(why),
            wit::Error::Statement(why) => Self::Statement(why),
            wit::Error::Constraint((kind, message)) => Self::Constraint { kind, message },
            wit::Error::Parameter(why) => Self::Parameter(why),
            wit::Error::Full(why) => Self::Full(why),
            wit::Error::Timeout(why) => Self::Timeout(why),
            wit::Error::Closed(why) => Self::Closed(why),
            wit::Error::TooLarge(why) => Self::TooLarge(why),
            wit::Error::Event(why) => Self::Event(why),
            wit::Error::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
