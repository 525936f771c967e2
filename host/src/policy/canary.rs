//! Canary: whether a new version does as well as the old one, and so gets more requests, all of them, or none.
//!
//! ```text
//! steps[0] ── interval over, minRequests answered, not worse ──→ steps[1] … last step ──→ Promote
//!    └── clearly worse ──→ RollBack
//! ```
//!
//! What counts is counted anew in each step, for both versions. The candidate is *worse* when
//!
//! - more than `maxErrorRate` percent of its requests fail beyond the share of the old version's, or
//! - its 99th percentile is over `maxLatencyRatio` times the old version's and over that by 10 ms (1 ms against 2 ms is
//!   noise).
//!
//! A version that looks worse is rolled back only when chance does not explain it: with few requests, one failure is a
//! large percentage. The measure is the Chernoff–Hoeffding bound: that a version which fails with probability `p` shows
//! `k` failures in `n` requests has at most the probability `exp(−n·KL(k/n ‖ p))`, and this must be below one in ten
//! thousand (it is asked again and again, so one in twenty would not do). `p` is the old version's share, at its
//! upper 95 % limit (Wilson's score), and what is allowed on top. A version that is over `p` and not clearly so stays in
//! its step: it gets no more requests than it has until more of them tell. The same bound tells whether too many
//! requests are slower than the old version's percentile allows.
//!
//! Errors are looked at all the time and latency when the interval is over. A version whose first requests all fail is
//! not given `minRequests` of them: five in a row are enough. When the old version has had too few requests in a step
//! (it gets none at 100 %), its requests since the beginning of the canary stand for it.
//!
//! A canary without requests waits: there is no bound in time, because then nothing is known and nobody is harmed.

mod share;
mod statistics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use share::Share;
use statistics::Counts;
pub use statistics::Statistics;

use crate::config;

/// Failures in a row after which the first requests of a version are seen as what they are.
const IN_A_ROW: u32 = 5;
/// So much slower is never too slow.
const LATENCY_SLACK: Duration = Duration::from_millis(10);
/// ln 10000: chance explains what has this much evidence once in ten thousand times.
const CLEAR: f64 = 9.21;

/// A new version on trial.
#[derive(Debug)]
pub struct Canary {
    config: config::Canary,
    percent: u8,
    step_began: Instant,
    versions: Pair<Arc<Statistics>>,
    /// What had been counted when the step began.
    before: Pair<Counts>,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing; the step goes on.
    Hold(Wait),
    /// The next step has begun: the candidate gets this percentage.
    Advance(u8),
    /// It did as well as the old one to the end.
    Promote,
    /// It is worse.
    RollBack(Reason),
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    /// The end of the interval.
    Interval(Duration),
    /// Requests that the candidate has not had yet.
    Requests(u64),
    /// It looks worse, and that may be chance.
    Certainty(Reason),
}

/// In what a version is worse.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// So many failures one after the other before it had `minRequests`.
    FirstRequests(u32),
    /// More of its requests fail.
    Errors {
        /// Of the candidate.
        candidate: Share,
        /// Of the old version.
        stable: Share,
    },
    /// It is slower.
    Latency {
        /// 99th percentile of the candidate.
        candidate: Duration,
        /// That of the old version.
        stable: Duration,
    },
}

/// What a version did in the current step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Requests that failed, of all.
    pub failures: Share,
    /// 99th percentile of the time to the head of the response, if it had any success.
    pub p99: Option<Duration>,
}

/// Where a canary stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What the candidate gets.
    pub percent: u8,
    /// How long it has been getting that.
    pub elapsed: Duration,
    /// What the step waits for, if it is not over.
    pub waiting: Option<Wait>,
    /// The candidate in this step.
    pub candidate: Summary,
    /// The old version in this step.
    pub stable: Summary,
}

#[derive(Debug)]
struct Pair<T> {
    candidate: T,
    stable: T,
}

impl Canary {
    /// A canary whose first step begins now.
    pub fn new(config: &config::Canary, now: Instant) -> Self {
        Self {
            config: config.clone(),
            percent: config.steps.first().copied().unwrap_or(100),
            step_began: now,
            versions: Pair { candidate: Arc::default(), stable: Arc::default() },
            before: Pair { candidate: Counts::none(), stable: Counts::none() },
        }
    }

    /// Percent of the requests that the candidate gets.
    pub fn percent(&self) -> u8 {
        self.percent
    }

    /// Where the candidate's requests are counted.
    pub fn candidate(&self) -> &Arc<Statistics> {
        &self.versions.candidate
    }

    /// Where the old version's requests are counted.
    pub fn stable(&self) -> &Arc<Statistics> {
        &self.versions.stable
    }

