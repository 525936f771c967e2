//! Inside the guest: one request in one slot, from beginning to end.
//!
//! The future made here owns its slot. When it ends well the slot may be kept, when it ends badly the failure is
//! classified and written to the [`Exchange`] before the slot goes. Who polls it, and where, is decided in `call`.

use std::future::poll_fn;
use std::sync::Arc;

use http::uri::Authority;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::call::Metered;
use super::error::{CallError, classify};
use super::exchange::Exchange;
use super::linked::{Guest, Handler, Linked};
use super::meter::Meter;
use super::outgoing::CallBudget;
use super::slots::{Slot, permit};
use super::store::{begin, end, new_store};
use super::version::Version;
use crate::capability::delivery::{Delivery, Verdict};
use crate::config::Service;

/// What the guest gives: a head with a body, or an error code of wasi:http.
pub(super) type Head = Result<Response<WasiBody>, String>;

/// What the guest needs from us besides the request: where the head goes, and when the body was taken.
pub(super) struct Ends {
    pub(super) head: oneshot::Sender<Head>,
    pub(super) body_done: oneshot::Receiver<()>,
}

impl Version {
    /// Makes a slot and drops it again: whether the component can start at all.
    pub(crate) async fn instantiate_once(self: &Arc<Self>) -> Result<(), CallError> {
        let settings = self.settings();
        let meter = Meter::new(settings.limits.cpu_time.get());
        let caller = self.caller("probe".into(), None);
        let calls = CallBudget::new(&settings.limits);
        let exchange = Arc::new(Exchange::new(meter, calls, caller, None, self.enter()));
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
        let http = self.serves().engine;
        let mut store = new_store(&self.engines, http, &settings.limits, &self.capabilities, exchange);
        match self.linked.instantiate(&mut store).await {
            Ok(guest) => Ok(Slot { store, guest, served: 0, generation, _permit: permit }),
            Err(error) => Err(match classify(&error, store.data()) {
                CallError::Trap(details) => CallError::Start(details),
                other => other,
            }),
        }
    }
}

/// The whole life of a request inside the guest.
pub(super) async fn serve(
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
    match run(&version.linked, &mut slot, request, ends).await {
        Ok(()) => {
            end(&mut slot.store);
            slot.served = slot.served.saturating_add(1);
            // What it left open must not go on in the next request's time and name.
            if exchange.calls.open() == 0
                && let Some(reuse) = version.reuse(&settings)
            {
                version.idle.put(slot, reuse, version.engines.idle());
            }
            exchange.give_back_place();
        }
        Err(error) => exchange.fail(classify(&error, slot.store.data())),
    }
}

async fn run(linked: &Linked, slot: &mut Slot, mut request: Request<WasiBody>, ends: Ends) -> wasmtime::Result<()> {
    let Slot { store, guest: Guest { instance, http }, .. } = slot;
    let Ends { head, body_done } = ends;
    if let (Some(events), Some(delivery)) = (linked.events(), request.extensions_mut().remove::<Delivery>()) {
        let verdict = events.handle(store, instance, &delivery).await?;
        let _ = head.send(Ok(answer(verdict)));
        return Ok(());
    }
    match http {
        // Refused before it came here; a guest that is not asked gives no response.
        None => Ok(()),
        Some(Handler::V02(proxy)) => {
            let mut view = store.data_mut().http();
            let is_https = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
            let scheme = if is_https { Scheme::Https } else { Scheme::Http };
            let request = view.new_incoming_request(scheme, request)?;
            let outparam = view.new_response_outparam_from_callback(move |response| {
                // Nobody listens any more: the request is over for the client.
                let _ = head.send(response.map_err(|code: ErrorCode| format!("{code:?}")));
            })?;
            proxy.wasi_http_incoming_handler().call_handle(store, request, outparam).await
        }
        Some(Handler::V03(service)) => {
            let request = absolute(request);
            let (request, processed) =
                wasmtime_wasi_http::p3::Request::from_http(store.data_mut().http().hooks, request);
            store
                .run_concurrent(async |accessor| {
                    let response = match service.handle(accessor, request).await? {
                        Ok(response) => accessor.with(|mut store| response.into_http(&mut store, processed))?,
                        Err(code) => {
                            let _ = head.send(Err(format!("{code:?}")));
                            // What it left running must not run on in the next request's time and name: whoever gets
                            // this head drops us and the slot while we wait.
                            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
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

/// What a typed handler said, as a response.
fn answer(verdict: Verdict) -> Response<WasiBody> {
    let mut response = Response::new(WasiBody::new(Empty::new().map_err(|never| match never {})));
    *response.status_mut() = verdict.status();
    response.extensions_mut().insert(verdict);
    response
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
