//! Requests with an `Idempotency-Key`: the same key and body is answered as the first time and ordered once; the same
//! key with another body is 422. Keys belong to a user and are kept for a day.
//!
//! A key is taken in the transaction that makes the order. So a request that was refused before that is tried anew, and
//! of two at once one makes the order and the other is told that it is being worked on.

use wharf_sdk::sql::{self, SqlError, Transaction};
use wharf_sdk::{Error, Request, Response, params};

/// How long keys are kept, in seconds.
pub(crate) const KEPT: u64 = 24 * 60 * 60;

/// A key, whose it is, and what is asked with it.
#[derive(Debug)]
pub(crate) struct Key {
    user: String,
    key: String,
    asked: String,
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) enum Known {
    Nothing,
    /// An order was made; what came of it was not written down (yet).
    Open(String),
    Answered {
        order: String,
        status: u16,
        answer: String,
    },
}

impl Key {
    pub(crate) fn of(request: &Request, user: &str, asked: String) -> Result<Option<Self>, Error> {
        let Some(key) = request.header("idempotency-key") else { return Ok(None) };
        if !(1..=128).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid("Idempotency-Key", "is to be 1 to 128 visible characters"));
        }
        Ok(Some(Self { user: user.to_owned(), key, asked }))
    }

    pub(crate) fn look_up(&self) -> Result<Known, Error> {
        type Row = (String, String, Option<i64>, Option<String>);
        let select = "SELECT asked, order_id, status, answer FROM requests WHERE user_id = ?1 AND key = ?2";
        let row: Option<Row> = sql::first(select, params![&self.user, &self.key])?;
        let Some((asked, order, status, answer)) = row else { return Ok(Known::Nothing) };
        if asked != self.asked {
            return Err(Error::new(422, "another request was made with this Idempotency-Key"));
        }
        let status = status.and_then(|status| u16::try_from(status).ok());
        Ok(match (status, answer) {
            (Some(status), Some(answer)) => Known::Answered { order, status, answer },
            _ => Known::Open(order),
        })
    }

    /// Takes the key for an order. Says whether it was free.
    pub(crate) fn take(&self, tx: &Transaction, order: &str) -> Result<bool, SqlError> {
        let insert =
            "INSERT INTO requests (user_id, key, asked, order_id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        Ok(tx.execute(insert, params![&self.user, &self.key, &self.asked, order])?.rows == 1)
    }

    /// Writes down what came of it.
    pub(crate) fn answered(&self, tx: &Transaction, status: u16, answer: &str) -> Result<(), SqlError> {
        let update = "UPDATE requests SET status = ?3, answer = ?4 WHERE user_id = ?1 AND key = ?2";
        tx.execute(update, params![&self.user, &self.key, status, answer]).map(drop)
    }
}

/// An answer that was written down.
pub(crate) fn again(status: u16, answer: String) -> Response {
    let media_type = if status < 400 { "application/json" } else { "application/problem+json" };
    Response::bytes(media_type, answer).with_status(status)
}

/// Forgets keys from before this time.
pub(crate) fn forget(before: &str) -> Result<(), SqlError> {
    sql::execute("DELETE FROM requests WHERE at < ?1", params![before]).map(drop)
}
