//! The services that an order needs, and how each of them is asked. One file for each has the form of its JSON, so that
//! a service that changes its answers is followed in one place.
//!
//! A refusal that the client can do something about keeps its status and its words. Anything else (no answer, one that
//! cannot be read, a status that nobody expects) is 503: it may have been done or not, and who asked must undo it.

pub(crate) mod inventory;
pub(crate) mod notifications;
pub(crate) mod payments;
pub(crate) mod pricing;
pub(crate) mod shipping;
pub(crate) mod users;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_sdk::{Answer, Call, Error, FieldError, log};

/// The most of a partner's sentence that a client is shown.
const LONGEST_DETAIL: usize = 500;

/// What a partner says is wrong.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    field: String,
    detail: String,
}

/// Asks a partner. `step` is what a client is told about it.
fn ask(step: &str, call: Call, within: Duration) -> Result<Answer, Error> {
    call.timeout(within).send().map_err(|error| unavailable(step, error))
}

fn post<T: Serialize>(step: &str, url: &str, body: &T, within: Duration) -> Result<Answer, Error> {
    ask(step, Call::post(url).json(body)?, within)
}

/// The body of an answer that was expected.
fn read<T: for<'a> Deserialize<'a>>(step: &str, answer: Answer) -> Result<T, Error> {
    answer.json().map_err(|error| unavailable(step, error))
}

/// A partner's refusal, in its own words.
fn refused(step: &str, answer: Answer) -> Error {
    let status = answer.status();
    let problem: Problem = answer.json().unwrap_or_default();
    let words: String = problem.detail.chars().filter(|c| !c.is_control()).take(LONGEST_DETAIL).collect();
    let sentence = if words.is_empty() { format!("{step}: refused") } else { format!("{step}: {words}") };
    if status == 422 && !problem.errors.is_empty() {
        let fields = problem.errors.into_iter();
        return Error::unprocessable(fields.map(|Field { field, detail }| FieldError { field, detail }).collect());
    }
    Error::new(status, sentence)
}

/// A status that is nobody's refusal.
fn unexpected(step: &str, answer: &Answer) -> Error {
    unavailable(step, format_args!("status {}", answer.status()))
}

fn unavailable(step: &str, why: impl std::fmt::Display) -> Error {
    log::warn(format_args!("{step}: {why}"));
    Error::new(503, format!("{step}: the service is not available, try again later"))
}
