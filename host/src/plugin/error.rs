//! How a call to a guest can fail, and how wasmtime's errors become one of these.
//!
//! The kind is for the client and for policies; the details (backtrace, panic text, what the limit was) are for the
//! log and never leave it.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use super::store::{CpuTimeUsedUp, GuestState};

/// A call to a guest that gave no good response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It trapped: unreachable code, out of bounds, stack overflow, exit …
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// It panicked with a message on stderr.
    #[error("the guest panicked: {0}")]
    Panic(String),
    /// It used more CPU time than `limits.cpuTime`.
    #[error("the guest used up its CPU time")]
    CpuTime,
    /// It was not done at the request's deadline.
    #[error("the guest was not done at the deadline of the request")]
    Deadline,
    /// It wanted more memory than `limits.memory`, and died of not getting it.
    #[error("the guest ran out of memory: {0}")]
    OutOfMemory(String),
    /// It returned without ever giving a response.
    #[error("the guest returned without a response")]
    NoResponse,
    /// Its response cannot be sent.
    #[error("the guest's response is invalid: {0}")]
    InvalidResponse(String),
    /// The request body is larger than `limits.requestBody`.
    #[error("the request body is larger than limits.requestBody")]
    RequestTooLarge,
    /// The client stopped sending the request's body.
    #[error("the client did not send the request's body in time")]
    RequestStalled,
    /// The request's body is no valid HTTP, or ended before its end.
    #[error("the request's body is broken: {0}")]
    RequestBroken(String),
    /// It has no HTTP handler, only one for events.
    #[error("the component answers no HTTP requests, only events")]
    NoHttp,
    /// Its version was replaced and the time to finish is over.
    #[error("the version was replaced and its drainTimeout is over")]
    CutOff,
    /// No slot came free in time; nothing was delivered to the guest.
    #[error("no slot came free in time")]
    NoSlot,
    /// The host could not make or use the slot; nothing was delivered to the guest.
    #[error("the guest could not be started: {0}")]
    Start(String),
}

impl CallError {
    /// Whether an operator should look at the guest, and not at the client or the load.
    pub fn is_guests_fault(&self) -> bool {
        match self {
            Self::Trap(_)
            | Self::Panic(_)
            | Self::CpuTime
            | Self::OutOfMemory(_)
            | Self::NoResponse
            | Self::InvalidResponse(_)
            | Self::Start(_) => true,
            Self::Deadline
            | Self::NoHttp
            | Self::RequestTooLarge
            | Self::RequestStalled
            | Self::RequestBroken(_)
            | Self::CutOff
            | Self::NoSlot => false,
        }
    }
}

/// Wasmtime's error after a call or an instantiation, in our words. Asks the store, so call it before dropping that.
pub(super) fn classify(error: &wasmtime::Error, state: &GuestState) -> CallError {
    if error.downcast_ref::<CpuTimeUsedUp>().is_some() {
        return CallError::CpuTime;
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return CallError::NoSlot;
    }
    let details = details(error);
    if state.limiter.refused() {
        return CallError::OutOfMemory(format!("limits.memory is {} bytes; {details}", state.limiter.limit()));
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return CallError::Trap(format!("exit with status {}", exit.0));
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        // A panic ends in this trap, after its report on stderr.
        let panic = (*trap == Trap::UnreachableCodeReached).then(|| state.panic_message()).flatten();
        return match panic {
            Some(message) => CallError::Panic(format!("{message}; {details}")),
            None => CallError::Trap(details),
        };
    }
    CallError::Trap(details)
}

/// One line of causes, then the wasm backtrace with demangled names if there is one.
fn details(error: &wasmtime::Error) -> String {
    let causes = error
        .chain()
        .map(ToString::to_string)
        .filter(|cause| !cause.starts_with("error while executing at wasm backtrace"))
        .collect::<Vec<_>>()
        .join(": ");
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) if !backtrace.frames().is_empty() => format!("{causes}\n{backtrace}"),
        Some(_) | None => causes,
    }
}
