//! Calling a guest: from a request to the head of its response.
//!
//! ```text
//! inline      the guest's future is polled on the connection's own task: no task, no queue, no other thread
//!   ├─ head and body there at once       → a complete response with its length
//!   ├─ head there, body not yet          → a task of its own drives the guest on, the body streams
//!   ├─ used more than 2 ms of CPU        → moved to the compute executor, the head is awaited from here
//!   └─ deadline, or the client has left  → the future is dropped: the guest is gone
//! ```
//!
//! What the guest does with the request is in `serve`; here it is only a future that is polled on the clock.

use std::any::Any;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::WasiBody;

use super::body::{GuestBody, InlineBody, LimitedRequestBody, Running};
use super::error::CallError;
use super::exchange::Exchange;
use super::meter::Meter;
use super::outgoing::CallBudget;
use super::serve::{Ends, Head, serve};
use super::store::GuestFuture;
use super::version::Version;
use crate::capability::delivery::Delivery;
use crate::capability::http::{Caller, Cause, Trace};

/// What a call carries besides the request.
#[derive(Default)]
pub struct CallContext {
    /// Names the request in log lines.
    pub request_id: Option<Arc<str>>,
    /// When the response must be complete; `None` is never.
    pub deadline: Option<Instant>,
    /// Bytes of request body, if there is a tighter bound than the service's own.
    pub max_request_body: Option<u64>,
    /// Services that the request came through, the first one first; empty if it comes from outside.
    pub path: Vec<Arc<str>>,
    /// What the request's headers say about the client in the gateway's name; the guest may say the same when it calls
    /// others.
    pub identity: HeaderMap,
    /// Kept until the guest is done, or nobody wants its response any more.
    pub permit: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for CallContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallContext").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The guest's future on the clock.
pub(super) struct Metered {
    /// Gone once it has ended.
    pub(super) guest: Option<GuestFuture>,
    pub(super) exchange: Arc<Exchange>,
}

enum Step {
    Head(Head),
    Heavy,
    Ended,
}

impl Version {
    /// Has this version answer `request`. The URI must be absolute, or a `Host` header be there. An error of its body
    /// says what is wrong with the client, and is the call's error whatever the guest makes of it.
    ///
    /// # Errors
    /// When the guest gives no response that can be sent; see [`CallError`]. A failure after the head is an error of
    /// the response's body.
    pub async fn call<B>(
        self: &Arc<Self>,
        request: Request<B>,
        context: CallContext,
    ) -> Result<Response<GuestBody>, CallError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let serves = self.serves();
        if serves.http.is_none() && request.extensions().get::<Delivery>().is_none() {
            return Err(CallError::NoHttp);
        }
        let settings = self.settings();
        let CallContext { request_id, deadline, max_request_body, path, identity, permit } = context;
        let trace = {
            let header = |name| request.headers().get(name).cloned();
            Trace { parent: header("traceparent"), state: header("tracestate") }
        };
        let caller = self.caller(request_id.unwrap_or_else(|| Arc::from("")), deadline);
        let cause = Cause::of(request.extensions());
        let caller = Caller { trace, identity, path, cause, ..caller };
        let (meter, calls) = (Meter::new(settings.limits.cpu_time.get()), CallBudget::new(&settings.limits));
        let exchange = Arc::new(Exchange::new(meter, calls, caller, permit, self.enter()));
        let of_service = settings.limits.request_body.get();
        let limit = max_request_body.map_or(of_service, |max| max.min(of_service));
        let response_limit = settings.limits.response_body.get();
        let request = request.map(|body| WasiBody::new(LimitedRequestBody::new(body, limit, Arc::clone(&exchange))));

        let (head, head_receiver) = oneshot::channel();
        let (body_done_sender, body_done) = oneshot::channel();
        let guest = serve(Arc::clone(self), settings, request, Arc::clone(&exchange), Ends { head, body_done });
        let guest = Metered { guest: Some(Box::pin(guest)), exchange: Arc::clone(&exchange) };

        let called = self.respond(guest, Some(head_receiver), deadline, body_done_sender, response_limit).await;
        called.map_err(|error| {
            exchange.fail(error.clone());
            exchange.failure().cloned().unwrap_or(error)
        })
    }

