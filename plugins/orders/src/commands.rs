//! What may happen to an order. A command loads it, decides, keeps what happens, tells the other services and renews the
//! row for questions: all in one transaction, so none of these is ever there without the others.
//!
//! A command that comes late or twice does nothing. It always says how the order is afterwards, and who gave the command
//! looks at that: events come in any order and any number of times, and most of them are no mistake.

use wharf_sdk::es::{self, Aggregate, EsError, Loaded, Recorded};
use wharf_sdk::sql::{self, SqlError, Transaction};
use wharf_sdk::{Error, Failure, log, params};

use crate::order::{Draft, Happened, Order, Status};
use crate::{announce, table};

/// Why nothing was done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No order has this id.
    Unknown,
    /// The database cannot at the moment.
    Busy(String),
    /// The database or what is in it failed.
    Failed(String),
}

/// Keeps a new order. In the caller's transaction, who has more to keep.
pub(crate) fn create(tx: &Transaction, draft: Draft, at: String) -> Result<Loaded<Order>, Refusal> {
    let id = draft.id.clone();
    record(tx, &id, Loaded::default(), &[Happened::Created { order: Box::new(draft), at }])
}

/// It is paid. One that is cancelled stays so, and says it once more: the money is to go back.
pub(crate) fn confirm(id: &str, payment_id: &str) -> Result<Loaded<Order>, Refusal> {
    sql::transaction(|tx| {
        let order = load(tx, id)?;
        match order.state.status {
            Status::Pending => record(tx, id, order, &[Happened::Confirmed { payment_id: payment_id.to_owned() }]),
            Status::Cancelled => {
                tx.publish(vec![announce::cancelled_again(&order, payment_id)?])?;
                Ok(order)
            }
            Status::Confirmed | Status::Shipped | Status::Delivered => Ok(order),
        }
    })
}

/// It is not wanted, or not possible, if it is in one of these states.
pub(crate) fn cancel(id: &str, from: &[Status], reason: &str) -> Result<Loaded<Order>, Refusal> {
    change(id, |order| {
        let cancelled = || Happened::Cancelled { reason: reason.to_owned() };
        from.contains(&order.status).then(cancelled).into_iter().collect()
    })
}

/// The carrier has it.
pub(crate) fn ship(id: &str, tracking: &str) -> Result<Loaded<Order>, Refusal> {
    change(id, |order| match order.status {
        Status::Confirmed => vec![Happened::Shipped { tracking: tracking.to_owned() }],
        Status::Pending | Status::Shipped | Status::Delivered | Status::Cancelled => Vec::new(),
    })
}

/// It has arrived. That it was shipped may be heard later, or never.
pub(crate) fn deliver(id: &str, tracking: &str) -> Result<Loaded<Order>, Refusal> {
    change(id, |order| match order.status {
        Status::Confirmed => vec![Happened::Shipped { tracking: tracking.to_owned() }, Happened::Delivered],
        Status::Shipped => vec![Happened::Delivered],
        Status::Pending | Status::Delivered | Status::Cancelled => Vec::new(),
    })
}

/// An order as it is, for who only looks: without a transaction, which would wait for those that write.
pub(crate) fn look(id: &str) -> Result<Loaded<Order>, Refusal> {
    known(made_of(&history(id)?)?)
}

/// All that happened to it.
pub(crate) fn history(id: &str) -> Result<Vec<Recorded>, SqlError> {
    let select = "SELECT position, stream, version, data, at FROM es_events WHERE stream = ?1 ORDER BY version";
    sql::all(select, params![es::stream::<Order>(id)])
}

fn load(tx: &Transaction, id: &str) -> Result<Loaded<Order>, Refusal> {
    known(stream(tx, id)?)
}

/// An order as it is in this transaction. There are no snapshots to look for: a stream has five events at most.
pub(crate) fn stream(tx: &Transaction, id: &str) -> Result<Loaded<Order>, EsError> {
    made_of(&es::read(tx, &es::stream::<Order>(id), 0)?)
}

fn made_of(events: &[Recorded]) -> Result<Loaded<Order>, EsError> {
    let mut order = Loaded::<Order>::default();
    for event in events {
        order.state.apply(&event.read()?);
        order.version = event.version;
    }
    Ok(order)
}

fn known(order: Loaded<Order>) -> Result<Loaded<Order>, Refusal> {
    if order.version == 0 { Err(Refusal::Unknown) } else { Ok(order) }
}

fn change(id: &str, decide: impl FnOnce(&Order) -> Vec<Happened>) -> Result<Loaded<Order>, Refusal> {
    sql::transaction(|tx| {
        let order = load(tx, id)?;
        let happened = decide(&order.state);
        record(tx, id, order, &happened)
    })
}

fn record(
    tx: &Transaction,
    id: &str,
    mut order: Loaded<Order>,
    happened: &[Happened],
) -> Result<Loaded<Order>, Refusal> {
    if !happened.is_empty() {
        es::save(tx, id, &mut order, happened)?;
        tx.publish(announce::all(&order, happened)?)?;
        table::write(tx, &order)?;
    }
    Ok(order)
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Timeout(why) | SqlError::Closed(why) | SqlError::Full(why) | SqlError::Unavailable(why) => {
                Self::Busy(why)
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<EsError> for Refusal {
    fn from(error: EsError) -> Self {
        match error {
            EsError::Sql(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::not_found("no order has this id"),
            Refusal::Busy(why) => {
                log::warn(format_args!("the database: {why}"));
                Self::new(503, "orders cannot be written now, try again later")
            }
            Refusal::Failed(why) => Self::internal(why),
        }
    }
}

/// An order is there before anybody hears of it, so an event about an unknown one will never find it.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::reject("no order has this id"),
            Refusal::Busy(why) | Refusal::Failed(why) => Self::Retry(why),
        }
    }
}
