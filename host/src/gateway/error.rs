//! Every way a request can fail at the gateway, and what the client is told.
//!
//! The only place that turns a failure into an HTTP status. The client gets a problem document (RFC 9457) with one
//! word for the reason; what happened inside the guest or the host is for the log. The match arms name every variant,
//! so a new failure does not compile until somebody decided what it means to a client.

#![warn(clippy::wildcard_enum_match_arm)]

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::plugin::CallError;

/// A request that got no answer from a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Nothing matches host, path, method, headers and query.
    #[error("no route matches")]
    NoRoute,
    /// The matched rule has no backend with weight.
    #[error("the route has no backend with weight")]
    NoBackend,
    /// No file gives this service or version.
    #[error("there is no service `{0}`")]
    UnknownService(String),
    /// The service is known, but no version of it serves (yet).
    #[error("no version of `{0}` is serving")]
    NotServing(String),
    /// The service has as many requests as it may.
    #[error("too many requests to this service at once")]
    BulkheadFull,
    /// The deadline came before the response.
    #[error("the request was not answered in time")]
    RequestTimeout,
    /// The body is over the limit.
    #[error("the request body is too large")]
    PayloadTooLarge,
    /// The request makes no sense to HTTP.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// A method that no guest can serve.
    #[error("method {0} is not supported")]
    MethodNotSupported(String),
    /// The version was replaced and this request did not finish in its drain time, or the host is stopping.
    #[error("the service is being replaced or stopped")]
    Draining,
    /// The guest gave no good answer.
    #[error(transparent)]
    Guest(CallError),
    /// A defect of the host.
    #[error("the gateway failed")]
    Internal,
}

/// The body of an error, RFC 9457.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    request_id: &'a str,
}

impl From<CallError> for GatewayError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Deadline => Self::RequestTimeout,
            CallError::RequestTooLarge => Self::PayloadTooLarge,
            CallError::NoSlot => Self::BulkheadFull,
            CallError::CutOff => Self::Draining,
            CallError::Trap(_)
            | CallError::Panic(_)
            | CallError::CpuTime
            | CallError::OutOfMemory(_)
            | CallError::NoResponse
            | CallError::InvalidResponse(_)
            | CallError::Start(_) => Self::Guest(error),
        }
    }
}

impl GatewayError {
    /// What the client is told by the status line.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoBackend | Self::UnknownService(_) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotServing(_) | Self::BulkheadFull | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotSupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Guest(error) => match error {
                CallError::CpuTime | CallError::Deadline => StatusCode::GATEWAY_TIMEOUT,
                CallError::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                CallError::NoSlot | CallError::CutOff | CallError::Start(_) => StatusCode::SERVICE_UNAVAILABLE,
                CallError::Trap(_)
                | CallError::Panic(_)
                | CallError::OutOfMemory(_)
                | CallError::NoResponse
                | CallError::InvalidResponse(_) => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// The one word for log, metric and problem document.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoBackend | Self::UnknownService(_) | Self::NotServing(_) => "no_instance",
            Self::BulkheadFull => "bulkhead_full",
            Self::RequestTimeout => "request_timeout",
            Self::PayloadTooLarge => "payload_too_large",
            Self::BadRequest(_) | Self::MethodNotSupported(_) => "bad_request",
            Self::Draining => "draining",
            Self::Internal => "internal",
            Self::Guest(error) => match error {
                CallError::Trap(_) => "guest_trap",
                CallError::Panic(_) => "guest_panic",
                CallError::CpuTime => "guest_deadline",
                CallError::Deadline => "request_timeout",
                CallError::OutOfMemory(_) => "guest_out_of_memory",
                CallError::NoResponse => "guest_no_response",
                CallError::InvalidResponse(_) => "guest_invalid_response",
                CallError::RequestTooLarge => "payload_too_large",
                CallError::CutOff => "draining",
                CallError::NoSlot => "bulkhead_full",
                CallError::Start(_) => "connect_failed",
            },
        }
    }

    fn title(&self) -> &'static str {
        match self.reason() {
            "no_route" => "No route matches this request",
            "no_instance" => "The service is not available",
            "bulkhead_full" => "The service has too many requests at once",
            "request_timeout" => "The request was not answered in time",
            "payload_too_large" => "The request body is too large",
            "bad_request" => "The request is not valid",
            "draining" => "The service is being replaced or stopped",
            "guest_trap" | "guest_panic" => "The service failed",
            "guest_deadline" => "The service used too much CPU time",
            "guest_out_of_memory" => "The service ran out of memory",
            "guest_no_response" | "guest_invalid_response" => "The service gave no valid response",
            "connect_failed" => "The service could not be started",
            _ => "The gateway failed",
        }
    }

    /// Seconds after which it makes sense to try again.
    fn retry_after(&self) -> Option<HeaderValue> {
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then(|| HeaderValue::from_static("1"))
    }

    /// The problem document.
    pub fn to_response(&self, request_id: &str) -> Response<Bytes> {
        let detail = if let Self::BadRequest(detail) = self { Some(*detail) } else { None };
        let status = self.status();
        let problem = Problem {
            kind: "about:blank",
            title: self.title(),
            status: status.as_u16(),
            reason: self.reason(),
            detail,
            request_id,
        };
        // Strings and a number: cannot fail to serialize.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(value) = self.retry_after() {
            headers.insert(RETRY_AFTER, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_a_guest_never_reach_the_client() {
        let error = GatewayError::from(CallError::Panic("secret at src/lib.rs:7".to_owned()));
        let response = error.to_response("id-1");
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        assert_eq!(response.status(), 502);
        assert!(!body.contains("secret"), "{body}");
        assert!(body.contains(r#""reason":"guest_panic""#), "{body}");
        assert!(body.contains(r#""requestId":"id-1""#), "{body}");
    }

    #[test]
    fn overload_says_when_to_come_back() {
        for error in [GatewayError::BulkheadFull, GatewayError::NotServing("a".to_owned()), GatewayError::Draining] {
            let response = error.to_response("");
            assert_eq!(response.status(), 503);
            assert!(response.headers().contains_key(RETRY_AFTER), "{error:?}");
        }
        assert!(!GatewayError::NoRoute.to_response("").headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn every_failure_of_a_guest_has_a_reason_of_its_own() {
        let text = String::new;
        let all = [
            CallError::Trap(text()),
            CallError::Panic(text()),
            CallError::CpuTime,
            CallError::Deadline,
            CallError::OutOfMemory(text()),
            CallError::NoResponse,
            CallError::InvalidResponse(text()),
            CallError::RequestTooLarge,
            CallError::NoSlot,
            CallError::Start(text()),
            CallError::CutOff,
        ];
        let mut reasons: Vec<_> = all.iter().map(|error| GatewayError::from(error.clone()).reason()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), all.len());
    }
}
