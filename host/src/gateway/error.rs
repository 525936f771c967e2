//! Every way a request can fail at the gateway, and what the client is told.
//!
//! The only place that turns a failure into an HTTP status. The client gets a problem document (RFC 9457) with one
//! word for the reason; what happened inside the guest or the host is for the log. The match arms name every variant,
//! so a new failure does not compile until somebody decided what it means to a client.

#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::upstream::UpstreamError;
use crate::capability::bus::{PublishError, QueueFailure};
use crate::contract::{Kind, Place, Violation};
use crate::plugin::CallError;

/// Every word that [`GatewayError::reason`] can say, and what the log says of a client that left. Metrics have a series
/// for each from the start.
pub(super) const REASONS: [&str; 36] = [
    "bad_request",
    "bulkhead_full",
    "circuit_open",
    CLIENT_GONE,
    "client_timeout",
    "connect_failed",
    "contract_request",
    "contract_response",
    "draining",
    "event_chain_too_long",
    "events_full",
    "events_unavailable",
    "fault_injected",
    "forbidden",
    "grant_denied",
    "guest_deadline",
    "guest_invalid_response",
    "guest_no_response",
    "guest_out_of_memory",
    "guest_panic",
    "guest_trap",
    "identity_unavailable",
    "internal",
    "loop_detected",
    "misdirected",
    "no_instance",
    "no_route",
    "no_version",
    "payload_too_large",
    "rate_limited",
    "receipt_expired",
    "request_timeout",
    "starting",
    "unauthorized",
    "upstream_invalid_response",
    "upstream_reset",
];

/// What a client that left before its answer was complete is called.
pub(super) const CLIENT_GONE: &str = "client_gone";

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
    /// No instance may be asked: there is none with a weight, or none that is well.
    #[error("no instance of `{0}` can be asked")]
    NoInstance(String),
    /// The circuit breaker is open; how long until it makes sense to come again.
    #[error("the circuit breaker is open")]
    CircuitOpen(Duration),
    /// Another server gave no good answer.
    #[error(transparent)]
    Upstream(UpstreamError),
    /// Calls between services go too deep, or in a ring; the services on the way.
    #[error("calls between services go too deep or in a ring: {0}")]
    LoopDetected(String),
    /// A service calls another that it was not given.
    #[error("the caller has no grant for this service")]
    GrantDenied,
    /// The service only handles events.
    #[error("the service answers no HTTP requests: it handles events")]
    NoHttp,
    /// A service's events were not published.
    #[error(transparent)]
    Publish(PublishError),
    /// A queue did not do what a service asked for.
    #[error(transparent)]
    Queue(QueueFailure),
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
    /// The target is longer than `requests.maxUri`.
    #[error("the address is too long")]
    UriTooLong,
    /// Too many headers.
    #[error("the request has too many headers")]
    HeadersTooLarge,
    /// A method that is never passed on.
    #[error("method {0} is not allowed")]
    MethodNotAllowed(String),
    /// Something HTTP has and the gateway has not.
    #[error("not supported: {0}")]
    NotSupported(&'static str),
    /// The client expects something other than `100-continue`.
    #[error("the expectation cannot be met")]
    ExpectationFailed,
    /// The connection was made for another host.
    #[error("this connection is not for this host")]
    Misdirected,
    /// The client did not send the body in time.
    #[error("the client did not send the request's body in time")]
    BodyTimeout,
    /// Nobody proved who they are; how they can.
    #[error("not authenticated")]
    Unauthorized(Vec<HeaderValue>),
    /// Who a client is cannot be found out at present: keys could not be fetched.
    #[error("the client's identity cannot be checked at present")]
    IdentityUnavailable,
    /// It is known who asks, and they may not.
    #[error("not allowed")]
    Forbidden,
    /// Too many requests of this kind; seconds until the next one may come.
    #[error("too many requests")]
    RateLimited(u64),
    /// A `fault` filter made it fail on purpose, with this status.
    #[error("failed on purpose")]
    FaultInjected(u16),
    /// Nobody is there to answer, but not all files of the plugins folder are loaded since the host started.
    #[error("the host is starting")]
    Starting,
    /// The version was replaced and this request did not finish in its drain time, or the host is stopping.
    #[error("the service is being replaced or stopped")]
    Draining,
    /// The request names a version of the service's API that is not there.
    #[error("no version of the service is like that; there are: {there}")]
    NoVersion {
        /// Whether it is named in the path.
        in_path: bool,
        /// First numbers of those that are.
        there: String,
    },
    /// The request breaks what the service's OpenAPI document asks for.
    #[error("the request breaks the service's contract: {0}")]
    ContractRequest(Box<Refused>),
    /// The response breaks what the document promises. What is wrong with it is for the log.
    #[error("the response breaks the service's contract")]
    ContractResponse,
    /// The guest gave no good answer.
    #[error(transparent)]
    Guest(CallError),
    /// A defect of the host.
    #[error("the gateway failed")]
    Internal,
}

