//! What a guest can reach besides the request it answers: other services, key-value storage, its configuration, the
//! log, standard output.
//!
//! Here the host side of each interface is implemented, once, for every version of it that is in use; which of them a
//! component gets to see is decided by the linker of its service. A store's data carries one [`CapabilityCtx`], and the
//! interfaces work on a [`CapabilityView`] of it and of the store's resource table. What belongs to the service and
//! outlives a request is in [`ServiceCapabilities`], behind one `Arc`.
//!
//! Rules that every interface keeps: nothing is granted by default, a refusal is the interface's own error and never a
//! trap, a trap means that the guest broke the rules of the component model, no call blocks the thread, and whatever a
//! guest can make many of is bounded (resource handles by the table, log bytes by a rate, keys and values by the store).
//!
//! Policy and events are not decided here, and where an outgoing request leads is the gateway's to say ([`http`]). [`interfaces`] explains to people what an import means.

mod bindings;
pub mod bus;
pub mod cloud_event;
mod config;
pub mod delivery;
pub mod event_handler;
mod events;
mod expiry;
#[cfg(test)]
pub(crate) mod fake_bus;
mod guest_log;
pub mod http;
pub mod interfaces;
mod keyvalue;
mod logging;
mod queues;
mod redact;
mod sql;
mod stdio;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use wasmtime::component::{HasData, Linker, ResourceTable};

use self::bus::EventBus;
pub use self::config::Values;
pub use self::guest_log::{GuestLog, MAX_LINE_BYTES};
use self::http::{Caller, Dispatch};
pub use self::redact::SHORTEST as SHORTEST_REDACTED;
use self::sql::RequestSql;
use self::stdio::Output;
pub use self::stdio::{GuestStream, StderrTail};
pub use crate::state::Migration;
use crate::state::{KeyValueStore, SqlDatabase};

/// Secrets that are no longer in force and still kept out of the log.
const MAX_OLD_SECRETS: usize = 16;

/// What a version of a service may use, shared by all of its slots.
#[derive(Clone)]
pub struct ServiceCapabilities {
    service: Arc<str>,
    /// Its label; empty for no version in particular.
    version: Arc<str>,
    key_value: Option<Arc<dyn KeyValueStore>>,
    config: Arc<ArcSwap<Values>>,
    log: GuestLog,
    /// Weak, because whoever carries calls knows the services, and through them this.
    dispatch: Option<Weak<dyn Dispatch>>,
    /// Where its events and messages go.
    bus: Option<Arc<dyn EventBus>>,
    /// Its database, if it is granted at the moment.
    sql: Arc<ArcSwap<Option<Arc<dyn SqlDatabase>>>>,
}

impl ServiceCapabilities {
    /// A service that keeps its data in `key_value` (none: access to any store is denied), reads the values of `config`
    /// and writes to `log`.
    pub fn new(
        service: impl Into<Arc<str>>,
        key_value: Option<Arc<dyn KeyValueStore>>,
        config: Values,
        log: GuestLog,
    ) -> Self {
        log.set_secrets(config.secrets.iter().map(String::as_str));
        let config = Arc::new(ArcSwap::from_pointee(config));
        Self {
            service: service.into(),
            version: "".into(),
            key_value,
            config,
            log,
            dispatch: None,
            bus: None,
            sql: Arc::default(),
        }
    }

    /// The same, with somebody who carries its outgoing requests. Without one they are all refused.
    #[must_use]
    pub fn with_dispatch(self, dispatch: Weak<dyn Dispatch>) -> Self {
        Self { dispatch: Some(dispatch), ..self }
    }

    /// The same, with somebody who takes its events and messages. Without one they are all refused.
    #[must_use]
    pub fn with_bus(self, bus: Arc<dyn EventBus>) -> Self {
        Self { bus: Some(bus), ..self }
    }

    /// Grants the service a database, or takes it back, in all of its versions. Every call from now on sees it.
    pub fn set_sql(&self, database: Option<Arc<dyn SqlDatabase>>) {
        self.sql.store(Arc::new(database));
    }

    /// The service's database, if it is granted.
    pub fn sql(&self) -> Option<Arc<dyn SqlDatabase>> {
        Option::clone(&self.sql.load())
    }

    /// Who takes events and messages, if there is somebody.
    pub fn bus(&self) -> Option<&Arc<dyn EventBus>> {
        self.bus.as_ref()
    }

    /// Who carries outgoing requests, as long as there is somebody.
    pub fn dispatch(&self) -> Option<Arc<dyn Dispatch>> {
        self.dispatch.as_ref()?.upgrade()
    }

    /// The same service for another version of it: store, configuration and log budget are shared, log lines name
    /// `version`, and values of that label are its own.
    #[must_use]
    pub fn for_version(&self, version: impl Into<Arc<str>>) -> Self {
        let version = version.into();
        Self { log: self.log.for_version(Arc::clone(&version)), version, ..self.clone() }
    }

