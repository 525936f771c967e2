//! The task of a guest whose response is on its way, and how long it may outlive that.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// At least this long the guest of a long stream may go on after its end.
const LINGER: Duration = Duration::from_secs(5);

/// Dropping it drops the guest.
pub(in crate::plugin) struct Running {
    pub(in crate::plugin) guest: AbortOnDropHandle<()>,
    /// The request's. An event stream has none while it lasts, but what its guest does afterwards has: otherwise it
    /// would keep its slot, and its place in the bulkhead, for ever.
    pub(in crate::plugin) deadline: Option<Instant>,
}

impl Running {
    /// The client has its whole answer; the guest may finish what it does besides.
    pub(super) fn let_go(self) {
        match self.deadline {
            Some(deadline) => drop(tokio::spawn(timeout_at(deadline.max(Instant::now() + LINGER), self.guest))),
            None => drop(self.guest.detach()),
        }
    }
}
