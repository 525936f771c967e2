//! What goes wrong below a field, and how a client of GraphQL sees it.
//!
//! The message is for people. `extensions.code` is one of a few words for programs, and `extensions.problem` is what
//! the service said, without what it says only to this service.

use async_graphql::{ErrorExtensionValues, Value};
use serde::Deserialize;
use wharf_sdk::{Answer, CallError};

/// The most of a problem document that is read.
const PROBLEM_LIMIT: usize = 16 << 10;

/// Why a field is null.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: &'static str,
    message: String,
    /// The service that could not answer.
    service: Option<&'static str>,
    problem: Box<Problem>,
}

/// The parts of a problem document (RFC 9457) that a client is shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    status: u16,
    detail: Option<String>,
    reason: Option<String>,
    errors: Vec<Wrong>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Wrong {
    field: String,
    detail: String,
}

impl Failure {
    /// A failure that no service has part in.
    pub(crate) fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            service: None,
            problem: Box::new(Problem { status, ..Problem::default() }),
        }
    }

    /// The client has to ask for something else.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new("BAD_USER_INPUT", 400, message)
    }

    /// An answer that is none of those that were hoped for.
    pub(crate) fn answered(service: &'static str, mut answer: Answer) -> Self {
        let is_problem = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/problem+json"));
        let status = answer.status();
        let body = if is_problem { answer.body(PROBLEM_LIMIT).unwrap_or_default() } else { Vec::new() };
        let mut problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        problem.status = status;
        let code = match status {
            400 | 413 | 422 => "BAD_USER_INPUT",
            401 => "UNAUTHENTICATED",
            402 => "PAYMENT_REQUIRED",
            403 => "FORBIDDEN",
            404 => "NOT_FOUND",
            409 => "CONFLICT",
            429 => "RATE_LIMITED",
            502..=504 | 508 => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        let message = match (code, &problem.detail) {
            // What a service says of its own trouble helps nobody outside.
            ("INTERNAL", _) => format!("{service} has failed"),
            ("UNAVAILABLE", _) | (_, None) => format!("{service} does not answer this now ({status})"),
            (_, Some(detail)) => detail.clone(),
        };
        if matches!(code, "INTERNAL") {
            problem = Problem { status, ..Problem::default() };
        }
        Self { code, message, service: Some(service), problem: Box::new(problem) }
    }

    /// No answer. Who operates this reads the cause in the log.
    pub(crate) fn called(service: &'static str, error: &CallError) -> Self {
        wharf_sdk::log::warn(format_args!("{service}: {error}"));
        let (code, status) = match error {
            CallError::Timeout => ("UNAVAILABLE", 504),
            CallError::NotFound | CallError::TooManyOpen | CallError::Failed(_) => ("UNAVAILABLE", 503),
            CallError::Denied | CallError::Invalid(_) => ("INTERNAL", 500),
        };
        let problem = Problem { status, ..Problem::default() };
        Self {
            code,
            message: format!("{service} does not answer now"),
            service: Some(service),
            problem: Box::new(problem),
        }
    }

    /// Its status in HTTP.
    pub(crate) fn status(&self) -> u16 {
        self.problem.status
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.code == "NOT_FOUND"
    }

    fn extensions(&self) -> ErrorExtensionValues {
        let Self { code, service, problem, .. } = self;
        let mut told = async_graphql::indexmap::IndexMap::new();
        let mut tell = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                told.insert(async_graphql::Name::new(name), Value::from(value.as_str()));
            }
        };
        tell("title", problem.title.as_ref());
        tell("detail", problem.detail.as_ref());
        tell("reason", problem.reason.as_ref());
        told.insert(async_graphql::Name::new("status"), Value::from(problem.status));
        if !problem.errors.is_empty() {
            let wrong = |one: &Wrong| {
                let pairs = [("field", &one.field), ("detail", &one.detail)];
                let pairs = pairs.map(|(name, text)| (async_graphql::Name::new(name), Value::from(text.as_str())));
                Value::Object(pairs.into_iter().collect())
            };
            let list = problem.errors.iter().map(wrong).collect();
            told.insert(async_graphql::Name::new("errors"), Value::List(list));
        }
        let mut values = ErrorExtensionValues::default();
        values.set("code", *code);
        if let Some(service) = service {
            values.set("service", *service);
        }
        values.set("problem", Value::Object(told));
        values
    }
}

impl From<Failure> for async_graphql::Error {
    fn from(failure: Failure) -> Self {
        let extensions = failure.extensions();
        Self { message: failure.message, source: None, extensions: Some(extensions) }
    }
}
