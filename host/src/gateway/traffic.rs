//! Requests as metrics see them: how many, how they were answered, and how long the head of an answer took.
//!
//! Counted once for each request, whatever its tries were, under the service that it was for. A request that is for none
//! (no route, a redirect, bad HTTP) is counted beside them. Never by path, host, method or anything else that a client
//! chooses: how many counters there are follows from the configuration alone. Copies and health checks are no requests.
//!
//! Time runs from the head of the request to the head of the response: how long a body takes says as much about its
//! reader. Counting is a few additions to atomics; nothing is locked, nothing is allocated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{CLIENT_GONE, GatewayError, REASONS};

/// Upper bounds of the classes of times, in seconds: those of OpenTelemetry's `http.server.request.duration`, and two
/// below them, because a component in this process answers within microseconds.
pub(super) const BOUNDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// How a request was answered; `none` if its client left before.
pub(super) const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Somebody outside.
    Client,
    /// Another service.
    Service,
    /// The host, which delivers an event.
    Event,
}

/// Requests of one service, or of none.
#[derive(Debug)]
pub(crate) struct Traffic {
    of_clients: Requests,
    of_services: Requests,
    of_events: Requests,
    /// By the place of their reason in [`REASONS`].
    errors: [AtomicU64; REASONS.len()],
}

/// Requests of one kind.
#[derive(Debug, Default)]
pub(super) struct Requests {
    statuses: [AtomicU64; STATUSES.len()],
    /// By the first of [`BOUNDS`] that is not below; the last place is for what is above all.
    times: [AtomicU64; BOUNDS.len() + 1],
    /// All times together. 64 bits of microseconds are half a million years.
    micros: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        let (of_clients, of_services, of_events) = Default::default();
        Self { of_clients, of_services, of_events, errors: [const { AtomicU64::new(0) }; REASONS.len()] }
    }
}

/// A request that is counted when this is dropped, however it ends.
#[derive(Debug)]
pub(super) struct Measured {
    traffic: Arc<Traffic>,
    asker: Asker,
    arrived: Instant,
    status: Option<u16>,
    reason: Option<&'static str>,
}

impl Asker {
    pub(super) const ALL: [Self; 3] = [Self::Client, Self::Service, Self::Event];

    /// The word for metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Service => "service",
            Self::Event => "event",
        }
    }
}

impl Traffic {
    pub(super) fn requests(&self, asker: Asker) -> &Requests {
        match asker {
            Asker::Client => &self.of_clients,
            Asker::Service => &self.of_services,
            Asker::Event => &self.of_events,
        }
    }

    /// Requests that the gateway answered itself because something failed, by reason.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        REASONS.into_iter().zip(self.errors.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }

    fn failed(&self, reason: &'static str) {
        if let Some(counter) = REASONS.iter().position(|one| *one == reason).and_then(|at| self.errors.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Requests {
    fn count(&self, status: Option<u16>, took: Duration) {
        let class = status.map_or(0, |status| usize::from(status / 100));
        let place = BOUNDS.partition_point(|bound| *bound < took.as_secs_f64());
        for counter in [self.statuses.get(class), self.times.get(place)].into_iter().flatten() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many were answered how.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        STATUSES.into_iter().zip(self.statuses.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }

    /// How many took at most so many seconds and more than the one before; the last bound is infinite.
    pub(super) fn times(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.times.iter().map(|counter| counter.load(Ordering::Relaxed))).collect()
    }

    /// All times together in seconds.
    pub(super) fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64()
    }
}

impl Measured {
    /// `traffic` is where it is counted as long as it is for no service.
    pub(super) fn new(traffic: Arc<Traffic>, asker: Asker, arrived: Instant) -> Self {
        Self { traffic, asker, arrived, status: None, reason: None }
    }

    /// It is for the service that this is the traffic of.
    pub(super) fn is_for(&mut self, traffic: &Arc<Traffic>) {
        self.traffic = Arc::clone(traffic);
    }

    /// The gateway answers it, because of this.
    pub(super) fn failed(&mut self, error: &GatewayError) {
        self.reason = Some(error.reason());
    }

    /// It has this answer.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let (status, reason) = match self.status {
            Some(status) => (Some(status), self.reason),
            // A defect of the host, which answers 500 where it is caught.
            None if std::thread::panicking() => (Some(500), Some("internal")),
            None => (None, Some(CLIENT_GONE)),
        };
        self.traffic.requests(self.asker).count(status, self.arrived.elapsed());
        if let Some(reason) = reason {
            self.traffic.failed(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(traffic: &Traffic, asker: Asker) -> Vec<(&'static str, u64)> {
        traffic.requests(asker).statuses().filter(|(_, count)| *count > 0).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_counted_once_however_it_ends() {
        let (nobody, orders) = (Arc::new(Traffic::default()), Arc::new(Traffic::default()));
        let measured = || Measured::new(Arc::clone(&nobody), Asker::Client, Instant::now());
        measured().answered(404);
        let mut for_orders = measured();
        for_orders.is_for(&orders);
        for_orders.failed(&GatewayError::BulkheadFull);
        for_orders.answered(503);
        drop(for_orders);
        let mut left = measured();
        left.is_for(&orders);
        drop(left);
        Measured::new(Arc::clone(&orders), Asker::Service, Instant::now()).answered(200);
        assert_eq!(counted(&nobody, Asker::Client), [("4xx", 1)]);
        assert_eq!(counted(&orders, Asker::Client), [("none", 1), ("5xx", 1)]);
        assert_eq!(counted(&orders, Asker::Service), [("2xx", 1)]);
        let errors: Vec<_> = orders.errors().filter(|(_, count)| *count > 0).collect();
        assert_eq!(errors, [("bulkhead_full", 1), ("client_gone", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_the_host_is_no_client_that_left() {
        let traffic = Arc::new(Traffic::default());
        let measured = Measured::new(Arc::clone(&traffic), Asker::Client, Instant::now());
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _measured = measured;
            panic!("on purpose");
        }));
        assert!(ended.is_err());
        assert_eq!(counted(&traffic, Asker::Client), [("5xx", 1)]);
        assert!(traffic.errors().any(|error| error == ("internal", 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_on_a_bound_belongs_below_it() {
        let traffic = Arc::new(Traffic::default());
        for millis in [0, 1, 2, 10_000, 10_001] {
            let mut measured = Measured::new(Arc::clone(&traffic), Asker::Client, Instant::now());
            tokio::time::advance(Duration::from_millis(millis)).await;
            measured.answered(200);
        }
        let requests = traffic.requests(Asker::Client);
        let times: Vec<_> = requests.times().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(times, [(0.001, 2), (0.0025, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert!((requests.seconds() - 20.004).abs() < 1e-9, "{}", requests.seconds());
    }
}