    /// Takes on another configuration. The step goes on with the percentage it has; the next one is the first that is
    /// more.
    pub fn reconfigure(&mut self, config: &config::Canary) {
        self.config = config.clone();
    }

    /// What is to be done. After [`Decision::Advance`] the next step has begun.
    pub fn decide(&mut self, now: Instant) -> Decision {
        if let Some(verdict) = self.judge(now) {
            return verdict;
        }
        let Some(next) = self.config.steps.iter().copied().find(|step| *step > self.percent) else {
            return Decision::Promote;
        };
        self.percent = next;
        self.step_began = now;
        self.before = Pair { candidate: self.versions.candidate.read(), stable: self.versions.stable.read() };
        Decision::Advance(next)
    }

    /// Where it stands.
    pub fn progress(&self, now: Instant) -> Progress {
        let summary = |counts: &Counts| Summary { failures: counts.failed(), p99: counts.p99() };
        let step = self.step();
        let waiting = match self.judge(now) {
            Some(Decision::Hold(wait)) => Some(wait),
            Some(Decision::RollBack(_) | Decision::Advance(_) | Decision::Promote) | None => None,
        };
        Progress {
            percent: self.percent,
            elapsed: now.saturating_duration_since(self.step_began),
            waiting,
            candidate: summary(&step.candidate),
            stable: summary(&step.stable),
        }
    }

    /// Nothing when the step is over and well.
    fn judge(&self, now: Instant) -> Option<Decision> {
        let Pair { candidate, stable } = self.step();
        let enough = u64::from(self.config.min_requests);
        let stable = if stable.requests < enough { self.versions.stable.read() } else { stable };

        let allowed = self.config.max_error_rate / 100.0;
        let (failed, failed_before) = (candidate.failed(), stable.failed());
        let tolerated = failed_before.upper(enough) + allowed;
        let worse = Reason::Errors { candidate: failed, stable: failed_before };
        if candidate.requests < enough {
            let in_a_row = self.versions.candidate.failed_in_a_row();
            let first = Share { part: in_a_row.into(), of: in_a_row.into() };
            if in_a_row >= IN_A_ROW && first.evidence(tolerated) > CLEAR {
                return Some(Decision::RollBack(Reason::FirstRequests(in_a_row)));
            }
        } else if failed.evidence(tolerated) > CLEAR {
            return Some(Decision::RollBack(worse));
        }

        let left = self.config.interval.get().saturating_sub(now.saturating_duration_since(self.step_began));
        if !left.is_zero() {
            return Some(Decision::Hold(Wait::Interval(left)));
        }
        if candidate.requests < enough {
            return Some(Decision::Hold(Wait::Requests(enough - candidate.requests)));
        }
        if failed.value() > tolerated {
            return Some(Decision::Hold(Wait::Certainty(worse)));
        }
        self.judge_latency(&candidate, &stable, enough)
    }

    fn judge_latency(&self, candidate: &Counts, stable: &Counts, enough: u64) -> Option<Decision> {
        let (new, old) = (candidate.p99()?, stable.p99()?);
        let bound = old.mul_f64(self.config.max_latency_ratio).max(old + LATENCY_SLACK);
        let worse = Reason::Latency { candidate: new, stable: old };
        // By its definition, this many of the old version's requests are slower than its percentile.
        let slow_before = Share { part: stable.timed() / 100, of: stable.timed() };
        let tolerated = slow_before.upper(enough).max(0.01);
        let slow = Share { part: candidate.slower_than(bound), of: candidate.timed() };
        if slow.value() <= tolerated {
            return None;
        }
        Some(if slow.evidence(tolerated) > CLEAR {
            Decision::RollBack(worse)
        } else {
            Decision::Hold(Wait::Certainty(worse))
        })
    }

    fn step(&self) -> Pair<Counts> {
        Pair {
            candidate: self.versions.candidate.read().since(&self.before.candidate),
            stable: self.versions.stable.read().since(&self.before.stable),
        }
    }
}

impl Counts {
    fn failed(&self) -> Share {
        Share { part: self.failures, of: self.requests }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstRequests(count) => write!(f, "its first {count} requests failed"),
            Self::Errors { candidate, stable } => {
                write!(f, "error rate {candidate} against {stable} ({} of {} requests)", candidate.part, candidate.of)
            }
            Self::Latency { candidate, stable } => {
                write!(f, "99th percentile {} ms against {} ms", millis(*candidate), millis(*stable))
            }
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(left) => write!(f, "{} s of the interval", left.as_secs_f64().ceil()),
            Self::Requests(1) => f.write_str("1 more request"),
            Self::Requests(count) => write!(f, "{count} more requests"),
            Self::Certainty(reason) => write!(f, "more requests, as this may be chance: {reason}"),
        }
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests;
