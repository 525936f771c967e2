//! A limit on concurrency that finds its own size from latency.
//!
//! Requests beyond what a service can do at once only wait inside of it: each takes longer, and none is done sooner. So
//! the latency that the service has when it is nearly idle is measured now and then (a *probe*: fifty requests at
//! `minLimit`), and compared with what it has now. Their ratio, allowing `tolerance`, is the gradient: below one there
//! is a queue and the limit shrinks by it; at one or above the limit grows. The square root of the limit is added each
//! time as room to try. Medians are compared, so that single slow requests do not count.
//!
//! ```text
//! limit ← limit · min(2, (1 + tolerance) · idle / now) + √limit,   at least minLimit, at most maxConcurrent
//! ```
//!
//! This is Envoy's gradient controller with its numbers. Netflix' `Gradient2` needs no probes but compares with a slow
//! average of what was measured under load, which takes a long overload for normal. Differences to Envoy: a limit that
//! is not used does not grow, so that it means something when load comes; and a probe of a service with few requests
//! ends after a while with what it has. When the limit stays at its least, the service has become slower for good and
//! is probed at once.
//!
//! Nothing here counts requests or keeps them out; [`Bulkhead`](super::Bulkhead) does. The clock is passed in. At most
//! [`SAMPLES`] durations are remembered.

use std::time::Duration;

use tokio::time::Instant;

use crate::config;

/// Time from one look to the next.
const INTERVAL: Duration = Duration::from_millis(100);
/// Answers without which a look says nothing.
const LEAST_SAMPLES: usize = 10;
/// Answers remembered between two looks; of more, a random choice.
const SAMPLES: usize = 256;
/// Answers of a probe.
const PROBE_SAMPLES: usize = 50;
/// A probe is over after this, with at least [`LEAST_SAMPLES`].
const PROBE_TIME: Duration = Duration::from_secs(1);
/// A probe is given up when it has kept requests out for so long.
const PATIENCE: Duration = Duration::from_secs(3);
/// Looks in a row with the limit at its least, after which the service is probed.
const LOOKS_AT_LEAST: u32 = 5;
const MAX_GRADIENT: f64 = 2.0;
/// Probes come up to so much later, lest all services and hosts probe at once.
const JITTER: f64 = 0.15;

/// See the module.
#[derive(Debug)]
pub struct Adaptive {
    min: usize,
    max: usize,
    tolerance: f64,
    probe_interval: Duration,
    limit: usize,
    phase: Phase,
    samples: Samples,
    random: fastrand::Rng,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Probing(Probe),
    /// Compares with the idle service.
    Following {
        idle: Duration,
        looked: Instant,
        probe_at: Instant,
        at_least: u32,
    },
}

/// The idle service is measured.
#[derive(Debug, Clone, Copy, Default)]
struct Probe {
    /// The limit and the latency from before, if this is not the first one.
    before: Option<(usize, Duration)>,
    /// From when on nobody came who made more than the least limit.
    since: Option<Instant>,
    /// When somebody was first kept out by it.
    felt: Option<Instant>,
}

/// A random choice of what there was (Vitter's algorithm R).
#[derive(Debug, Default)]
struct Samples {
    chosen: Vec<Duration>,
    seen: usize,
}

impl Adaptive {
    /// A limit that begins with a probe.
    pub fn new(config: &config::AdaptiveLimit, max_concurrent: usize) -> Self {
        let mut adaptive = Self {
            min: 1,
            max: 1,
            tolerance: 0.0,
            probe_interval: Duration::ZERO,
            limit: 1,
            phase: Phase::Probing(Probe::default()),
            samples: Samples::default(),
            random: fastrand::Rng::new(),
        };
        adaptive.reconfigure(config, max_concurrent);
        adaptive.limit = adaptive.min;
        adaptive
    }

    /// Other bounds from now on; what was measured stays.
    pub fn reconfigure(&mut self, config: &config::AdaptiveLimit, max_concurrent: usize) {
        self.max = max_concurrent.max(1);
        self.min = (config.min_limit as usize).clamp(1, self.max);
        self.tolerance = f64::from(config.tolerance) / 100.0;
        self.probe_interval = config.probe_interval.get();
        self.limit = match self.phase {
            Phase::Probing(_) => self.min,
            Phase::Following { .. } => self.limit.clamp(self.min, self.max),
        };
    }

