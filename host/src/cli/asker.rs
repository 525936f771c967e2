//! Questions to a running host about what it keeps, and its answers: what `wharf events`, `queues` and the like share.
//!
//! Decided here: how a refusal is shown, and that nothing which a service wrote reaches the terminal as it is.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::admin::{self, NoAnswer};

/// Why it was not done or not shown.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// Nobody listens, or it is not Wharf.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The host does not do it, and says why.
    #[error("{0}")]
    Refused(String),
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// A host, and how its answers are shown.
pub struct Asker<'a> {
    /// Its admin listener.
    pub address: SocketAddr,
    /// Whether answers are shown as they come.
    pub json: bool,
    /// Where.
    pub out: &'a mut (dyn Write + Send),
}

impl std::fmt::Debug for Asker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Asker<'_> {
    pub(super) fn print(&mut self, value: &Value) -> Result<(), EventsError> {
        Ok(writeln!(self.out, "{value:#}")?)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, EventsError> {
        let (status, body) = admin::ask(self.address, Method::GET, path).await?;
        self.read(status.is_success(), &body)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        timeout: Duration,
    ) -> Result<T, EventsError> {
        let body = self.order(method, path, body, timeout).await?;
        self.read(true, &body)
    }

    pub(super) async fn order(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        timeout: Duration,
    ) -> Result<Bytes, EventsError> {
        let (status, answer) = admin::order(self.address, method, path, body.to_string().into(), timeout).await?;
        if status.is_success() { Ok(answer) } else { Err(refused(&answer)) }
    }

    fn read<T: DeserializeOwned>(&self, good: bool, body: &[u8]) -> Result<T, EventsError> {
        if !good {
            return Err(refused(body));
        }
        let unreadable = |error: serde_json::Error| NoAnswer { address: self.address, cause: error.to_string() };
        Ok(serde_json::from_slice(body).map_err(unreadable)?)
    }
}

/// What a problem document says, to people.
fn refused(body: &[u8]) -> EventsError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut text = problem.get("detail").and_then(Value::as_str).unwrap_or("the host refuses").to_owned();
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        text.push_str(&format!("\n  {}: {}", part("field"), part("message")));
    }
    EventsError::Refused(text)
}

pub(super) fn query(parameters: &[(&str, String)]) -> String {
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("?{}", pairs.join("&"))
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// On one line, whatever a service wrote.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_host_refuses_is_said_with_everything_that_is_wrong() {
        let body =
            json!({ "detail": "the request is not valid", "errors": [{ "field": "limit", "message": "a number" }] });
        assert_eq!(refused(body.to_string().as_bytes()).to_string(), "the request is not valid\n  limit: a number");
        assert_eq!(refused(b"<html>").to_string(), "the host refuses");
    }

    #[test]
    fn names_and_values_of_others_cannot_change_the_question_or_the_terminal() {
        assert_eq!(query(&[("topic", "a.#&limit=9".to_owned())]), "?topic=a%2E%23%26limit%3D9");
        assert_eq!(shown("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
    }
}
