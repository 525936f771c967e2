//! The gateway's own answer at `health.path`: how all services are, in one word and in numbers.
//!
//! For whoever stands in front of the gateway. It is asked only when no route and no service has that path, so nothing
//! that anybody serves is hidden, and filters, which belong to routes, do not hold for it. 503 means that no request can
//! be answered: no service has an instance that gets requests, or the host is about to stop. One bad service is
//! `degraded` and 200: a load balancer must not take away the host that serves the others. Without services it is healthy.
//!
//! Anybody may ask, as often as they like, so the registry is asked at most once a second, and names are told only if the
//! configuration says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Serialize;
use tokio::time::Instant;

use crate::config::PublicHealth;
use crate::registry::{HealthSummary, Overall};

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Overview {
    last: Mutex<Option<(Instant, Arc<HealthSummary>)>>,
    draining: AtomicBool,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Document<'a> {
    status: &'static str,
    /// Services by how they are.
    counts: BTreeMap<&'static str, usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<BTreeMap<&'a str, &'static str>>,
}

impl Overview {
    /// The host is about to stop.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The answer to a request at `path`, if that is the path of this.
    pub(super) fn answer(
        &self,
        config: &PublicHealth,
        (method, path): (&Method, &str),
        now: Instant,
        ask: impl FnOnce() -> HealthSummary,
    ) -> Option<Response<Bytes>> {
        if !config.enabled || path != config.path {
            return None;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, const { HeaderValue::from_static("GET, HEAD") });
            return Some(response);
        }
        let summary = self.summary(now, ask);
        let draining = self.draining.load(Ordering::Relaxed);
        let mut counts =
            BTreeMap::from([Overall::Healthy, Overall::Degraded, Overall::Unhealthy].map(|one| (word(one), 0)));
        for service in summary.services.values() {
            *counts.entry(word(service.health)).or_default() += 1;
        }
        let services = summary.services.iter().map(|(name, service)| (name.as_str(), word(service.health)));
        let document = Document {
            status: if draining { "draining" } else { word(summary.health) },
            counts,
            services: config.details.then(|| services.collect()),
        };
        // Words and numbers: cannot fail to serialize.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        if draining || summary.health == Overall::Unhealthy {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
        headers.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
        Some(response)
    }

    fn summary(&self, now: Instant, ask: impl FnOnce() -> HealthSummary) -> Arc<HealthSummary> {
        // Whoever comes while it is asked waits for that answer instead of asking too.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, summary)) = &*last
            && now.saturating_duration_since(*asked) < FRESH
        {
            return Arc::clone(summary);
        }
        let summary = Arc::new(ask());
        *last = Some((now, Arc::clone(&summary)));
        summary
    }
}

fn word(health: Overall) -> &'static str {
    match health {
        Overall::Healthy => "healthy",
        Overall::Degraded => "degraded",
        Overall::Unhealthy => "unhealthy",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::ServiceHealth;

    fn summary(health: Overall, services: &[(&str, Overall)]) -> HealthSummary {
        let of = |health| ServiceHealth { health, instances: 1, eligible: 1, reasons: BTreeMap::new() };
        HealthSummary {
            health,
            services: services.iter().map(|(name, health)| ((*name).to_owned(), of(*health))).collect(),
        }
    }

    fn ask(overview: &Overview, config: &PublicHealth, now: Instant, found: HealthSummary) -> (u16, Value) {
        let response = overview.answer(config, (&Method::GET, "/api/health"), now, || found).unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_service_is_no_reason_to_take_the_host_away() {
        use Overall::{Degraded, Healthy, Unhealthy};
        for (health, services, status) in [
            (Healthy, vec![], 200),
            (Healthy, vec![("a", Healthy)], 200),
            (Degraded, vec![("a", Healthy), ("b", Unhealthy)], 200),
            (Unhealthy, vec![("a", Unhealthy)], 503),
        ] {
            let overview = Overview::default();
            let (answered, document) =
                ask(&overview, &PublicHealth::default(), Instant::now(), summary(health, &services));
            assert_eq!((answered, &document["status"]), (status, &json!(word(health))), "{document}");
            let unhealthy = services.iter().filter(|(_, health)| *health == Unhealthy).count();
            assert_eq!(document["counts"]["unhealthy"], unhealthy);
            assert!(document.get("services").is_none(), "names are not for strangers");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_told_when_the_configuration_says_so() {
        let config = PublicHealth { details: true, ..PublicHealth::default() };
        let found = summary(Overall::Degraded, &[("a", Overall::Healthy), ("b", Overall::Unhealthy)]);
        let (_, document) = ask(&Overview::default(), &config, Instant::now(), found);
        assert_eq!(document["services"], json!({ "a": "healthy", "b": "unhealthy" }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_registry_is_asked_at_most_once_a_second() {
        let (overview, config, now) = (Overview::default(), PublicHealth::default(), Instant::now());
        let (good, bad) = (summary(Overall::Healthy, &[]), summary(Overall::Unhealthy, &[("a", Overall::Unhealthy)]));
        assert_eq!(ask(&overview, &config, now, good).0, 200);
        assert_eq!(ask(&overview, &config, now + Duration::from_millis(999), bad.clone()).0, 200);
        assert_eq!(ask(&overview, &config, now + FRESH, bad).0, 503);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_stops_says_so_at_once() {
        let (overview, config, now) = (Overview::default(), PublicHealth::default(), Instant::now());
        assert_eq!(ask(&overview, &config, now, summary(Overall::Healthy, &[])).0, 200);
        overview.drain();
        let (status, document) = ask(&overview, &config, now, summary(Overall::Healthy, &[]));
        assert_eq!((status, &document["status"]), (503, &json!("draining")));
    }

    #[tokio::test(start_paused = true)]
    async fn only_its_own_path_is_answered_and_only_to_be_read() {
        let (overview, now) = (Overview::default(), Instant::now());
        let on = PublicHealth::default();
        let off = PublicHealth { enabled: false, ..on.clone() };
        let elsewhere = PublicHealth { path: "/up".to_owned(), ..on.clone() };
        let answer = |config, method: Method, path| {
            let answer = overview.answer(config, (&method, path), now, || summary(Overall::Healthy, &[]));
            answer.map(|answer| answer.status().as_u16())
        };
        assert_eq!(answer(&on, Method::HEAD, "/api/health"), Some(200));
        assert_eq!(answer(&on, Method::POST, "/api/health"), Some(405));
        assert_eq!(answer(&on, Method::GET, "/api/health/"), None);
        assert_eq!(answer(&on, Method::GET, "/api"), None);
        assert_eq!(answer(&off, Method::GET, "/api/health"), None);
        assert_eq!(answer(&elsewhere, Method::GET, "/api/health"), None);
        assert_eq!(answer(&elsewhere, Method::GET, "/up"), Some(200));
    }
}
