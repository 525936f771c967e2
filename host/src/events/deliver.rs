//! Delivering an event to a service: what is asked of the gateway, and what its answer means for the event.
//!
//! Handled is what was answered with 2xx. A 4xx says that the event will never do, unless it is about the moment (408,
//! 425, 429); a typed handler says the same with `reject`. A service that is not there (no instance, an open breaker, a
//! full bulkhead, a connection that does not come about) has not seen the event: that is not held against the event,
//! whatever the number of tries. Everything else is tried again.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use tokio::sync::watch;

use crate::capability::delivery::{MAX_FAILURE_BYTES, Verdict};

/// Longest `Retry-After` that is waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What became of a delivery.
#[derive(Debug)]
pub enum Answer {
    /// The service answered; of the body, as much as is shown to people.
    Response(Response<Bytes>),
    /// It is not there, and has seen nothing of the event.
    NotThere {
        /// The one word for it.
        reason: &'static str,
        /// It will not be before that.
        after: Option<Duration>,
    },
    /// It failed.
    Failed {
        /// The one word for it.
        reason: &'static str,
        /// It would every time.
        for_good: bool,
    },
}

/// Carries deliveries to services, past all that protects them.
#[async_trait]
pub trait Deliver: Send + Sync + 'static {
    /// Has an instance of the service answer the request, in this time (none: the service's own). What is delivered
    /// lies in its extensions.
    async fn deliver(&self, service: &str, request: Request<Bytes>, timeout: Option<Duration>) -> Answer;

    /// Changes whenever somebody may be there who was not before.
    fn news(&self) -> watch::Receiver<u64>;
}

/// What an answer means for the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Handled,
    /// To be tried again, not before that.
    Again(Option<Duration>, String),
    /// To be given up.
    Rejected(String),
    NotThere(&'static str, Option<Duration>),
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::NotThere { reason, after } => Self::NotThere(reason, after),
            Answer::Failed { reason, for_good: true } => Self::Rejected(reason.to_owned()),
            Answer::Failed { reason, for_good: false } => Self::Again(None, reason.to_owned()),
            Answer::Response(response) => of_response(&response),
        }
    }
}

fn of_response(response: &Response<Bytes>) -> Outcome {
    let status = response.status();
    match response.extensions().get::<Verdict>() {
        Some(Verdict::Handled) => return Outcome::Handled,
        Some(Verdict::Retry(why)) => return Outcome::Again(None, format!("retry: {}", shown(why))),
        Some(Verdict::Reject(why)) => return Outcome::Rejected(format!("reject: {}", shown(why))),
        None => {}
    }
    if status.is_success() {
        return Outcome::Handled;
    }
    let text = shown(&String::from_utf8_lossy(response.body()));
    let error = if text.is_empty() { format!("status {status}") } else { format!("status {status}: {text}") };
    let of_the_moment =
        matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    if status.is_client_error() && !of_the_moment {
        return Outcome::Rejected(error);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
    let after = after.and_then(|after| after.trim().parse().ok()).map(Duration::from_secs);
    Outcome::Again(after.map(|after| after.min(MAX_RETRY_AFTER)), error)
}

/// What a guest or a server wrote, fit to be kept and shown.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.trim().chars() {
        if shown.len() >= MAX_FAILURE_BYTES {
            shown.push('…');
            break;
        }
        if c.is_control() { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, after: Option<&str>) -> Outcome {
        let mut response = Response::builder().status(status);
        if let Some(after) = after {
            response = response.header(RETRY_AFTER, after);
        }
        Answer::Response(response.body(Bytes::from_static(b"why\n")).unwrap()).into()
    }

    #[test]
    fn a_status_says_whether_the_event_is_done_or_hopeless_or_may_be_tried_again() {
        for status in [200, 202, 204, 299] {
            assert_eq!(outcome(status, None), Outcome::Handled);
        }
        for status in [400, 404, 409, 410, 422] {
            assert!(matches!(outcome(status, Some("5")), Outcome::Rejected(_)), "{status}");
        }
        for status in [100, 302, 304, 408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(outcome(status, None), Outcome::Again(None, _)), "{status}");
        }
        assert_eq!(outcome(500, None), Outcome::Again(None, "status 500 Internal Server Error: why".to_owned()));
    }

    #[test]
    fn who_asks_for_time_gets_it_within_bounds() {
        let wait = |after| match outcome(503, Some(after)) {
            Outcome::Again(wait, _) => wait.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("86400000"), Some(3600));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(wait("-1"), None);
    }

    #[test]
    fn what_a_typed_handler_says_counts_more_than_the_status() {
        let answer = |verdict: Verdict| {
            let mut response = Response::builder().status(verdict.status()).body(Bytes::new()).unwrap();
            response.extensions_mut().insert(verdict);
            Outcome::from(Answer::Response(response))
        };
        assert_eq!(answer(Verdict::Handled), Outcome::Handled);
        assert_eq!(answer(Verdict::Retry("db\n".into())), Outcome::Again(None, "retry: db".into()));
        assert_eq!(answer(Verdict::Reject("bad\u{1b}[2J".into())), Outcome::Rejected("reject: bad\\u{1b}[2J".into()));
        let Outcome::Rejected(text) = answer(Verdict::Reject("ä".repeat(5000))) else { panic!() };
        assert!(text.len() < MAX_FAILURE_BYTES + 20, "{}", text.len());
    }

    #[test]
    fn a_service_that_is_not_there_has_not_failed() {
        let answer = Answer::NotThere { reason: "circuit_open", after: None };
        assert_eq!(Outcome::from(answer), Outcome::NotThere("circuit_open", None));
        let answer = Answer::Failed { reason: "payload_too_large", for_good: true };
        assert_eq!(Outcome::from(answer), Outcome::Rejected("payload_too_large".into()));
    }
}
