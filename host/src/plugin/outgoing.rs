//! Requests that a guest sends: how many, how long, and what becomes of them when the guest ends.
//!
//! ```text
//! guest ─ outgoing request ─ counted ─→ Dispatch ─→ response ─ body ─→ guest
//!                               └──────── open until the body was read to its end or dropped ────┘
//! ```
//!
//! | what | bound |
//! |---|---|
//! | requests that one request makes, refused ones too | `limits.calls` |
//! | of them open at once | `limits.openCalls` |
//! | time to the head of the response | the guest's first-byte timeout |
//! | time between two pieces of its body | the guest's between-bytes timeout |
//! | time altogether | the deadline of the request that the guest works on |
//!
//! Where a request goes, and whether it may, is not decided here but by the [`Dispatch`] that is handed in: this room
//! knows no other service. Everything that belongs to a call lies in the guest's store, so a guest that ends, traps or
//! is cut off takes its calls with it; a store with an open call is not used for another request. While a guest waits
//! it is not polled, so its CPU time stands still.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HeaderName;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error as HttpError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::engine::HttpVersion;
use super::exchange::Exchange;
use crate::capability::http::{DispatchError, PolledBy};
use crate::capability::{InRequest, ServiceCapabilities};
use crate::config::Limits;

/// What a guest writes at once, and how many of these wait for a reader who does not read: small, since a service has
/// as many of them as its bulkhead lets in.
const BODY_CHUNK: usize = 16 << 10;
const BODY_CHUNKS: usize = 2;
/// Characters of a destination in a log line.
const MAX_SHOWN: usize = 200;

/// How many calls a request may make, and has made.
#[derive(Debug)]
pub(super) struct CallBudget {
    made: AtomicU32,
    open: AtomicU32,
    max_made: u32,
    max_open: u32,
}

/// A call that is open for as long as this lives.
struct OpenCall(Arc<Exchange>);

impl CallBudget {
    pub(super) fn new(limits: &Limits) -> Self {
        let none = || AtomicU32::new(0);
        Self { made: none(), open: none(), max_made: limits.calls, max_open: limits.open_calls }
    }

    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }
}

impl OpenCall {
    fn begin(exchange: &Arc<Exchange>) -> Result<Self, DispatchError> {
        let CallBudget { made, open, max_made, max_open } = &exchange.calls;
        let count = |counter: &AtomicU32, max: u32| {
            counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1)).is_ok()
        };
        if !count(made, *max_made) {
            return Err(DispatchError::UsedUp);
        }
        if !count(open, *max_open) {
            return Err(DispatchError::TooManyOpen);
        }
        Ok(Self(Arc::clone(exchange)))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.calls.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What wasi:http asks the host.
pub(super) struct Hooks {
    capabilities: Arc<ServiceCapabilities>,
    /// The request that the guest works on.
    pub(super) exchange: Option<Arc<Exchange>>,
    polled_by: PolledBy,
}

type Io = Box<dyn Future<Output = Result<(), HttpError>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Io), HttpError>;

/// One filter for all: the default makes a new one for every header.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));

fn is_forbidden(name: &HeaderName) -> bool {
    wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

impl Hooks {
    pub(super) fn new(capabilities: Arc<ServiceCapabilities>, exchange: Arc<Exchange>, http: HttpVersion) -> Self {
        let polled_by = match http {
            HttpVersion::V02 => PolledBy::Task,
            HttpVersion::V03 => PolledBy::Guest,
        };
        Self { capabilities, exchange: Some(exchange), polled_by }
    }

    fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<impl Future<Output = Sent> + Send + use<>, DispatchError> {
        // Without a request there is nobody in whose name it could be sent.
        let exchange = self.exchange.as_ref().ok_or(DispatchError::NotGranted)?;
        let refused = |error| refuse(exchange, &shown(&request), error);
        let open = OpenCall::begin(exchange).map_err(refused)?;
        let dispatch = self.capabilities.dispatch().ok_or(DispatchError::Stopping)?;
        let destination = shown(&request);
        let exchange = Arc::clone(exchange);
        let called = dispatch.dispatch(exchange.caller(), request, options, self.polled_by);
        Ok(async move {
            let called = match options.first_byte_timeout {
                Some(limit) => tokio::time::timeout(limit, called).await.unwrap_or(Err(DispatchError::Timeout)),
                None => called.await,
            };
            let response = called.map_err(|error| refuse(&exchange, &destination, error))?;
            let gap = options.between_bytes_timeout.map(Gap::new);
            let response = response.map(|inner| WasiBody::new(Answer { inner: Some((inner, open)), gap }));
            let nothing_left: Io = Box::new(std::future::ready(Ok(())));
            Ok((response, nothing_left))
        })
    }
}

/// Where a request was to go, for a log line. A guest wrote it.
fn shown(request: &Request<WasiBody>) -> String {
    request.uri().authority().map_or_else(String::new, |host| host.as_str().chars().take(MAX_SHOWN).collect())
}

/// Tells the operator why a service does not get what it asks for; once a request, since it may ask often.
fn refuse(exchange: &Exchange, destination: &str, error: DispatchError) -> DispatchError {
    let advice = match error {
        DispatchError::NotGranted => {
            "; name a service in grants.calls of its caller, and call it by http; a host outside in grants.egress"
        }
        DispatchError::UsedUp => "; see limits.calls",
        DispatchError::TooManyOpen => "; see limits.openCalls",
        DispatchError::NoSuchName | DispatchError::NotFound | DispatchError::PortClosed | DispatchError::BadAddress => {
            "; a service is called as http://<service>.internal/"
        }
        // Clocks, and what others do.
        DispatchError::Timeout
        | DispatchError::ConnectTimeout
        | DispatchError::Untrusted
        | DispatchError::Broken
        | DispatchError::BadResponse
        | DispatchError::Stopping => return error,
    };
    exchange.warn_of_call(destination, &error, advice);
    error
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        match self.send(request, options.unwrap_or_default()) {
            Ok(sent) => Box::new(sent),
            Err(error) => Box::new(std::future::ready(Err(error.into()))),
        }
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }
}

/// The next piece, or that it did not come in time.
fn next(
    body: &mut WasiBody,
    gap: Option<&mut Gap>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
    let polled = Pin::new(body).poll_frame(cx);
    let Some(gap) = gap else { return polled };
    if polled.is_ready() {
        gap.over = None;
    } else if gap.poll(cx).is_ready() {
        return Poll::Ready(Some(Err(HttpError::ConnectionReadTimeout)));
    }
    polled
}

/// The body of a response to the guest.
struct Answer {
    /// Gone at its end, and with it the call.
    inner: Option<(WasiBody, OpenCall)>,
    gap: Option<Gap>,
}

/// How long a guest waits for the next piece. Runs only while it waits.
struct Gap {
    limit: Duration,
    over: Option<Pin<Box<Sleep>>>,
}

impl Gap {
    fn new(limit: Duration) -> Self {
        Self { limit, over: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        // A time that no clock can show is never over.
        let Some(end) = Instant::now().checked_add(limit) else { return Poll::Pending };
        self.over.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end))).as_mut().poll(cx)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Self { inner, gap } = &mut *self;
        let Some((body, _)) = inner else { return Poll::Ready(None) };
        let polled = next(body, gap.as_mut(), cx);
        let is_over = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(Some(Err(_)) | None) => true,
            Poll::Pending => false,
        };
        if is_over {
            *inner = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests;
