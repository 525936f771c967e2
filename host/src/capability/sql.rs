//! `wharf:service/sql`: the service's own database.
//!
//! What a database keeps and how it is bounded stands in [`crate::state`]; here handles become transactions and results,
//! and errors what a guest may read. Whatever a request leaves open ends with it, in reused slots too: the slot knows all
//! transactions and results of the request that it serves.
//!
//! A request has one transaction at a time. It may not write beside it, or begin another: both would wait for the first,
//! which goes on only when they have answered. So they are refused at once instead of after `sql.statementTimeout`.

use std::sync::{Arc, Weak};

use wasmtime::component::{Resource, ResourceTableError};

use super::CapabilityView;
use super::bindings::events::wharf::service::events::Event;
use super::bindings::sql::wharf::service::sql as wit;
use super::bus::{NewEvent, PublishError};
use super::events::NO_BUS;
use crate::state::{SqlChanges, SqlDatabase, SqlError, SqlRows, SqlTransaction, SqlValue};

/// Most results of a request, outside of its transaction, that hold a connection because they are not read to the end.
const MAX_STREAMS: usize = 3;

/// The host's side of the resource `rows`.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it with pub")]
pub struct Rows(Arc<dyn SqlRows>);

/// The host's side of the resource `transaction`.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it with pub")]
pub struct Transaction(Arc<dyn SqlTransaction>);

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Error(wit::Error),
    /// The guest used a handle that it doesn't have.
    Trap(wasmtime::Error),
}

/// What the request in progress has open.
#[derive(Debug, Default)]
pub(super) struct RequestSql {
    rows: Vec<Weak<dyn SqlRows>>,
    transaction: Option<Weak<dyn SqlTransaction>>,
}

impl RequestSql {
    /// Ends all of it.
    pub(super) fn close(&mut self) {
        self.rows.drain(..).filter_map(|rows| rows.upgrade()).for_each(|rows| rows.close());
        if let Some(transaction) = self.transaction.take().and_then(|transaction| transaction.upgrade()) {
            transaction.close();
        }
    }

    fn has_transaction(&self) -> bool {
        self.transaction.as_ref().and_then(Weak::upgrade).is_some_and(|transaction| transaction.is_open())
    }

    /// Results that hold a connection; the others are forgotten, but for those that can still be read.
    fn streams(&mut self) -> usize {
        self.rows.retain(|rows| rows.upgrade().is_some_and(|rows| rows.is_open()));
        self.rows.len()
    }
}

impl From<wit::Error> for Failure {
    fn from(error: wit::Error) -> Self {
        Self::Error(error)
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        let text = error.to_string();
        Self::Error(match error {
            SqlError::Statement(_) => wit::Error::Statement(text),
            SqlError::Constraint { kind, message } => wit::Error::Constraint((kind, message)),
            SqlError::Parameter(_) => wit::Error::Parameter(text),
            SqlError::Full(_) => wit::Error::Full(text),
            SqlError::Timeout(_) => wit::Error::Timeout(text),
            SqlError::Closed(_) => wit::Error::Closed(text),
            SqlError::TooLarge(_) => wit::Error::TooLarge(text),
            SqlError::Unavailable(_) => {
                wit::Error::Unavailable("the database is not available, the log of the host says why".to_owned())
            }
        })
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let text = error.to_string();
        Self::Error(match error {
            PublishError::Denied(_) | PublishError::Invalid(_) | PublishError::ChainTooLong(_) => {
                wit::Error::Event(text)
            }
            PublishError::Full(_) | PublishError::TooFast(_) => wit::Error::Full(text),
            PublishError::Unavailable(_) => wit::Error::Unavailable(text),
        })
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => {
                wit::Error::TooLarge("too many open handles; drop some first".to_owned()).into()
            }
            _ => Self::Trap(error.into()),
        }
    }
}

impl CapabilityView<'_> {
    fn database(&self) -> Result<Arc<dyn SqlDatabase>, Failure> {
        let denied = || wit::Error::Denied("the database is not granted to this service (sql: false)".to_owned());
        Ok(self.ctx.service.sql().ok_or_else(denied)?)
    }

    fn without_transaction(&self) -> Result<(), Failure> {
        if self.ctx.sql.has_transaction() {
            let why = "this request has a transaction open, which would be waited for in vain: use it, or end it first";
            return Err(wit::Error::Timeout(why.to_owned()).into());
        }
        Ok(())
    }

    fn transaction(&self, transaction: &Resource<Transaction>) -> Result<Arc<dyn SqlTransaction>, Failure> {
        Ok(Arc::clone(&self.table.get(transaction)?.0))
    }

    fn push_rows(&mut self, rows: Arc<dyn SqlRows>) -> Result<Resource<Rows>, Failure> {
        if rows.is_open() {
            self.ctx.sql.rows.push(Arc::downgrade(&rows));
        }
        Ok(self.table.push(Rows(rows))?)
    }
}

