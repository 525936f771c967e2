//! What one live wasm store of a service holds, and every bound that is set on it.
//!
//! Bounds (source of the numbers: wasmtime's advisories of 2025–26 and the service's `limits`):
//!
//! | what | bound |
//! |---|---|
//! | linear memories and tables together | `limits.memory` ([`Limiter`]) |
//! | CPU time of a request | `limits.cpuTime` ([`Meter`](super::meter::Meter), asked at every epoch) |
//! | host resources, component handles | `limits.resources` |
//! | headers held by the guest | `limits.headers` |
//! | bytes moved by one host call | 24 MiB |
//! | random bytes of one call | 64 KiB |
//! | outgoing requests | `limits.calls` and `limits.openCalls` (`outgoing`) |
//!
//! A guest gets no files, no sockets, no environment and no arguments. What it gets is in `capability`.

use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::engine::{Engines, HttpVersion};
use super::exchange::Exchange;
use super::limiter::Limiter;
use super::meter::Verdict;
use super::outgoing::Hooks;
use crate::capability::{CapabilityCtx, CapabilityView, HasCapabilities, ServiceCapabilities};
use crate::config::Limits;

/// Ticks until a resumed guest is asked for the first time; less than one would be "at once".
const FIRST_DEADLINE: u64 = 2;
/// More than any interface takes, so that too much is the refusal of an interface and not a trap.
const HOSTCALL_BYTES: usize = 24 << 20;
const RANDOM_BYTES: u64 = 64 << 10;

/// The `T` of a service's `Store<T>`.
pub(super) struct GuestState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
    capabilities: CapabilityCtx,
    pub(super) limiter: Limiter,
}

/// The guest's CPU budget is used up; the trap that ends it carries this.
#[derive(Debug, thiserror::Error)]
#[error("the request used up its CPU time")]
pub(super) struct CpuTimeUsedUp;

/// A store with every bound set, bound to the request it is made for and ready to instantiate in.
pub(super) fn new_store(
    engines: &Engines,
    http_version: HttpVersion,
    limits: &Limits,
    service: &Arc<ServiceCapabilities>,
    exchange: &Arc<Exchange>,
) -> Store<GuestState> {
    let mut capabilities = CapabilityCtx::new(Arc::clone(service), Arc::clone(exchange.request_id()));
    capabilities.serving(Some(Arc::clone(exchange) as _));
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.resources as usize);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(usize::try_from(limits.headers.get()).unwrap_or(usize::MAX));
    let wasi = WasiCtxBuilder::new()
        .stdout(capabilities.stdout())
        .stderr(capabilities.stderr())
        .allow_tcp(false)
        .allow_udp(false)
        .max_random_size(RANDOM_BYTES)
        .build();
    let memory = usize::try_from(limits.memory.get()).unwrap_or(usize::MAX);
    let state = GuestState {
        wasi,
        http,
        hooks: Hooks::new(Arc::clone(service), Arc::clone(exchange), http_version),
        table,
        capabilities,
        limiter: Limiter::new(memory),
    };
    let mut store = Store::new(engines.of(http_version), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_max_component_handles(limits.resources as usize);
    store.set_epoch_deadline(FIRST_DEADLINE);
    store.epoch_deadline_callback(|store| {
        let Some(exchange) = &store.data().hooks.exchange else { return Ok(UpdateDeadline::Yield(1)) };
        match exchange.meter.verdict() {
            Verdict::Continue => Ok(UpdateDeadline::Continue(1)),
            Verdict::Yield => Ok(UpdateDeadline::Yield(1)),
            Verdict::Stop => Err(CpuTimeUsedUp.into()),
        }
    });
    store
}

/// Binds a store to the next request it is going to serve.
pub(super) fn begin(store: &mut Store<GuestState>, exchange: &Arc<Exchange>) {
    store.set_epoch_deadline(FIRST_DEADLINE);
    let state = store.data_mut();
    state.capabilities.begin_request(Arc::clone(exchange.request_id()));
    state.capabilities.serving(Some(Arc::clone(exchange) as _));
    state.hooks.exchange = Some(Arc::clone(exchange));
}

/// Unbinds it; the store may serve another request.
pub(super) fn end(store: &mut Store<GuestState>) {
    let state = store.data_mut();
    state.hooks.exchange = None;
    state.capabilities.serving(None);
}

impl GuestState {
    /// What the guest said when it panicked, if that is what it wrote last.
    pub(super) fn panic_message(&self) -> Option<String> {
        self.capabilities.stderr_tail().panic_message()
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl HasCapabilities for GuestState {
    fn capabilities(&mut self) -> CapabilityView<'_> {
        CapabilityView { ctx: &mut self.capabilities, table: &mut self.table }
    }
}

/// A boxed guest call.
pub(super) type GuestFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