    /// Requests that may run at once now.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// An answer came `rtt` after its request had a place, while `in_flight` requests (with it) had one. Says the new
    /// limit when it has changed.
    pub fn sample(&mut self, rtt: Duration, in_flight: usize, now: Instant) -> Option<usize> {
        let before = self.limit;
        match self.phase {
            Phase::Probing(probe) => self.probe(probe, rtt, now),
            Phase::Following { .. } => {
                self.samples.add(rtt, &mut self.random);
                self.follow(in_flight, now);
            }
        }
        (self.limit != before).then_some(self.limit)
    }

    /// A request found no place. A probe that keeps requests out for long is given up: places are taken by streams that
    /// do not end, so that no answers come. Says the new limit when it has changed.
    pub fn crowded(&mut self, now: Instant) -> Option<usize> {
        let Phase::Probing(probe) = &mut self.phase else { return None };
        let felt = *probe.felt.get_or_insert(now);
        if now.saturating_duration_since(felt) < PATIENCE {
            return None;
        }
        let limit = self.limit;
        match probe.before {
            Some((before, idle)) => self.begin_following(idle, before, now),
            None => {
                probe.felt = Some(now);
                self.limit = self.limit.saturating_mul(2).min(self.max);
            }
        }
        (self.limit != limit).then_some(self.limit)
    }

    fn probe(&mut self, probe: Probe, rtt: Duration, now: Instant) {
        // The first probe begins with the first request.
        let since = probe.since.unwrap_or_else(|| now.checked_sub(rtt).unwrap_or(now));
        self.phase = Phase::Probing(Probe { since: Some(since), ..probe });
        // Whoever came earlier met a queue; since then there are places for the least limit only.
        if now.saturating_duration_since(since) < rtt {
            return;
        }
        self.samples.add(rtt, &mut self.random);
        let patience_is_over = now.saturating_duration_since(since) >= PROBE_TIME;
        let enough = if patience_is_over { LEAST_SAMPLES } else { PROBE_SAMPLES };
        if self.samples.seen >= enough
            && let Some(idle) = self.samples.take_median()
        {
            // The limit of before the probe was not wrong yet.
            self.begin_following(idle, probe.before.map_or(self.limit, |(limit, _)| limit), now);
        }
    }

    fn begin_following(&mut self, idle: Duration, limit: usize, now: Instant) {
        let later = self.probe_interval.mul_f64(1.0 + JITTER * self.random.f64());
        self.phase = Phase::Following { idle, looked: now, probe_at: now + later, at_least: 0 };
        self.limit = limit.clamp(self.min, self.max);
        self.samples.clear();
    }

    fn follow(&mut self, in_flight: usize, now: Instant) {
        let Phase::Following { idle, looked, probe_at, at_least } = self.phase else { return };
        if now.saturating_duration_since(looked) < INTERVAL || self.samples.seen < LEAST_SAMPLES {
            return;
        }
        let Some(current) = self.samples.take_median() else { return };
        let allowed = idle.as_secs_f64() * (1.0 + self.tolerance);
        let gradient = (allowed / current.as_secs_f64().max(f64::MIN_POSITIVE)).min(MAX_GRADIENT);
        let limit = self.limit as f64;
        let wanted = (limit * gradient + limit.sqrt()).round() as usize;
        let used = in_flight.saturating_mul(2) >= self.limit;
        if wanted < self.limit || used {
            self.limit = wanted.clamp(self.min, self.max);
        }
        let at_least = if self.limit == self.min { at_least + 1 } else { 0 };
        if now >= probe_at || at_least >= LOOKS_AT_LEAST {
            self.phase = Phase::Probing(Probe { before: Some((self.limit, idle)), since: Some(now), felt: None });
            self.limit = self.min;
        } else {
            self.phase = Phase::Following { idle, looked: now, probe_at, at_least };
        }
    }
}

impl Samples {
    fn add(&mut self, sample: Duration, random: &mut fastrand::Rng) {
        self.seen = self.seen.saturating_add(1);
        if self.chosen.len() < SAMPLES {
            self.chosen.push(sample);
        } else if let Some(place) = self.chosen.get_mut(random.usize(..self.seen)) {
            *place = sample;
        }
    }

    /// The one in the middle; none are left.
    fn take_median(&mut self) -> Option<Duration> {
        let middle = self.chosen.len() / 2;
        let median = (!self.chosen.is_empty()).then(|| *self.chosen.select_nth_unstable(middle).1);
        self.clear();
        median
    }

    fn clear(&mut self) {
        self.chosen.clear();
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests;