/// What is wrong with a request, by its service's contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Methods that the path has, if that is what is wrong.
    allowed: Option<HeaderValue>,
    violations: Vec<Violation>,
}

impl Refused {
    pub(super) fn new(allowed: &[&str], violations: Vec<Violation>) -> Self {
        // Names of methods.
        let allowed = (!allowed.is_empty()).then(|| HeaderValue::from_str(&allowed.join(", ")).ok()).flatten();
        Self { allowed, violations }
    }

    /// What is most fundamentally wrong decides.
    fn status(&self) -> StatusCode {
        let has = |kind| self.violations.iter().any(|violation| violation.kind == kind);
        if has(Kind::Path) {
            StatusCode::NOT_FOUND
        } else if has(Kind::Method) {
            StatusCode::METHOD_NOT_ALLOWED
        } else if has(Kind::ContentType) {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        } else {
            StatusCode::BAD_REQUEST
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut violations = self.violations.iter();
        if let Some(first) = violations.next() {
            write!(f, "{first}")?;
        }
        violations.try_for_each(|violation| write!(f, "; {violation}"))
    }
}

/// One thing that is wrong with a request, in a problem document.
#[derive(Debug, Serialize)]
struct Wrong<'a> {
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    place: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
}

impl<'a> From<&'a Violation> for Wrong<'a> {
    fn from(violation: &'a Violation) -> Self {
        let (pointer, place, parameter) = match &violation.place {
            Place::Head => (None, None, None),
            Place::Parameter { location, name } => (None, Some(*location), Some(name.as_str())),
            // A fragment, as in the RFC's own example.
            Place::Body(pointer) => (Some(format!("#{pointer}")), Some("body"), None),
        };
        Self { detail: &violation.message, pointer, place, parameter }
    }
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong<'a>>,
}

impl From<CallError> for GatewayError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Deadline => Self::RequestTimeout,
            CallError::RequestTooLarge => Self::PayloadTooLarge,
            CallError::RequestStalled => Self::BodyTimeout,
            CallError::RequestBroken(_) => Self::BadRequest("the request's body is not valid or not complete"),
            CallError::NoSlot => Self::BulkheadFull,
            CallError::NoHttp => Self::NoHttp,
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

impl From<UpstreamError> for GatewayError {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Request(error) => error.into(),
            UpstreamError::Timeout => Self::RequestTimeout,
            UpstreamError::NotDelivered(_) | UpstreamError::Broken(_) | UpstreamError::InvalidResponse(_) => {
                Self::Upstream(error)
            }
        }
    }
}

impl GatewayError {
    /// Whether it speaks against whoever was asked, when a response breaks off.
    pub(super) fn is_of_callee(&self) -> bool {
        matches!(self, Self::Guest(_) | Self::Upstream(_))
    }