    /// Runs the guest until the head of its response is there, and makes a body of the rest.
    async fn respond(
        self: &Arc<Self>,
        mut guest: Metered,
        mut head: Option<oneshot::Receiver<Head>>,
        deadline: Option<Instant>,
        body_done: oneshot::Sender<()>,
        limit: u64,
    ) -> Result<Response<GuestBody>, CallError> {
        let exchange = Arc::clone(&guest.exchange);
        // A buffered body must not look pending because the task's budget of wake-ups is spent.
        let inline = tokio::task::unconstrained(poll_fn(|cx| guest.step(cx, &mut head)));
        match within(&exchange, deadline, inline).await? {
            Step::Ended => Err(exchange.failure().cloned().unwrap_or(CallError::NoResponse)),
            Step::Heavy => {
                let running = self.engines.compute().spawn(guest);
                let head = match head {
                    Some(head) => within(&exchange, deadline, head).await?.ok(),
                    None => None,
                };
                let Some(head) = head else {
                    // The sender went with the guest; its failure was written before.
                    within(&exchange, deadline, running).await?.map_err(|error| CallError::Start(error.to_string()))?;
                    return Err(exchange.failure().cloned().unwrap_or(CallError::NoResponse));
                };
                let response = checked(head, &exchange)?;
                let end = stream_deadline(&response, deadline, &exchange);
                let watching = watch(running, end, Arc::clone(&exchange));
                let running = Running { guest: AbortOnDropHandle::new(tokio::spawn(watching)), deadline };
                let length = content_length(&response);
                Ok(response.map(|body| {
                    GuestBody::streaming(body, Some(running), exchange, body_done, limit).expecting(length)
                }))
            }
            Step::Head(head) => {
                let (parts, body) = checked(head, &exchange)?.into_parts();
                let mut inline = InlineBody::new(body, body_done);
                let progress = poll_fn(|cx| {
                    inline.advance(cx, &mut guest);
                    Poll::Ready(())
                });
                tokio::task::unconstrained(progress).await;
                if let Some(error) = inline.failure(&exchange) {
                    return Err(error);
                }
                let response = Response::from_parts(parts, ());
                let running = (!inline.guest_ended()).then(|| {
                    let end = stream_deadline(&response, deadline, &exchange);
                    let driving = Arc::clone(self).drive(guest, end);
                    Running { guest: AbortOnDropHandle::new(tokio::spawn(driving)), deadline }
                });
                let body = inline.into_body(running, exchange, limit)?.expecting(content_length(&response));
                Ok(response.map(|()| body))
            }
        }
    }

    /// A guest that outlives its first polls, on an executor; moves over when it turns out to be heavy.
    async fn drive(self: Arc<Self>, mut guest: Metered, deadline: Option<Instant>) {
        let exchange = Arc::clone(&guest.exchange);
        let light = poll_fn(|cx| match Pin::new(&mut guest).poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if guest.exchange.meter.is_heavy() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        });
        match within(&exchange, deadline, light).await {
            Ok(true) => {}
            Ok(false) => {
                let running = self.engines.compute().spawn(guest);
                watch(running, deadline, exchange).await;
            }
            Err(error) => exchange.fail(error),
        }
    }
}

/// A guest on the compute executor; its deadline is kept here, where timers are on time.
async fn watch(mut running: AbortOnDropHandle<()>, deadline: Option<Instant>, exchange: Arc<Exchange>) {
    // By reference: the failure must be written before the guest is dropped, or its body would look whole.
    match within(&exchange, deadline, &mut running).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => exchange.fail(CallError::Start(format!("the guest's task failed: {error}"))),
        Err(error) => exchange.fail(error),
    }
}

/// The future's output, unless the deadline or the end of the version's drain comes first.
async fn within<F: Future>(exchange: &Exchange, deadline: Option<Instant>, future: F) -> Result<F::Output, CallError> {
    let in_time = async {
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, future).await.map_err(|_| CallError::Deadline),
            None => Ok(future.await),
        }
    };
    tokio::select! {
        biased;
        output = in_time => output,
        () = exchange.cut().cancelled() => Err(CallError::CutOff),
    }
}

/// Server-sent events may go on for as long as both sides like.
fn stream_deadline<B>(response: &Response<B>, deadline: Option<Instant>, exchange: &Exchange) -> Option<Instant> {
    let content_type = response.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match content_type {
        Some(value) if value.trim_start().starts_with("text/event-stream") => {
            exchange.lift_deadline();
            None
        }
        Some(_) | None => deadline,
    }
}

fn content_length<B>(response: &Response<B>) -> Option<u64> {
    response.headers().get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A head that may be sent.
fn checked(head: Head, exchange: &Exchange) -> Result<Response<WasiBody>, CallError> {
    if let Some(fault) = exchange.request_fault() {
        return Err(fault.clone());
    }
    match head {
        Ok(response) if response.status().is_informational() => {
            Err(CallError::InvalidResponse(format!("{} is no final status", response.status())))
        }
        Ok(response) => Ok(response),
        Err(code) => {
            let said = format!("the guest answered with the error code {code}");
            Err(CallError::InvalidResponse(exchange.without_secrets(said)))
        }
    }
}

impl Metered {
    fn step(&mut self, cx: &mut Context<'_>, receiver: &mut Option<oneshot::Receiver<Head>>) -> Poll<Step> {
        let ended = Pin::new(&mut *self).poll(cx).is_ready();
        if let Some(head) = receiver {
            match Pin::new(head).poll(cx) {
                Poll::Ready(Ok(head)) => return Poll::Ready(Step::Head(head)),
                // It gave up the right to answer; if it still runs, its end tells why.
                Poll::Ready(Err(_)) => *receiver = None,
                Poll::Pending => {}
            }
        }
        if ended {
            Poll::Ready(Step::Ended)
        } else if self.exchange.meter.is_heavy() {
            Poll::Ready(Step::Heavy)
        } else {
            Poll::Pending
        }
    }
}

impl Future for Metered {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { guest, exchange } = &mut *self;
        let Some(running) = guest else { return Poll::Ready(()) };
        let polled = exchange.meter.measure(|| running.as_mut().poll(cx));
        if polled.is_ready() {
            *guest = None;
        }
        polled
    }
}
