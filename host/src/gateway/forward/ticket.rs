//! What one try holds of the one who answers it, until the last byte is gone.
//!
//! The head of a response tells whether a try was good, so that is when policies hear of it, and time is counted up to
//! there: how long a body takes says as much about its reader. A body that breaks off later by its sender's fault is a
//! failure of its own. The request counts as in flight to the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::carried::{Carried, EndpointState, PoolState};
use crate::policy::balance::Started;
use crate::policy::{BreakerPermit, Ejected, Outcome, Statistics};

/// See the module header. Dropped, the request is no longer in flight.
#[derive(Debug)]
pub(crate) struct Ticket {
    service: Arc<str>,
    carried: Arc<Carried>,
    pool: Arc<PoolState>,
    endpoint: Arc<EndpointState>,
    started: Started,
    began: Instant,
    statistics: Option<Arc<Statistics>>,
}

impl Ticket {
    pub(super) fn new(
        service: Arc<str>,
        carried: Arc<Carried>,
        pool: Arc<PoolState>,
        endpoint: Arc<EndpointState>,
        statistics: Option<Arc<Statistics>>,
        now: Instant,
    ) -> Self {
        let started = endpoint.load.start(now);
        Self { service, carried, pool, endpoint, started, began: now, statistics }
    }

    /// When the try began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Who was asked.
    pub(super) fn instance(&self) -> &str {
        &self.endpoint.id
    }

    /// The head is there, or will not come.
    pub(super) fn ended(&self, permit: BreakerPermit, outcome: Ended, now: Instant) {
        let of_breaker = if permit.is_probe() { outcome.as_probe() } else { outcome.outcome() };
        permit.record(of_breaker, now);
        self.count(outcome.outcome(), now);
        if let Some(statistics) = &self.statistics {
            statistics.record(outcome.outcome(), now.saturating_duration_since(self.began));
        }
    }

    /// The body broke off; maybe whoever sent it is to blame.
    pub(crate) fn broke_off(&self, is_of_callee: bool) {
        self.carried.counters.broken.fetch_add(1, Ordering::Relaxed);
        if !is_of_callee {
            return;
        }
        let now = Instant::now();
        if let Ok(permit) = self.pool.breaker.admit(now) {
            permit.record(Outcome::Failure, now);
        }
        self.count(Outcome::Failure, now);
    }

    fn count(&self, outcome: Outcome, now: Instant) {
        self.carried.counters.ended(outcome);
        self.started.record(outcome, now);
        if let Some(ejected) = self.endpoint.outlier.record(outcome, now, &self.pool.group) {
            self.ejected(ejected, now);
        }
    }

    fn ejected(&self, ejected: Ejected, now: Instant) {
        self.carried.counters.ejections.fetch_add(1, Ordering::Relaxed);
        // It begins slowly when it comes back.
        self.endpoint.load.became_available(now + ejected.time);
        let Ejected { sickness, time, ejections } = ejected;
        tracing::warn!(service = %self.service, instance = %self.endpoint.id, ejections, "ejected for {time:.1?}: {sickness}");
    }
}

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// A response with this status.
    Status(u16),
    /// No response, and whoever was asked is to blame.
    Failed,
    /// No response, and the client is to blame, or nobody.
    Ignored,
}

impl Ended {
    fn outcome(self) -> Outcome {
        match self {
            Self::Status(429) => Outcome::Overloaded,
            // Says nothing about whoever was asked: a client that asks for what is not there makes nobody healthy.
            Self::Status(400..500) | Self::Ignored => Outcome::Ignored,
            Self::Status(500..) | Self::Failed => Outcome::Failure,
            Self::Status(_) => Outcome::Success,
        }
    }

    /// To a breaker that asks whether anybody is there at all, a 404 is an answer: a service whose clients only ever ask
    /// for what is not there would stay shut out for ever.
    fn as_probe(self) -> Outcome {
        match self {
            Self::Status(status @ 400..500) if status != 429 => Outcome::Success,
            Self::Status(_) | Self::Failed | Self::Ignored => self.outcome(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged_as_the_documentation_says() {
        for (status, expected, as_probe) in [
            (200, Outcome::Success, Outcome::Success),
            (304, Outcome::Success, Outcome::Success),
            (404, Outcome::Ignored, Outcome::Success),
            (429, Outcome::Overloaded, Outcome::Overloaded),
            (500, Outcome::Failure, Outcome::Failure),
            (503, Outcome::Failure, Outcome::Failure),
        ] {
            assert_eq!(Ended::Status(status).outcome(), expected, "{status}");
            assert_eq!(Ended::Status(status).as_probe(), as_probe, "{status}");
        }
        assert_eq!((Ended::Failed.outcome(), Ended::Failed.as_probe()), (Outcome::Failure, Outcome::Failure));
        assert_eq!((Ended::Ignored.outcome(), Ended::Ignored.as_probe()), (Outcome::Ignored, Outcome::Ignored));
    }
}
