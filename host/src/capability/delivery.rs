//! An event on its way to a subscriber, beside the HTTP request that carries it.
//!
//! A delivery is a POST with a CloudEvent in binary mode, and passes the gateway as any request does. What it is about
//! lies in the request's extensions as well, as a [`Delivery`], so that a component with a typed handler is called with
//! the event itself. What such a handler says goes back the same way: a response with the status of
//! [`Verdict::status`], and the [`Verdict`] in its extensions.
//!
//! Not decided here: when an event is delivered, and what becomes of one that is refused. See `events`.

use std::sync::Arc;

use http::StatusCode;

pub use crate::state::{Event, Offset, StoredEvent};

/// Longest text of a handler that is kept with an event, in bytes.
pub const MAX_FAILURE_BYTES: usize = 1024;

/// In a request's extensions: which event it delivers, to whom, and for the how manieth time.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The name of the subscription in the service's file.
    pub subscription: Arc<str>,
    /// 1 for the first try.
    pub attempt: u32,
    /// The event and its place.
    pub event: StoredEvent,
}

/// In a response's extensions: what a typed handler said. A response without one is judged by its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Handled,
    /// Try again later; why, from the guest.
    Retry(String),
    /// No try will help; why, from the guest.
    Reject(String),
}

impl Verdict {
    /// The status of the response. `Retry` is a failure of the service, as a 503 of an HTTP handler would be: when
    /// nothing else comes of it the breaker opens, and deliveries wait instead of using up their attempts.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Handled => StatusCode::NO_CONTENT,
            Self::Retry(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reject(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_has_the_status_that_means_the_same() {
        assert!(Verdict::Handled.status().is_success());
        assert!(Verdict::Retry(String::new()).status().is_server_error());
        assert!(Verdict::Reject(String::new()).status().is_client_error());
    }
}
