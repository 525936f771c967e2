//! What the two sides of one request share: the guest that works on it and the response body that leaves.
//!
//! Both hold it, so what must last as long as either of them (the version's count of requests in flight) lies in here
//! and is given back by `Drop`. The place in the service's bulkhead lasts as long as the guest: what is left of a
//! response is small, and a client that does not read it would keep the place for as long as it likes.
//!
//! A failure is written here *before* the guest's store is dropped. Dropping the store closes the guest's end of
//! the body, which looks like a clean end of it; whoever reads the body asks here whether it really was one.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use super::error::CallError;
use super::meter::Meter;
use super::outgoing::CallBudget;
use super::version::InFlight;
use crate::capability::InRequest;
use crate::capability::http::{Caller, DispatchError};

/// One request on its way through a guest.
pub(super) struct Exchange {
    pub(super) meter: Meter,
    pub(super) calls: CallBudget,
    /// What its own calls carry.
    caller: Caller,
    /// Its response goes on for as long as both sides like.
    endless: AtomicBool,
    warned_of_call: AtomicBool,
    failure: OnceLock<CallError>,
    request_fault: OnceLock<CallError>,
    received: AtomicU64,
    permit: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    in_flight: InFlight,
}

impl InRequest for Exchange {
    /// As of now.
    fn caller(&self) -> Caller {
        let deadline = self.caller.deadline.filter(|_| !self.endless.load(Ordering::Acquire));
        Caller { deadline, ..self.caller.clone() }
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("request_id", &self.caller.request_id).finish_non_exhaustive()
    }
}

impl Exchange {
    pub(super) fn new(
        meter: Meter,
        calls: CallBudget,
        caller: Caller,
        permit: Option<Box<dyn Any + Send + Sync>>,
        in_flight: InFlight,
    ) -> Self {
        Self {
            meter,
            calls,
            caller,
            endless: AtomicBool::new(false),
            warned_of_call: AtomicBool::new(false),
            failure: OnceLock::new(),
            request_fault: OnceLock::new(),
            received: AtomicU64::new(0),
            permit: Mutex::new(permit),
            in_flight,
        }
    }

    /// Cancelled when the version was replaced and the time to finish is over.
    pub(super) fn cut(&self) -> &CancellationToken {
        self.in_flight.cut()
    }

    /// What the guest said, without the secrets of its service.
    pub(super) fn without_secrets(&self, said: String) -> String {
        self.in_flight.version().capabilities.log().without_secrets(said)
    }

    pub(super) fn request_id(&self) -> &Arc<str> {
        &self.caller.request_id
    }

    /// The deadline is over without an end: an event stream goes on, and so do the calls that feed it.
    pub(super) fn lift_deadline(&self) {
        self.endless.store(true, Ordering::Release);
    }

    /// Logs that a call was refused, the first time.
    pub(super) fn warn_of_call(&self, destination: &str, error: &DispatchError, advice: &str) {
        if !self.warned_of_call.swap(true, Ordering::Relaxed) {
            let Caller { service, version, request_id, .. } = &self.caller;
            tracing::warn!(
                service = &**service,
                version = &**version,
                request_id = &**request_id,
                "its call to `{destination}` was refused: {error}{advice}"
            );
        }
    }

    /// Gives the place in the bulkhead back: the guest is done.
    pub(super) fn give_back_place(&self) {
        drop(self.permit.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Records a failure, which is the end of the guest, and logs it if it is the guest's fault. The first counts: a
    /// second is its consequence.
    pub(super) fn fail(&self, error: CallError) {
        // Whatever a guest does when its input breaks off, the client's body was the cause.
        let error = self.request_fault().cloned().unwrap_or(error);
        let is_guests_fault = error.is_guests_fault();
        if self.failure.set(error).is_err() {
            return;
        }
        self.give_back_place();
        if is_guests_fault && let Some(error) = self.failure.get() {
            let version = self.in_flight.version();
            tracing::warn!(
                service = &**version.service(),
                version = &**version.label(),
                request_id = &*self.caller.request_id,
                "{error}"
            );
        }
    }

    pub(super) fn failure(&self) -> Option<&CallError> {
        self.failure.get()
    }

    /// Counts bytes of request body.
    pub(super) fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The request's body ended in a way that is the client's fault.
    pub(super) fn note_request_fault(&self, fault: CallError) {
        // The first is the cause of a second.
        let _ = self.request_fault.set(fault);
    }

    pub(super) fn request_fault(&self) -> Option<&CallError> {
        self.request_fault.get()
    }
}
