//! Errors, and how a client sees them: problem documents of RFC 9457.
//!
//! What a client did wrong is told to it. What went wrong inside (any error taken by `?`) is a plain 500 for the client,
//! and its text goes to standard error, which the host keeps as a line of the service's log.

use std::fmt;

use serde::Serialize;

use crate::Response;

/// Why a request got no proper answer.
#[derive(Debug)]
pub struct Error {
    status: u16,
    detail: Option<String>,
    fields: Vec<FieldError>,
}

/// What is wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// What is wrong, for a person.
    pub detail: String,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Error {
    /// Any status, with a sentence for the client.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: Some(detail.into()), fields: Vec::new() }
    }

    /// 400: the client has to change the request.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, detail)
    }

    /// 400 for one field of the input.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError { field: field.into(), detail: detail.into() }])
    }

    /// 400 for several fields of the input.
    pub fn invalid_fields(fields: Vec<FieldError>) -> Self {
        Self { status: 400, detail: Some("the input is not valid".to_owned()), fields }
    }

    /// 422 for several fields of an input that can be read and says what cannot be.
    pub fn unprocessable(fields: Vec<FieldError>) -> Self {
        Self { status: 422, ..Self::invalid_fields(fields) }
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, detail)
    }

    /// 409: it would contradict what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, detail)
    }

    /// 500. The cause goes to standard error; the client is not told.
    pub fn internal(cause: impl fmt::Display) -> Self {
        eprintln!("internal error: {cause}");
        Self { status: 500, detail: None, fields: Vec::new() }
    }

    /// The status that the client gets.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The sentence for the client.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What is wrong with which field.
    pub fn fields(&self) -> &[FieldError] {
        &self.fields
    }

    /// The problem document.
    pub fn into_response(self) -> Response {
        let problem = Problem {
            r#type: "about:blank",
            title: title(self.status),
            status: self.status,
            detail: self.detail.as_deref(),
            errors: &self.fields,
        };
        let bytes = serde_json::to_vec(&problem).unwrap_or_default();
        Response::bytes("application/problem+json", bytes).with_status(self.status)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.detail.as_deref().unwrap_or(title(self.status)))
    }
}

/// Whatever fails by `?` in a handler is an internal error.
///
/// That is why [`Error`] is not a [`std::error::Error`] itself.
impl<E: std::error::Error> From<E> for Error {
    fn from(cause: E) -> Self {
        Self::internal(cause)
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document(error: Error) -> Value {
        serde_json::from_slice(&error.into_response().into_bytes()).unwrap()
    }

    #[test]
    fn the_document_says_what_is_wrong() {
        assert_eq!(
            document(Error::not_found("no user has this id")),
            json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no user has this id"})
        );
    }

    #[test]
    fn who_catches_an_error_can_read_its_sentence() {
        assert_eq!(Error::not_found("no user has this id").detail(), Some("no user has this id"));
        assert_eq!(Error::internal("secret").detail(), None);
    }

    #[test]
    fn fields_are_listed() {
        let error = Error::invalid("email", "an e-mail address has an @");
        let fields = error.fields().to_vec();
        assert_eq!(document(error)["errors"], json!([{"field": "email", "detail": "an e-mail address has an @"}]));
        let error = document(Error::unprocessable(fields));
        assert_eq!((&error["status"], &error["errors"][0]["field"]), (&json!(422), &json!("email")));
    }

    #[test]
    fn the_client_is_not_told_what_went_wrong_inside() {
        fn fails() -> Result<Response, Error> {
            Err(std::io::Error::other("secret"))?
        }
        let error = fails().unwrap_err();
        assert_eq!(error.status(), 500);
        assert_eq!(document(error), json!({"type": "about:blank", "title": "Internal Server Error", "status": 500}));
    }
}
