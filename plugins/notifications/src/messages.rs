//! The outbox: messages as they were written, and that they were (`notification.sent`), in one transaction.
//!
//! Nothing leaves the shop: what would hand messages to a mail server reads them here, or hears of the event.

use serde::Serialize;
use shop::{Listing, Page};
use uuid::Uuid;
use wharf_sdk::sql::{self, FromRow, Row, SqlError, Value as Parameter};
use wharf_sdk::{Error, Event, params};

use crate::template::{Facts, Kind, Text};

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    id: String,
    user_id: String,
    kind: String,
    reference: String,
    subject: String,
    text: String,
    created_at: String,
}

/// The data of `notification.sent`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    id: &'a str,
    user_id: &'a str,
    kind: &'a str,
    reference: &'a str,
}

const COLUMNS: &str = "id, user_id, kind, reference, subject, text, created_at";

/// Writes to a user; if it was written already, says what. Fails with 422 when something is not known that has to be.
pub(crate) fn write(user: &str, kind: Kind, facts: &Facts) -> Result<Message, Error> {
    let (reference, Text { subject, text }) = (kind.reference(user, facts)?, kind.text(facts)?);
    let name = kind.name();
    sql::transaction(|tx| {
        let there = format!("SELECT {COLUMNS} FROM messages WHERE kind = ?1 AND reference = ?2");
        if let Some(there) = tx.first(&there, params![name, reference])? {
            return Ok(there);
        }
        let id = Uuid::now_v7().to_string();
        let created_at = shop::now();
        let insert = "INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        tx.execute(insert, params![&id, user, name, reference, &subject, &text, &created_at])?;
        let event = Event::json("notification.sent", &Told { id: &id, user_id: user, kind: name, reference })?;
        tx.publish(vec![event.id(format!("notification-{name}-{reference}")).key(reference).subject(reference)])?;
        let (user_id, kind, reference) = (user.to_owned(), name.to_owned(), reference.to_owned());
        Ok(Message { id, user_id, kind, reference, subject, text, created_at })
    })
}

/// Messages to a user, or to all, the newest first.
pub(crate) fn page(user: Option<String>, listing: &Listing) -> Result<Page<Message>, Error> {
    let mut statement = format!("SELECT {COLUMNS} FROM messages WHERE 1");
    let mut parameters: Vec<Parameter> = Vec::new();
    for (condition, value) in [("user_id =", user), ("id <", listing.after.clone())] {
        if let Some(value) = value {
            parameters.push(value.into());
            statement.push_str(&format!(" AND {condition} ?{}", parameters.len()));
        }
    }
    parameters.push(listing.with_one_more().into());
    statement.push_str(&format!(" ORDER BY id DESC LIMIT ?{}", parameters.len()));
    Ok(listing.page(sql::all(&statement, &parameters)?, |message: &Message| message.id.clone()))
}

impl FromRow for Message {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.at(0)?,
            user_id: row.at(1)?,
            kind: row.at(2)?,
            reference: row.at(3)?,
            subject: row.at(4)?,
            text: row.at(5)?,
            created_at: row.at(6)?,
        })
    }
}