    /// Replaces the configuration of all versions of the service. Every call from now on sees the new values.
    ///
    /// What was a secret until now stays out of the log, because a request in flight may still hold it.
    pub fn set_config(&self, mut config: Values) {
        let before = self.config.load();
        let kept = before.secrets.iter().filter(|secret| !config.secrets.contains(secret)).take(MAX_OLD_SECRETS);
        let kept: Vec<String> = kept.cloned().collect();
        config.secrets.extend(kept);
        if config != **before {
            if config.secrets != before.secrets {
                self.log.set_secrets(config.secrets.iter().map(String::as_str));
            }
            self.config.store(Arc::new(config));
        }
    }

    /// The name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The log of this version.
    pub fn log(&self) -> &GuestLog {
        &self.log
    }
}

impl std::fmt::Debug for ServiceCapabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceCapabilities").field("service", &self.service).finish_non_exhaustive()
    }
}

/// The part of a store's data that belongs to capabilities. Dropping it ends the unfinished lines of its output.
#[derive(Debug)]
pub struct CapabilityCtx {
    service: Arc<ServiceCapabilities>,
    output: Arc<Output>,
    request: Option<Arc<dyn InRequest>>,
    sql: RequestSql,
}

/// The request that a slot serves, as far as capabilities ask about it.
pub trait InRequest: Send + Sync + std::fmt::Debug {
    /// Who calls others, or publishes, in the course of it.
    fn caller(&self) -> Caller;
}

impl CapabilityCtx {
    /// For a fresh slot that starts with the request of this id.
    pub fn new(service: Arc<ServiceCapabilities>, request_id: Arc<str>) -> Self {
        let output = Arc::new(Output::new(service.log.clone(), request_id));
        Self { service, output, request: None, sql: RequestSql::default() }
    }

    /// The next request of a reused slot: from now on log lines carry its id, and the tail of standard error starts
    /// anew. In a slot that serves several requests at once, lines carry the id of the request that came last.
    pub fn begin_request(&mut self, request_id: Arc<str>) {
        self.output.begin_request(request_id);
    }

    /// Says which request it is that the slot serves from now on; none between two of them.
    pub fn serving(&mut self, request: Option<Arc<dyn InRequest>>) {
        // What the request before it left open ends with it.
        self.sql.close();
        self.request = request;
    }

    /// Standard output for the WASI context of the same store.
    pub fn stdout(&self) -> GuestStream {
        GuestStream::stdout(Arc::clone(&self.output))
    }

    /// Standard error for the WASI context of the same store.
    pub fn stderr(&self) -> GuestStream {
        GuestStream::stderr(Arc::clone(&self.output))
    }

    /// The end of what the guest wrote to standard error in this request; readable after the store is gone.
    pub fn stderr_tail(&self) -> StderrTail {
        StderrTail::new(Arc::clone(&self.output))
    }
}

impl Drop for CapabilityCtx {
    fn drop(&mut self) {
        self.output.flush();
    }
}

/// What the interfaces work on during one call.
#[derive(Debug)]
pub struct CapabilityView<'a> {
    /// The state of the slot.
    pub ctx: &'a mut CapabilityCtx,
    /// The resources of the store.
    pub table: &'a mut ResourceTable,
}

/// Store data that has capabilities.
pub trait HasCapabilities {
    /// The parts that the interfaces need.
    fn capabilities(&mut self) -> CapabilityView<'_>;
}

/// A time as CloudEvents and JSON have it.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    // Times outside the years that have four digits are refused where they come in.
    jiff::Timestamp::try_from(time).unwrap_or_default().to_string()
}

struct Capabilities;

impl HasData for Capabilities {
    type Data<'a> = CapabilityView<'a>;
}

/// Defines all interfaces of this module in the linker.
///
/// # Errors
/// When one of them is defined in it already.
pub fn add_to_linker<T: HasCapabilities + Send + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use self::bindings::{config_draft, config_rc1, events, expiry, keyvalue_draft, keyvalue_draft2, logging, sql};

    keyvalue_draft::Imports::add_to_linker::<T, Capabilities>(linker, T::capabilities)?;
    keyvalue_draft2::Imports::add_to_linker::<T, Capabilities>(linker, T::capabilities)?;
    expiry::Imports::add_to_linker::<T, Capabilities>(linker, T::capabilities)?;
    config_rc1::Imports::add_to_linker::<T, Capabilities>(linker, T::capabilities)?;
    config_draft::Imports::add_to_linker::<T, Capabilities>(linker, T::capabilities)?;
    logging::Imports::add_to_linker::<T, Capabilities>(linker, T::capabilities)?;
    events::Publisher::add_to_linker::<T, Capabilities>(linker, T::capabilities)?;
    // Not all of its world: that has `events` too, which stands there already.
    sql::wharf::service::sql::add_to_linker::<T, Capabilities>(linker, T::capabilities)
}
