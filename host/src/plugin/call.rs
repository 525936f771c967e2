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
//! The guest's future owns its slot. When it ends well the slot may be kept, when it ends badly the failure is
//! classified and written to the [`Exchange`] before the slot goes.

use std::any::Any;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::body::{GuestBody, InlineBody, LimitedRequestBody};
use super::error::{CallError, classify};
use super::exchange::Exchange;
use super::meter::Meter;
use super::slots::{Handler, Slot, permit};
use super::store::{GuestFuture, begin, end, new_store};
use super::version::{Linked, Version};
use crate::config::Service;

/// What a call carries besides the request.
#[derive(Default)]
pub struct CallContext {
    /// Names the request in log lines.
    pub request_id: Option<Arc<str>>,
    /// When the response must be complete; `None` is never.
    pub deadline: Option<Instant>,
    /// Kept until both the guest and the response are done.
    pub permit: Option<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for CallContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallContext").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// What the guest gives: a head with a body, or an error code of wasi:http.
pub(super) type Head = Result<Response<WasiBody>, String>;

/// What the guest needs from us besides the request: where the head goes, and when the body was taken.
struct Ends {
    head: oneshot::Sender<Head>,
    body_done: oneshot::Receiver<()>,
}

/// The guest's future on the clock.
pub(super) struct Metered {
    /// Gone once it has ended.
    guest: Option<GuestFuture>,
    exchange: Arc<Exchange>,
}

enum Step {
    Head(Head),
    Heavy,
    Ended,
}

impl Version {
    /// Has this version answer `request`. The URI must be absolute, or a `Host` header be there.
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
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let settings = self.settings();
        let CallContext { request_id, deadline, permit } = context;
        let exchange = Arc::new(Exchange::new(
            Meter::new(settings.limits.cpu_time.get()),
            request_id.unwrap_or_else(|| Arc::from("")),
            permit,
            self.enter(),
        ));
        let (limit, response_limit) = (settings.limits.request_body.get(), settings.limits.response_body.get());
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
        match self.within(deadline, inline).await? {
            Step::Ended => Err(exchange.failure().cloned().unwrap_or(CallError::NoResponse)),
            Step::Heavy => {
                let running = self.engines.compute().spawn(guest);
                let head = match head {
                    Some(head) => self.within(deadline, head).await?.ok(),
                    None => None,
                };
                let Some(head) = head else {
                    // The sender went with the guest; its failure was written before.
                    self.within(deadline, running).await?.map_err(|error| CallError::Start(error.to_string()))?;
                    return Err(exchange.failure().cloned().unwrap_or(CallError::NoResponse));
                };
                let response = checked(head, &exchange)?;
                let deadline = stream_deadline(&response, deadline);
                let watching = Arc::clone(self).watch(running, deadline, Arc::clone(&exchange));
                let running = AbortOnDropHandle::new(tokio::spawn(watching));
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
                let deadline = stream_deadline(&response, deadline);
                let running = (!inline.guest_ended())
                    .then(|| AbortOnDropHandle::new(tokio::spawn(Arc::clone(self).drive(guest, deadline))));
                let body = inline.into_body(running, exchange, limit)?.expecting(content_length(&response));
                Ok(response.map(|()| body))
            }
        }
    }

    /// Makes a slot and drops it again: whether the component can start at all.
    pub(super) async fn instantiate_once(self: &Arc<Self>) -> Result<(), CallError> {
        let settings = self.settings();
        let meter = Meter::new(settings.limits.cpu_time.get());
        let exchange = Arc::new(Exchange::new(meter, "probe".into(), None, self.enter()));
        let starting = {
            let (this, exchange) = (Arc::clone(self), Arc::clone(&exchange));
            async move {
                if let Err(error) = this.new_slot(&settings, &exchange).await {
                    exchange.fail(error);
                }
            }
        };
        // What a component does when it starts is unknown: not on a thread that serves.
        let starting = Metered { guest: Some(Box::pin(starting)), exchange: Arc::clone(&exchange) };
        self.engines.compute().spawn(starting).await.map_err(|error| CallError::Start(error.to_string()))?;
        exchange.failure().cloned().map_or(Ok(()), Err)
    }