    /// What the client is told by the status line.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::NoHttp => StatusCode::NOT_FOUND,
            Self::NoBackend | Self::UnknownService(_) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotServing(_)
            | Self::NoInstance(_)
            | Self::CircuitOpen(_)
            | Self::BulkheadFull
            | Self::Starting
            | Self::Draining
            | Self::IdentityUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(error) => match error {
                UpstreamError::NotDelivered(_) => StatusCode::SERVICE_UNAVAILABLE,
                UpstreamError::Timeout => StatusCode::GATEWAY_TIMEOUT,
                UpstreamError::Broken(_) | UpstreamError::InvalidResponse(_) | UpstreamError::Request(_) => {
                    StatusCode::BAD_GATEWAY
                }
            },
            Self::Publish(error) => match error {
                PublishError::Denied(_) => StatusCode::FORBIDDEN,
                PublishError::Invalid(_) => StatusCode::BAD_REQUEST,
                PublishError::ChainTooLong(_) => StatusCode::LOOP_DETECTED,
                PublishError::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
                PublishError::Full(_) | PublishError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Queue(failure) => match failure {
                QueueFailure::Denied(_) => StatusCode::FORBIDDEN,
                QueueFailure::Invalid(_) => StatusCode::BAD_REQUEST,
                QueueFailure::Expired => StatusCode::GONE,
                QueueFailure::Full(_) | QueueFailure::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::NoVersion { in_path: true, .. } => StatusCode::NOT_FOUND,
            Self::NoVersion { in_path: false, .. } => StatusCode::NOT_ACCEPTABLE,
            Self::ContractRequest(refused) => refused.status(),
            Self::ContractResponse => StatusCode::BAD_GATEWAY,
            Self::LoopDetected(_) => StatusCode::LOOP_DETECTED,
            Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotSupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::GrantDenied => StatusCode::FORBIDDEN,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            // Any number from 400 to 599 is a status.
            Self::FaultInjected(status) => StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            Self::Guest(error) => match error {
                CallError::CpuTime | CallError::Deadline => StatusCode::GATEWAY_TIMEOUT,
                CallError::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                CallError::RequestStalled => StatusCode::REQUEST_TIMEOUT,
                CallError::RequestBroken(_) => StatusCode::BAD_REQUEST,
                CallError::NoHttp => StatusCode::NOT_FOUND,
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
            Self::NoRoute | Self::NoHttp => "no_route",
            Self::NoBackend | Self::UnknownService(_) | Self::NotServing(_) | Self::NoInstance(_) => "no_instance",
            Self::CircuitOpen(_) => "circuit_open",
            Self::Upstream(error) => match error {
                UpstreamError::NotDelivered(_) => "connect_failed",
                UpstreamError::Timeout => "request_timeout",
                UpstreamError::Broken(_) => "upstream_reset",
                UpstreamError::InvalidResponse(_) | UpstreamError::Request(_) => "upstream_invalid_response",
            },
            Self::Publish(error) => match error {
                PublishError::Denied(_) => "grant_denied",
                PublishError::Invalid(_) => "bad_request",
                PublishError::ChainTooLong(_) => "event_chain_too_long",
                PublishError::TooFast(_) => "rate_limited",
                PublishError::Full(_) => "events_full",
                PublishError::Unavailable(_) => "events_unavailable",
            },
            Self::Queue(failure) => match failure {
                QueueFailure::Denied(_) => "grant_denied",
                QueueFailure::Invalid(_) => "bad_request",
                QueueFailure::Expired => "receipt_expired",
                QueueFailure::Full(_) => "events_full",
                QueueFailure::Unavailable(_) => "events_unavailable",
            },
            Self::NoVersion { .. } => "no_version",
            Self::ContractRequest(_) => "contract_request",
            Self::ContractResponse => "contract_response",
            Self::LoopDetected(_) => "loop_detected",
            Self::GrantDenied => "grant_denied",
            Self::BulkheadFull => "bulkhead_full",
            Self::RequestTimeout => "request_timeout",
            Self::PayloadTooLarge => "payload_too_large",
            Self::BadRequest(_)
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::MethodNotAllowed(_)
            | Self::NotSupported(_)
            | Self::ExpectationFailed => "bad_request",
            Self::Misdirected => "misdirected",
            Self::BodyTimeout => "client_timeout",
            Self::Unauthorized(_) => "unauthorized",
            Self::IdentityUnavailable => "identity_unavailable",
            Self::Forbidden => "forbidden",
            Self::RateLimited(_) => "rate_limited",
            Self::FaultInjected(_) => "fault_injected",
            Self::Starting => "starting",
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
                CallError::RequestStalled => "client_timeout",
                CallError::RequestBroken(_) => "bad_request",
                CallError::CutOff => "draining",
                CallError::NoSlot => "bulkhead_full",
                CallError::NoHttp => "no_route",
                CallError::Start(_) => "connect_failed",
            },
        }
    }

