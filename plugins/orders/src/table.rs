//! The table for questions: a row for each order, written in the transaction of every command, so that a question never
//! sees less than what was answered before.
//!
//! A row is made of all events that an order has at that moment and of nothing else. So all rows can be thrown away and
//! made again, by the projection, while commands go on: a row that has the projection's event already is passed over.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use shop::{Listing, Page};
use wharf_sdk::es::{EsError, Loaded, Projection, Recorded};
use wharf_sdk::sql::{self, SqlError, Transaction, Value as Parameter};
use wharf_sdk::{Error, params};

use crate::commands;
use crate::order::{Order, Status};

/// Events that a rebuild takes in in one transaction, which others wait for.
const PIECE: u32 = 100;
/// Pieces in one request to rebuild: what one request has the time for.
pub(crate) const MOST_PIECES: u32 = 100;

const ORDERS: Projection = Projection { name: "orders", clear, apply };

fn clear(tx: &Transaction) -> Result<(), EsError> {
    tx.execute("DELETE FROM orders", &[])?;
    Ok(())
}

fn apply(tx: &Transaction, event: &Recorded) -> Result<(), EsError> {
    let Some(id) = event.stream.strip_prefix("order/") else { return Ok(()) };
    let version = i64::try_from(event.version).unwrap_or(i64::MAX);
    let known = tx.first::<(i64,)>("SELECT 1 FROM orders WHERE id = ?1 AND version >= ?2", params![id, version])?;
    if known.is_none() {
        write(tx, &commands::stream(tx, id)?)?;
    }
    Ok(())
}

/// Makes the row of an order say how it is.
pub(crate) fn write(tx: &Transaction, order: &Loaded<Order>) -> Result<(), EsError> {
    let state = &order.state;
    let view =
        serde_json::to_string(&state.view(order.version)).map_err(|error| EsError::refused(error.to_string()))?;
    let version = i64::try_from(order.version).unwrap_or(i64::MAX);
    let write = "INSERT INTO orders (id, user_id, status, version, created_at, view) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, version = excluded.version, view = excluded.view";
    let (id, user) = (&state.draft.id, &state.draft.user_id);
    tx.execute(write, params![id, user, state.status.name(), version, &state.created_at, view])?;
    Ok(())
}

/// Throws the rows away and makes them of the events again, or goes on with that. Says how many events there were, and
/// whether that was all.
pub(crate) fn rebuild(resume: bool, pieces: u32) -> Result<(u64, bool), Error> {
    if !resume {
        ORDERS.rebuild()?;
    }
    let mut events = 0_u64;
    for _ in 0..pieces {
        match ORDERS.catch_up(PIECE)? {
            0 => return Ok((events, true)),
            more => events = events.saturating_add(more),
        }
    }
    Ok((events, false))
}

/// Orders as clients see them, the newest first: those of a user, or of all, and of a status, or of each.
pub(crate) fn page(user: Option<String>, status: Option<Status>, listing: &Listing) -> Result<Page<View>, Error> {
    let mut parameters = vec![listing.with_one_more().into()];
    let mut statement = "SELECT user_id, id, view FROM orders WHERE 1".to_owned();
    restrict(&mut statement, &mut parameters, "user_id =", user.map(Parameter::from));
    restrict_more(&mut statement, &mut parameters, status, listing);
    let rows: Vec<Row> = sql::all(&format!("{statement} ORDER BY id DESC LIMIT ?1"), &parameters)?;
    shown(rows, listing)
}

/// An order as clients see it, as it was written down: nobody here looks into it.
type View = Box<RawValue>;

/// Pages of several users, one after the other.
#[derive(Serialize)]
pub(crate) struct Pages {
    items: Vec<View>,
    /// There is no place where all of them go on.
    next: Option<String>,
    users: Vec<OfUser>,
}

/// Where the page of a user among others goes on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfUser {
    user_id: String,
    next: Option<String>,
}

/// For each of these users, in their order, the page that he would get alone. It is one statement, whose parts (the host
/// takes 100) read no more of the index than there is on the pages; a window over all orders of a user would read them
/// all.
pub(crate) fn pages(users: &[String], status: Option<Status>, listing: &Listing) -> Result<Pages, Error> {
    let mut parameters = vec![listing.with_one_more().into()];
    let mut more = String::new();
    restrict_more(&mut more, &mut parameters, status, listing);
    let mut parts = Vec::with_capacity(users.len());
    for user in users {
        let mut part = format!("SELECT user_id, id, view FROM orders WHERE 1{more}");
        restrict(&mut part, &mut parameters, "user_id =", Some(user.as_str().into()));
        parts.push(format!("SELECT * FROM ({part} ORDER BY id DESC LIMIT ?1)"));
    }
    let statement = format!("{} ORDER BY 2 DESC", parts.join(" UNION ALL "));
    let mut of = BTreeMap::<String, Vec<Row>>::new();
    for row in sql::all::<Row>(&statement, &parameters)? {
        of.entry(row.0.clone()).or_default().push(row);
    }
    let mut pages = Pages { items: Vec::new(), next: None, users: Vec::with_capacity(users.len()) };
    for user in users {
        let Page { items, next } = shown(of.remove(user).unwrap_or_default(), listing)?;
        pages.items.extend(items);
        pages.users.push(OfUser { user_id: user.clone(), next });
    }
    Ok(pages)
}

/// Whose it is, its id, and how clients see it.
type Row = (String, String, String);

fn restrict_more(statement: &mut String, parameters: &mut Vec<Parameter>, status: Option<Status>, listing: &Listing) {
    restrict(statement, parameters, "status =", status.map(|status| status.name().into()));
    restrict(statement, parameters, "id <", listing.after.clone().map(Parameter::from));
}

fn restrict(statement: &mut String, parameters: &mut Vec<Parameter>, condition: &str, value: Option<Parameter>) {
    if let Some(value) = value {
        parameters.push(value);
        statement.push_str(&format!(" AND {condition} ?{}", parameters.len()));
    }
}

fn shown(rows: Vec<Row>, listing: &Listing) -> Result<Page<View>, Error> {
    let Page { items, next } = listing.page(rows, |(_, id, _)| id.clone());
    let items = items.into_iter().map(|(.., view)| RawValue::from_string(view)).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}

/// Orders that have been pending since before this time, the oldest first.
pub(crate) fn pending_since(before: &str, most: u32) -> Result<Vec<(String,)>, SqlError> {
    let select = "SELECT id FROM orders WHERE status = 'pending' AND created_at < ?1 ORDER BY created_at LIMIT ?2";
    sql::all(select, params![before, most])
}
