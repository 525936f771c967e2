//! Outgoing HTTP: the way from a guest to other services and to the network.
//!
//! Decided here: what a call carries ([`Caller`]), and which error of wasi:http a guest gets when there is no response
//! at all ([`DispatchError`]). Who may call whom, where a name leads and what is sent is decided by whoever implements
//! [`Dispatch`]; how many calls a request may make, and how long it waits for them, where the guest runs.
//!
//! A guest never opens a socket. Its request, with a body that still streams, is handed to the one [`Dispatch`] of the
//! host, and what comes back is a response whose body streams too. Dropping either side ends the call.
//!
//! An answer that the gateway makes in place of a service (no instance, a full bulkhead, a failed guest, a loop) is a
//! response with a problem document, as a client from outside gets it: every HTTP client understands that. An error is
//! only what no server could have said: the call was not granted, the name does not exist, the answer did not come in
//! the time that the guest gave it. One error means the same in wasi:http 0.2 and 0.3.

use std::pin::Pin;
use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderValue, Request, Response};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody};

use super::bus::Publisher;
use super::delivery::Delivery;

/// The attribute that events have in common which belong together.
const CORRELATION: &str = "correlationid";
/// The attribute that says how manieth an event is in a chain of events that follow from one another; the first, which
/// follows from none, is without it. Only the host sets it.
pub const DEPTH: &str = "wharfdepth";

/// Who calls, in whose request, and how it came to that.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The calling service.
    pub service: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// The id of the request it works on; the call has the same.
    pub request_id: Arc<str>,
    /// When its own response must be complete; `None` is never. No call may take longer.
    pub deadline: Option<Instant>,
    /// The trace of its request, as it was told.
    pub trace: Trace,
    /// What it was told about the client, under names that nobody else may use.
    pub identity: HeaderMap,
    /// The services that the request came through before it, the first one first.
    pub path: Vec<Arc<str>>,
    /// The event that this is a consequence of, if it is.
    pub cause: Option<Arc<Cause>>,
}

/// The event that a request delivers, or that led to the request by calls in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The event's id.
    pub event: String,
    /// What belongs together: its `correlationid`, or its id if it has none.
    pub correlation: String,
    /// How many events came before it, one out of the other.
    pub depth: u32,
}

impl Cause {
    /// What a request's extensions say of it: that it delivers an event, or that its caller knows of one.
    pub fn of(extensions: &Extensions) -> Option<Arc<Self>> {
        let Some(delivery) = extensions.get::<Delivery>() else { return extensions.get::<Arc<Self>>().cloned() };
        let event = &delivery.event.event;
        let correlation = event.extensions.get(CORRELATION).unwrap_or(&event.id).clone();
        let depth = event.extensions.get(DEPTH).and_then(|depth| depth.parse().ok()).unwrap_or(0);
        Some(Arc::new(Self { event: event.id.clone(), correlation, depth }))
    }
}

impl Caller {
    /// Who publishes, when this publishes.
    pub fn publisher(&self) -> Publisher {
        let (correlation, causation, depth) = match self.cause.as_deref() {
            Some(Cause { event, correlation, depth }) => {
                (correlation.clone(), Some(event.clone()), depth.saturating_add(1))
            }
            None => (self.request_id.to_string(), None, 0),
        };
        Publisher {
            service: Arc::clone(&self.service),
            correlation: Some(correlation).filter(|id| !id.is_empty()),
            causation,
            depth,
            trace: self.trace.clone(),
        }
    }
}

/// W3C trace context in its two headers.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// `traceparent`
    pub parent: Option<HeaderValue>,
    /// `tracestate`
    pub state: Option<HeaderValue>,
}

/// Why a call has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The caller was not given this destination.
    #[error("it is not granted")]
    NotGranted,
    /// The destination is no name that there could be.
    #[error("there is no such name")]
    NoSuchName,
    /// The name is right and nothing has it.
    #[error("there is no such service")]
    NotFound,
    /// Nothing listens on this port.
    #[error("nothing listens on this port")]
    PortClosed,
    /// The request's address cannot be read in one way only.
    #[error("the address is not valid")]
    BadAddress,
    /// The request has made all the calls it may.
    #[error("the request has made all the calls it may")]
    UsedUp,
    /// Too many calls are open.
    #[error("too many calls are open at once")]
    TooManyOpen,
    /// The answer did not come in time.
    #[error("no answer came in time")]
    Timeout,
    /// No connection came about in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The other side could not prove who it is, or TLS failed otherwise.
    #[error("the TLS handshake failed")]
    Untrusted,
    /// The connection broke off.
    #[error("the connection broke off")]
    Broken,
    /// What came is no response.
    #[error("the response is not valid")]
    BadResponse,
    /// The host that would carry the call is going away.
    #[error("the host is stopping")]
    Stopping,
}

impl From<DispatchError> for HttpError {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::NotGranted | DispatchError::UsedUp => Self::HttpRequestDenied,
            DispatchError::NoSuchName => Self::DnsError { rcode: Some("NXDOMAIN".to_owned()), info_code: None },
            DispatchError::NotFound => Self::DestinationNotFound,
            DispatchError::PortClosed => Self::ConnectionRefused,
            DispatchError::BadAddress => Self::HttpRequestUriInvalid,
            DispatchError::TooManyOpen => Self::ConnectionLimitReached,
            DispatchError::Timeout => Self::HttpResponseTimeout,
            DispatchError::ConnectTimeout => Self::ConnectionTimeout,
            DispatchError::Untrusted => Self::TlsCertificateError,
            DispatchError::Broken => Self::ConnectionTerminated,
            DispatchError::BadResponse => Self::HttpProtocolError,
            DispatchError::Stopping => Self::DestinationUnavailable,
        }
    }
}

/// A call under way. Dropping it ends the call.
pub type Dispatched = Pin<Box<dyn Future<Output = Result<Response<WasiBody>, DispatchError>> + Send>>;

/// Who polls a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolledBy {
    /// A task of its own, on the executor that runs the guest: wasi:http 0.2.
    Task,
    /// The guest, on its clock: wasi:http 0.3.
    Guest,
}

/// Carries requests of guests to where they are meant to go.
pub trait Dispatch: Send + Sync + 'static {
    /// Sends a request. Its URI is absolute, as the guest wrote it. Of `options`, the time to connect is the
    /// implementation's to keep; the others are kept by the caller. A future that the guest polls waits only: what it
    /// waits for runs elsewhere, so that the guest does not pay for it.
    fn dispatch(
        self: Arc<Self>,
        caller: Caller,
        request: Request<WasiBody>,
        options: RequestOptions,
        polled_by: PolledBy,
    ) -> Dispatched;
}
