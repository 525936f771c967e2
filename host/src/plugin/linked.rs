//! A compiled component with its imports in place, and where it has what this host calls.
//!
//! A component exports an HTTP handler (of wasi:http 0.2 or 0.3), a typed event handler, or both. Which of them it has is
//! found out once; a slot is one instance of it, whatever it is called for.

use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime_wasi_http::{p2, p3};

use super::engine::HttpVersion;
use super::inspect::Serves;
use super::store::GuestState;
use crate::capability::event_handler::EventHandler;

/// The linked component.
pub(super) struct Linked {
    component: InstancePre<GuestState>,
    serves: Serves,
    http: Option<HttpExport>,
    events: Option<EventHandler>,
}

enum HttpExport {
    V02(p2::bindings::ProxyIndices),
    V03(p3::bindings::ServiceIndices),
}

/// The guest's exported HTTP handler, by version of wasi:http.
pub(super) enum Handler {
    V02(p2::bindings::Proxy),
    V03(p3::bindings::Service),
}

/// One instance.
pub(super) struct Guest {
    pub(super) instance: Instance,
    /// None if it only handles events.
    pub(super) http: Option<Handler>,
}

impl Linked {
    /// Links a component that says it has these exports.
    ///
    /// # Errors
    /// When its imports or exports have other types than the host's.
    pub(super) fn new(linker: &Linker<GuestState>, component: &Component, serves: Serves) -> wasmtime::Result<Self> {
        let component = linker.instantiate_pre(component)?;
        let http = match serves.http {
            Some(HttpVersion::V02) => Some(HttpExport::V02(p2::bindings::ProxyIndices::new(&component)?)),
            Some(HttpVersion::V03) => Some(HttpExport::V03(p3::bindings::ServiceIndices::new(&component)?)),
            None => None,
        };
        let events = if serves.events { Some(EventHandler::find(&component)?) } else { None };
        Ok(Self { component, serves, http, events })
    }

    /// What it is called for.
    pub(super) fn serves(&self) -> Serves {
        self.serves
    }

    /// Its typed event handler.
    pub(super) fn events(&self) -> Option<&EventHandler> {
        self.events.as_ref()
    }

    pub(super) async fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Guest> {
        let instance = self.component.instantiate_async(&mut *store).await?;
        let http = match &self.http {
            Some(HttpExport::V02(export)) => Some(Handler::V02(export.load(&mut *store, &instance)?)),
            Some(HttpExport::V03(export)) => Some(Handler::V03(export.load(&mut *store, &instance)?)),
            None => None,
        };
        Ok(Guest { instance, http })
    }
}

#[cfg(test)]
mod tests;
