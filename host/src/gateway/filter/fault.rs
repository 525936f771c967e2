//! `fault`: some requests wait, some fail, on purpose.
//!
//! Who waits and who fails is drawn apart: with 10 % each, 1 % of requests wait and then fail. A delay comes first. It
//! ends early at the request's own deadline, which is the answer then, and when the client leaves: whoever waits is a
//! future that is dropped. At most `maxActive` wait; beyond that requests go on at once, because a test must not use
//! up the gateway's memory. What waits is counted over changes of the configuration.
//!
//! A header can only say that its request takes part. That its value cannot choose a delay or a status is deliberate:
//! strangers would do so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;

use super::kept::{Kept, Places};
use crate::config::{self, FaultAbort, Percent};
use crate::gateway::GatewayError;

/// `fault`, ready to draw.
#[derive(Debug)]
pub(super) struct Fault {
    delay: Option<(Duration, Percent)>,
    abort: Option<FaultAbort>,
    header: Option<HeaderName>,
    max_active: usize,
    state: Arc<FaultState>,
}

/// What outlasts a change of the configuration; requests by what was done to them.
#[derive(Debug, Default)]
pub(crate) struct FaultState {
    active: Arc<Places>,
    /// Were made to wait.
    pub(crate) delayed: AtomicU64,
    /// Were not, because too many waited.
    pub(crate) not_delayed: AtomicU64,
    /// Were answered with an error.
    pub(crate) aborted: AtomicU64,
}

impl Fault {
    /// `place` names the filter from one configuration to the next.
    pub(super) fn new(config: &config::Fault, place: &str, states: &Kept<FaultState>) -> Self {
        Self {
            delay: config.delay.map(|delay| (delay.duration.get(), delay.percent)),
            abort: config.abort,
            // A name that is none was refused with the configuration.
            header: config.header.as_deref().and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok()),
            max_active: usize::try_from(config.max_active).unwrap_or(usize::MAX),
            state: states.get(place),
        }
    }

    /// Lets a request wait or fail, if the draws (one for each, uniform over all of `u64`) say so.
    ///
    /// # Errors
    /// When it is to fail, or its deadline came while it waited.
    pub(super) async fn inject(
        &self,
        headers: &HeaderMap,
        deadline: Option<Instant>,
        [for_delay, for_abort]: [u64; 2],
    ) -> Result<(), GatewayError> {
        if self.header.as_ref().is_some_and(|name| !headers.contains_key(name)) {
            return Ok(());
        }
        if let Some((duration, _)) = self.delay.filter(|(_, percent)| percent.hits(for_delay)) {
            self.wait(duration, deadline).await?;
        }
        match self.abort.filter(|abort| abort.percent.hits(for_abort)) {
            None => Ok(()),
            Some(abort) => {
                self.state.aborted.fetch_add(1, Ordering::Relaxed);
                Err(GatewayError::FaultInjected(abort.status))
            }
        }
    }

    async fn wait(&self, duration: Duration, deadline: Option<Instant>) -> Result<(), GatewayError> {
        let Some(_place) = self.state.active.enter(self.max_active) else {
            self.state.not_delayed.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        self.state.delayed.fetch_add(1, Ordering::Relaxed);
        let end = Instant::now() + duration;
        match deadline.filter(|deadline| *deadline <= end) {
            None => {
                tokio::time::sleep_until(end).await;
                Ok(())
            }
            Some(deadline) => {
                tokio::time::sleep_until(deadline).await;
                Err(GatewayError::RequestTimeout)
            }
        }
    }
}

#[cfg(test)]
mod tests;
