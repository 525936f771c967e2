//! The versions that have come out of one file: what serves, what is on trial, what can come back.
//!
//! ```text
//!                      ┌─ candidate ── promoted ──┐
//! new content ─────────┤      └─ worse, aborted, replaced ──→ leaves          rollback
//!                      └─ (no canary) ──→ stable ←┘── replaced ──→ leaves, retained ──┐
//!                                            └────────────────────────────────────────┘
//! ```
//!
//! At most one candidate: newer content takes its place. A candidate that was rolled back or aborted is `refused`: the
//! same content is not tried again until the file holds another. After a rollback the stable version is not what the
//! file contains; a change of the file ends that. What leaves gets no new requests and drains; at most
//! `rollout.retain` of what was stable stays loaded. Nothing of this outlasts the process: after a restart, what lies
//! in the folder serves.
//!
//! Pure bookkeeping, with the clock passed in: the caller publishes, tells the registry, and drains. Generic, so that
//! it can be tried without components.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Rollout;
use crate::plugin::Version;
use crate::policy::{Canary, CanaryDecision};
use crate::registry::{RolloutEvent, RolloutWord};

/// Decisions that are remembered.
const HISTORY: usize = 20;

/// What tells one version from another.
pub(super) trait Content: Clone {
    fn digest(&self) -> &[u8; 32];
    fn label(&self) -> &Arc<str>;
}

impl Content for Arc<Version> {
    fn digest(&self) -> &[u8; 32] {
        Version::digest(self)
    }

    fn label(&self) -> &Arc<str> {
        Version::label(self)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line<V> {
    stable: Option<V>,
    candidate: Option<Candidate<V>>,
    /// What was stable before, the newest first.
    retained: VecDeque<V>,
    refused: Option<Refused>,
    /// The newest first.
    history: VecDeque<RolloutEvent>,
    /// How often each of [`RolloutWord::ALL`] was decided.
    decided: [u64; RolloutWord::ALL.len()],
}

/// A version on trial.
#[derive(Debug)]
pub(super) struct Candidate<V> {
    pub(super) version: V,
    pub(super) canary: Canary,
}

/// Content of the file that does not serve.
#[derive(Debug)]
struct Refused {
    digest: [u8; 32],
    reason: String,
}

/// A decision, and what follows for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done<V> {
    pub(super) what: RolloutWord,
    /// The version that it is about.
    pub(super) version: V,
    pub(super) why: String,
    /// What it gets from now on, if it is on trial.
    pub(super) percent: Option<u8>,
    /// Was retained, and serves again.
    pub(super) back: Option<V>,
    /// Get no more requests, and are to drain.
    pub(super) leaving: Vec<V>,
    /// Were retained, and no longer are.
    pub(super) forgotten: Vec<V>,
}

impl<V> Default for Line<V> {
    fn default() -> Self {
        Self {
            stable: None,
            candidate: None,
            retained: VecDeque::new(),
            refused: None,
            history: VecDeque::new(),
            decided: Default::default(),
        }
    }
}

impl<V: Content> Line<V> {
    pub(super) fn stable(&self) -> Option<&V> {
        self.stable.as_ref()
    }

    pub(super) fn candidate(&self) -> Option<&Candidate<V>> {
        self.candidate.as_ref()
    }

    pub(super) fn retained(&self) -> impl Iterator<Item = &V> {
        self.retained.iter()
    }

    /// Why what the file contains does not serve.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_ref().map(|refused| refused.reason.as_str())
    }

    pub(super) fn history(&self) -> impl Iterator<Item = &RolloutEvent> {
        self.history.iter()
    }

    /// How often each of [`RolloutWord::ALL`] was decided.
    pub(super) fn decided(&self) -> [u64; RolloutWord::ALL.len()] {
        self.decided
    }

    /// All that get requests.
    pub(super) fn serving(&self) -> impl Iterator<Item = &V> {
        self.stable.iter().chain(self.candidate.iter().map(|candidate| &candidate.version))
    }

    /// All that are loaded.
    pub(super) fn loaded(&self) -> impl Iterator<Item = &V> {
        self.serving().chain(&self.retained)
    }

    /// Whether this version can come back.
    pub(super) fn retains(&self, digest: &[u8; 32]) -> bool {
        self.retained.iter().any(|retained| retained.digest() == digest)
    }

    /// Whether this content needs no loading: it serves, is on trial, or is not to be tried again.
    pub(super) fn knows(&self, digest: &[u8; 32]) -> bool {
        self.serving().any(|version| version.digest() == digest)
            || self.refused.as_ref().is_some_and(|refused| refused.digest == *digest)
    }

    /// The file contains what is known already.
    pub(super) fn seen_again(&mut self, digest: &[u8; 32]) -> Option<Done<V>> {
        if self.stable.as_ref().is_none_or(|stable| stable.digest() != digest) {
            return None;
        }
        self.refused = None;
        let candidate = self.candidate.take()?.version;
        let why = "the file holds the serving version again".to_owned();
        Some(self.note(Done { leaving: vec![candidate.clone()], ..done(RolloutWord::Replaced, candidate, why) }))
    }