impl wit::Host for CapabilityView<'_> {
    async fn execute(&mut self, statement: String, parameters: Vec<wit::Value>) -> Result<wit::Changes, Failure> {
        let database = self.database()?;
        self.without_transaction()?;
        Ok(database.execute(statement, values(parameters)).await?.into())
    }

    async fn query(&mut self, statement: String, parameters: Vec<wit::Value>) -> Result<Resource<Rows>, Failure> {
        let database = self.database()?;
        if self.ctx.sql.streams() >= MAX_STREAMS {
            let why = format!("a request has at most {MAX_STREAMS} unfinished results: read or drop some first");
            return Err(wit::Error::TooLarge(why).into());
        }
        let rows = database.query(statement, values(parameters)).await?;
        self.push_rows(rows)
    }

    async fn begin(&mut self) -> Result<Resource<Transaction>, Failure> {
        let database = self.database()?;
        self.without_transaction()?;
        let transaction = database.begin().await?;
        let handle = self.table.push(Transaction(Arc::clone(&transaction)))?;
        self.ctx.sql.transaction = Some(Arc::downgrade(&transaction));
        Ok(handle)
    }

    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<wit::Error> {
        match failure {
            Failure::Error(error) => Ok(error),
            Failure::Trap(error) => Err(error),
        }
    }
}

impl wit::HostRows for CapabilityView<'_> {
    fn columns(&mut self, rows: Resource<Rows>) -> wasmtime::Result<Vec<String>> {
        Ok(self.table.get(&rows)?.0.columns())
    }

    async fn next(&mut self, rows: Resource<Rows>, max: u32) -> Result<Vec<Vec<wit::Value>>, Failure> {
        let rows = Arc::clone(&self.table.get(&rows)?.0);
        let piece = rows.next(usize::try_from(max).unwrap_or(usize::MAX)).await?;
        Ok(piece.into_iter().map(|row| row.into_iter().map(wit::Value::from).collect()).collect())
    }

    fn drop(&mut self, rows: Resource<Rows>) -> wasmtime::Result<()> {
        self.table.delete(rows)?;
        Ok(())
    }
}

impl wit::HostTransaction for CapabilityView<'_> {
    async fn execute(
        &mut self,
        transaction: Resource<Transaction>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Result<wit::Changes, Failure> {
        Ok(self.transaction(&transaction)?.execute(statement, values(parameters)).await?.into())
    }

    async fn query(
        &mut self,
        transaction: Resource<Transaction>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Result<Resource<Rows>, Failure> {
        let rows = self.transaction(&transaction)?.query(statement, values(parameters)).await?;
        // It ends with its transaction, which the request has only one of.
        Ok(self.table.push(Rows(rows))?)
    }

    async fn publish(
        &mut self,
        transaction: Resource<Transaction>,
        events: Vec<Event>,
    ) -> Result<Vec<String>, Failure> {
        let transaction = self.transaction(&transaction)?;
        let bus = self.ctx.service.bus().ok_or_else(|| wit::Error::Unavailable(NO_BUS.to_owned()))?;
        let events = bus.prepare(&self.publisher(), events.into_iter().map(NewEvent::from).collect())?;
        let ids = events.iter().map(|event| event.id.clone()).collect();
        transaction.publish(events).await?;
        Ok(ids)
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Result<(), Failure> {
        Ok(self.transaction(&transaction)?.commit().await?)
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Result<(), Failure> {
        Ok(self.transaction(&transaction)?.rollback().await?)
    }

    fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        // Results of it may be left in the table, and would keep it.
        self.table.delete(transaction)?.0.close();
        Ok(())
    }
}

fn values(values: Vec<wit::Value>) -> Vec<SqlValue> {
    values
        .into_iter()
        .map(|value| match value {
            wit::Value::Null => SqlValue::Null,
            wit::Value::Integer(number) => SqlValue::Integer(number),
            wit::Value::Real(number) => SqlValue::Real(number),
            wit::Value::Text(text) => SqlValue::Text(text),
            wit::Value::Blob(bytes) => SqlValue::Blob(bytes),
        })
        .collect()
}

impl From<SqlValue> for wit::Value {
    fn from(value: SqlValue) -> Self {
        match value {
            SqlValue::Null => Self::Null,
            SqlValue::Integer(number) => Self::Integer(number),
            SqlValue::Real(number) => Self::Real(number),
            SqlValue::Text(text) => Self::Text(text),
            SqlValue::Blob(bytes) => Self::Blob(bytes),
        }
    }
}

impl From<SqlChanges> for wit::Changes {
    fn from(SqlChanges { rows, last_insert_id }: SqlChanges) -> Self {
        Self { rows, last_insert_id }
    }
}
