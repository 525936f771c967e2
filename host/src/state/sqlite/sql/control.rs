//! How a session is stopped.
//!
//! A statement is stopped from outside: whoever waits for it sets the session's stop sign and interrupts the connection.
//! The sign is there because an interrupt that comes between two statements is lost; the interrupt, because the sign is
//! only looked at every few hundred steps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::InterruptHandle;

use super::guard::{Stop, StopSign};

/// Stops what a session is doing.
#[derive(Default)]
pub(super) struct Control {
    pub(super) sign: Arc<StopSign>,
    /// There while the session has a connection.
    interrupt: Mutex<Option<Arc<InterruptHandle>>>,
    over: AtomicBool,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("sign", &self.sign).finish_non_exhaustive()
    }
}

impl Control {
    pub(super) fn stop(&self, why: Stop) {
        self.sign.set(why);
        if let Some(interrupt) = self.interrupt().as_ref() {
            interrupt.interrupt();
        }
    }

    /// Whether the session has given its connection back, or is about to.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// From here on the session has this connection.
    pub(super) fn arm(&self, interrupt: &Arc<InterruptHandle>) {
        *self.interrupt() = Some(Arc::clone(interrupt));
    }

    /// From here on nobody interrupts the connection in the session's name.
    pub(super) fn disarm(&self) {
        self.over.store(true, Ordering::Release);
        self.interrupt().take();
    }

    fn interrupt(&self) -> MutexGuard<'_, Option<Arc<InterruptHandle>>> {
        self.interrupt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