    /// New content of the file has passed its probe.
    pub(super) fn arrive(&mut self, version: V, rollout: &Rollout, now: Instant) -> Done<V> {
        self.refused = None;
        // What comes back by its file need not come back by a rollback.
        self.retained.retain(|retained| retained.digest() != version.digest());
        let superseded = self.candidate.take().map(|candidate| candidate.version);
        if let (Some(_), Some(config)) = (&self.stable, &rollout.canary) {
            let canary = Canary::new(config, now);
            let why = format!("gets {} % of the requests", canary.percent());
            let (percent, leaving) = (Some(canary.percent()), superseded.into_iter().collect());
            self.candidate = Some(Candidate { version: version.clone(), canary });
            return self.note(Done { percent, leaving, ..done(RolloutWord::Canary, version, why) });
        }
        let why = match (&self.stable, &superseded) {
            (None, _) => "it is the first version",
            (Some(_), _) => "rollout.canary is not configured",
        };
        let mut done = self.serve(version, RolloutWord::Serving, why.to_owned(), rollout.retain);
        done.leaving.extend(superseded);
        self.note(done)
    }

    /// What the trial comes to now, if it comes to anything.
    pub(super) fn decide(&mut self, retain: u32, now: Instant) -> Option<Done<V>> {
        let candidate = self.candidate.as_mut()?;
        let version = candidate.version.clone();
        match candidate.canary.decide(now) {
            CanaryDecision::Hold(_) => None,
            CanaryDecision::Advance(percent) => {
                let why = format!("gets {percent} % of the requests, as it was no worse in the step before");
                Some(self.note(Done { percent: Some(percent), ..done(RolloutWord::Advanced, version, why) }))
            }
            CanaryDecision::Promote => self.promote("it was no worse in any step".to_owned(), retain),
            CanaryDecision::RollBack(reason) => self.end_trial(RolloutWord::RolledBack, reason.to_string()),
        }
    }

    /// The candidate serves alone from now on.
    pub(super) fn promote(&mut self, why: String, retain: u32) -> Option<Done<V>> {
        let version = self.candidate.take()?.version;
        let done = self.serve(version, RolloutWord::Promoted, why, retain);
        Some(self.note(done))
    }

    /// The candidate goes, and its content is not tried again.
    pub(super) fn end_trial(&mut self, what: RolloutWord, why: String) -> Option<Done<V>> {
        let version = self.candidate.take()?.version;
        self.refused = Some(Refused { digest: *version.digest(), reason: refusal(what, &why) });
        Some(self.note(Done { leaving: vec![version.clone()], ..done(what, version, why) }))
    }

    /// The version that was stable before serves again; a trial ends instead, if there is one. Nothing if there is nothing
    /// to go back to.
    pub(super) fn roll_back(&mut self, why: &str) -> Option<Done<V>> {
        if self.candidate.is_some() {
            return self.end_trial(RolloutWord::RolledBack, why.to_owned());
        }
        let before = self.retained.pop_front()?;
        let why = format!("{why}, version {} serves again", before.label());
        let back = Some(before.clone());
        let version = self.stable.replace(before)?;
        self.refused = Some(Refused { digest: *version.digest(), reason: refusal(RolloutWord::RolledBack, &why) });
        Some(self.note(Done { back, leaving: vec![version.clone()], ..done(RolloutWord::RolledBack, version, why) }))
    }

    /// Takes on other settings.
    pub(super) fn reconfigure(&mut self, rollout: &Rollout) -> (Option<Done<V>>, Vec<V>) {
        let done = match (&mut self.candidate, &rollout.canary) {
            (Some(candidate), Some(config)) => {
                candidate.canary.reconfigure(config);
                None
            }
            (Some(_), None) => self.promote("rollout.canary is no longer configured".to_owned(), rollout.retain),
            (None, _) => None,
        };
        (done, self.keep(rollout.retain))
    }

    fn serve(&mut self, version: V, what: RolloutWord, why: String, retain: u32) -> Done<V> {
        let old = self.stable.replace(version.clone());
        if let Some(old) = &old {
            self.retained.push_front(old.clone());
        }
        let forgotten = self.keep(retain);
        Done { leaving: old.into_iter().collect(), forgotten, ..done(what, version, why) }
    }

    /// Retains no more than this; what is retained no longer.
    fn keep(&mut self, retain: u32) -> Vec<V> {
        let from = self.retained.len().min(retain as usize);
        self.retained.drain(from..).collect()
    }

    fn note(&mut self, done: Done<V>) -> Done<V> {
        if let Some((_, count)) = RolloutWord::ALL.iter().zip(&mut self.decided).find(|(word, _)| **word == done.what) {
            *count += 1;
        }
        self.history.push_front(RolloutEvent {
            at: jiff::Timestamp::now(),
            what: done.what,
            version: done.version.label().to_string(),
            why: done.why.clone(),
        });
        self.history.truncate(HISTORY);
        done
    }
}

/// How a refusal reads in a list of versions.
pub(super) fn refusal(what: RolloutWord, why: &str) -> String {
    format!("{}: {why}", what.as_str())
}

fn done<V>(what: RolloutWord, version: V, why: String) -> Done<V> {
    Done { what, version, why, percent: None, back: None, leaving: Vec::new(), forgotten: Vec::new() }
}

#[cfg(test)]
mod tests;