    fn title(&self) -> &'static str {
        match self.reason() {
            "no_route" => "No route matches this request",
            "no_instance" => "The service is not available",
            "circuit_open" => "The service fails and is not asked for now",
            "upstream_reset" => "The service broke off",
            "upstream_invalid_response" => "The service gave no valid response",
            "no_version" => "The service has no such version",
            "contract_request" => "The request is not as the service describes it",
            "contract_response" => "The service's response is not as it describes it",
            "loop_detected" => "Calls between services go too deep or in a ring",
            "grant_denied" if matches!(self, Self::Publish(_)) => "The service may not publish this",
            "grant_denied" if matches!(self, Self::Queue(_)) => "The service may not use this queue",
            "event_chain_too_long" => "Too many events followed from one another",
            "events_full" => "There is no room for more at present",
            "events_unavailable" => "Events and queues do not work at present",
            "receipt_expired" => "Somebody else may have this message",
            "grant_denied" => "The caller may not call this service",
            "bulkhead_full" => "The service has too many requests at once",
            "request_timeout" => "The request was not answered in time",
            "payload_too_large" => "The request body is too large",
            "bad_request" => "The request is not valid",
            "misdirected" => "This connection is not for this host",
            "client_timeout" => "The request's body did not come in time",
            "unauthorized" => "The request needs valid credentials",
            "identity_unavailable" => "Credentials cannot be checked at present",
            "forbidden" => "The request is not allowed",
            "rate_limited" => "Too many requests",
            "fault_injected" => "The request was made to fail on purpose",
            "starting" => "The host is starting",
            "draining" => "The service is being replaced or stopped",
            "guest_trap" | "guest_panic" => "The service failed",
            "guest_deadline" => "The service used too much CPU time",
            "guest_out_of_memory" => "The service ran out of memory",
            "guest_no_response" | "guest_invalid_response" => "The service gave no valid response",
            "connect_failed" => "The service could not be reached",
            _ => "The gateway failed",
        }
    }

    /// Seconds after which it makes sense to try again.
    fn retry_after(&self) -> Option<HeaderValue> {
        if let Self::RateLimited(seconds) = self {
            return Some(HeaderValue::from(*seconds));
        }
        if let Self::CircuitOpen(wait) | Self::Publish(PublishError::TooFast(wait)) = self {
            return Some(HeaderValue::from(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)));
        }
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then(|| HeaderValue::from_static("1"))
    }

    /// The problem document.
    pub fn to_response(&self, request_id: &str) -> Response<Bytes> {
        let said = matches!(self, Self::Publish(_) | Self::Queue(_) | Self::NoHttp | Self::NoVersion { .. })
            .then(|| self.to_string());
        let detail = if let Self::BadRequest(detail) | Self::NotSupported(detail) = self {
            Some(*detail)
        } else if let Self::LoopDetected(way) = self {
            Some(way.as_str())
        } else {
            said.as_deref()
        };
        let status = self.status();
        let violations = if let Self::ContractRequest(refused) = self { refused.violations.as_slice() } else { &[] };
        let problem = Problem {
            kind: "about:blank",
            title: self.title(),
            status: status.as_u16(),
            reason: self.reason(),
            detail,
            request_id,
            errors: violations.iter().map(Wrong::from).collect(),
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
        if let Self::Unauthorized(challenges) = self {
            for challenge in challenges {
                headers.append(WWW_AUTHENTICATE, challenge.clone());
            }
        }
        if let Self::ContractRequest(refused) = self
            && let Some(allowed) = &refused.allowed
        {
            headers.insert(ALLOW, allowed.clone());
        }
        if let Self::MethodNotAllowed(_) = self {
            // RFC 9110 wants the list of those that are; which they are depends on the service.
            headers.insert(ALLOW, const { HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS") });
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
    fn a_fault_has_the_status_that_it_was_given() {
        for status in [400, 418, 503, 599] {
            let response = GatewayError::FaultInjected(status).to_response("");
            assert_eq!(response.status(), status);
            assert!(response.body().windows(14).any(|text| text == b"fault_injected"));
        }
    }

    #[test]
    fn overload_says_when_to_come_back() {
        for error in [
            GatewayError::BulkheadFull,
            GatewayError::Starting,
            GatewayError::NotServing("a".to_owned()),
            GatewayError::Draining,
        ] {
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
            CallError::RequestStalled,
            CallError::RequestBroken(text()),
            CallError::NoSlot,
            CallError::Start(text()),
            CallError::CutOff,
            CallError::NoHttp,
        ];
        let mut reasons: Vec<_> = all.iter().map(|error| GatewayError::from(error.clone()).reason()).collect();
        assert!(reasons.iter().all(|reason| REASONS.contains(reason)), "{reasons:?}");
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), all.len());
    }

    #[test]
    fn metrics_have_a_series_for_every_reason() {
        let text = String::new;
        // `reason` itself: a word that it can say and that is not in the list has no series.
        let code = include_str!("error.rs").split("pub fn reason").nth(1).unwrap().split("fn title").next().unwrap();
        let mut said: Vec<_> = code.split('"').skip(1).step_by(2).filter(|word| !word.is_empty()).collect();
        said.push(CLIENT_GONE);
        said.sort_unstable();
        said.dedup();
        assert_eq!(said, REASONS);
        assert!(said.contains(&GatewayError::NoInstance(text()).reason()));
    }
}