    /// A guest that outlives its first polls, on an executor; moves over when it turns out to be heavy.
    async fn drive(self: Arc<Self>, mut guest: Metered, deadline: Option<Instant>) {
        let exchange = Arc::clone(&guest.exchange);
        let light = poll_fn(|cx| match Pin::new(&mut guest).poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if guest.exchange.meter.is_heavy() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        });
        match self.within(deadline, light).await {
            Ok(true) => {}
            Ok(false) => {
                let running = self.engines.compute().spawn(guest);
                self.watch(running, deadline, exchange).await;
            }
            Err(error) => exchange.fail(error),
        }
    }

    /// A guest on the compute executor; its deadline is kept here, where timers are on time.
    async fn watch(
        self: Arc<Self>,
        running: AbortOnDropHandle<()>,
        deadline: Option<Instant>,
        exchange: Arc<Exchange>,
    ) {
        match self.within(deadline, running).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => exchange.fail(CallError::Start(format!("the guest's task failed: {error}"))),
            Err(error) => exchange.fail(error),
        }
    }

    /// The future's output, unless the deadline or the end of this version's drain comes first.
    async fn within<F: Future>(&self, deadline: Option<Instant>, future: F) -> Result<F::Output, CallError> {
        let in_time = async {
            match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, future).await.map_err(|_| CallError::Deadline),
                None => Ok(future.await),
            }
        };
        tokio::select! {
            biased;
            output = in_time => output,
            () = self.cut.cancelled() => Err(CallError::CutOff),
        }
    }

    async fn slot(&self, settings: &Service, exchange: &Arc<Exchange>) -> Result<Slot, CallError> {
        if let Some(reuse) = self.reuse(settings)
            && let Some(mut slot) = self.idle.take(reuse, self.generation())
        {
            begin(&mut slot.store, exchange);
            return Ok(slot);
        }
        self.new_slot(settings, exchange).await
    }

    async fn new_slot(&self, settings: &Service, exchange: &Arc<Exchange>) -> Result<Slot, CallError> {
        let generation = self.generation();
        let permit = permit(&self.engines, settings.bulkhead.max_wait.get()).await.ok_or(CallError::NoSlot)?;
        let engine = self.engines.of(self.http_version());
        let mut store = new_store(engine, &settings.limits, &self.capabilities, exchange);
        let handler = match &self.linked {
            Linked::V02(pre) => pre.instantiate_async(&mut store).await.map(Handler::V02),
            Linked::V03(pre) => pre.instantiate_async(&mut store).await.map(Handler::V03),
        };
        match handler {
            Ok(handler) => Ok(Slot { store, handler, served: 0, generation, _permit: permit }),
            Err(error) => Err(match classify(&error, store.data()) {
                CallError::Trap(details) => CallError::Start(details),
                other => other,
            }),
        }
    }
}

/// The whole life of a request inside the guest.
async fn serve(
    version: Arc<Version>,
    settings: Arc<Service>,
    request: Request<WasiBody>,
    exchange: Arc<Exchange>,
    ends: Ends,
) {
    let mut slot = match version.slot(&settings, &exchange).await {
        Ok(slot) => slot,
        Err(error) => return exchange.fail(error),
    };
    match run(&mut slot, request, ends).await {
        Ok(()) => {
            end(&mut slot.store);
            slot.served = slot.served.saturating_add(1);
            if let Some(reuse) = version.reuse(&settings) {
                version.idle.put(slot, reuse);
            }
        }
        Err(error) => exchange.fail(classify(&error, slot.store.data())),
    }
}

async fn run(slot: &mut Slot, request: Request<WasiBody>, ends: Ends) -> wasmtime::Result<()> {
    use wasmtime_wasi_http::WasiHttpView;

    let Slot { store, handler, .. } = slot;
    let Ends { head, body_done } = ends;
    match handler {
        Handler::V02(proxy) => {
            let mut view = store.data_mut().http();
            let request = view.new_incoming_request(Scheme::Http, request)?;
            let outparam = view.new_response_outparam_from_callback(move |response| {
                // Nobody listens any more: the request is over for the client.
                let _ = head.send(response.map_err(|code: ErrorCode| format!("{code:?}")));
            })?;
            proxy.wasi_http_incoming_handler().call_handle(store, request, outparam).await
        }
        Handler::V03(service) => {
            let request = absolute(request);
            let (request, processed) =
                wasmtime_wasi_http::p3::Request::from_http(store.data_mut().http().hooks, request);
            store
                .run_concurrent(async |accessor| {
                    let response = match service.handle(accessor, request).await? {
                        Ok(response) => accessor.with(|mut store| response.into_http(&mut store, processed))?,
                        Err(code) => {
                            let _ = head.send(Err(format!("{code:?}")));
                            return Ok(());
                        }
                    };
                    let _ = head.send(Ok(response));
                    // The body only flows while this runs: until the guest is done and the body was taken.
                    poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                    let _ = body_done.await;
                    Ok(())
                })
                .await?
        }
    }
}

/// A 0.3 guest learns scheme and authority from the URI only.
fn absolute(request: Request<WasiBody>) -> Request<WasiBody> {
    let (mut parts, body) = request.into_parts();
    if parts.uri.authority().is_none()
        && let Some(host) = parts.headers.get(http::header::HOST)
        && let Ok(authority) = Authority::try_from(host.as_bytes())
    {
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.scheme = Some(http::uri::Scheme::HTTP);
        uri.authority = Some(authority);
        // Scheme, authority and a path that was there before: always a URI.
        parts.uri = http::Uri::from_parts(uri).unwrap_or_default();
    }
    Request::from_parts(parts, body)
}

/// Server-sent events may go on for as long as both sides like.
fn stream_deadline<B>(response: &Response<B>, deadline: Option<Instant>) -> Option<Instant> {
    let content_type = response.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match content_type {
        Some(value) if value.trim_start().starts_with("text/event-stream") => None,
        Some(_) | None => deadline,
    }
}

fn content_length<B>(response: &Response<B>) -> Option<u64> {
    response.headers().get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A head that may be sent.
fn checked(head: Head, exchange: &Exchange) -> Result<Response<WasiBody>, CallError> {
    if exchange.request_too_large() {
        return Err(CallError::RequestTooLarge);
    }
    match head {
        Ok(response) if response.status().is_informational() => {
            Err(CallError::InvalidResponse(format!("{} is no final status", response.status())))
        }
        Ok(response) => Ok(response),
        Err(code) => Err(CallError::InvalidResponse(format!("the guest answered with the error code {code}"))),
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

/// Why the request's body could not be read, as wasi:http has it.
pub(super) fn request_body_error(error: &(dyn std::error::Error + 'static)) -> HttpError {
    tracing::debug!(%error, "reading a request body failed");
    HttpError::ConnectionTerminated
}
