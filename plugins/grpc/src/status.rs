//! How a call went, in the words of gRPC.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use wharf_sdk::{Answer, Trailers};

/// What a message may not have as it is. (All that is not ASCII is encoded anyway.)
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
/// The longest message in bytes: trailers have little room.
const LONGEST: usize = 512;
/// The most of a problem document that is read.
const PROBLEM_LIMIT: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: Option<String>,
}

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An answer that is none of those that were hoped for.
    pub(crate) fn answered(service: &str, mut answer: Answer) -> Self {
        let code = match answer.status() {
            400 | 413 | 422 => Code::InvalidArgument,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            402 | 409 | 412 => Code::FailedPrecondition,
            429 => Code::ResourceExhausted,
            502 | 503 => Code::Unavailable,
            504 => Code::DeadlineExceeded,
            _ => Code::Internal,
        };
        // What a service says of its own trouble helps nobody outside.
        if matches!(code, Code::Internal | Code::Unavailable | Code::DeadlineExceeded) {
            return Self::new(code, format!("{service} does not answer this now ({})", answer.status()));
        }
        let is_problem = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/problem+json"));
        let body = if is_problem { answer.body(PROBLEM_LIMIT).unwrap_or_default() } else { Vec::new() };
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        Self::new(code, problem.detail.unwrap_or_else(|| format!("{service} refuses this ({})", answer.status())))
    }

    pub(crate) fn trailers(&self) -> Trailers {
        let mut message = self.message.as_str();
        while message.len() > LONGEST {
            let end = message.char_indices().next_back().map_or(0, |(at, _)| at);
            message = message.get(..end).unwrap_or_default();
        }
        vec![
            ("grpc-status".to_owned(), (self.code as u8).to_string()),
            ("grpc-message".to_owned(), utf8_percent_encode(message, ENCODED).to_string()),
        ]
    }
}

/// It went well.
pub(crate) fn ok() -> Trailers {
    vec![("grpc-status".to_owned(), "0".to_owned())]
}
