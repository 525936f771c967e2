//! Whether a request that failed is tried again, and after how long.
//!
//! Decided here: what is safe to do twice, what is worth it, and who pays. Never decided here: which instance is tried
//! next, what a status means for breakers, and how a body is kept (`gateway/forward/replay.rs`). Nothing is done here
//! either: the caller waits, and holds the body.
//!
//! | it came to | tried again |
//! |---|---|
//! | nothing of it reached a callee | whatever the method |
//! | it broke after a callee may have got it: reset, trap, timeout | if doing it twice is as good as once |
//! | a response with a status of `codes`, not 429 | the same |
//! | a refusal of our own: bulkhead full, rate limited, circuit open | never: it would be the same again, or more load |
//!
//! Besides, there must be tries left, the body must still be there, the wait must end before the deadline, and the
//! budget must pay, which is asked last so that only tries that happen are paid for. Whether a response may be tried
//! again is asked before any of it was passed on; afterwards there is nothing to ask.
//!
//! A `Retry-After` of the callee is a least wait too. When it does not fit before the deadline, waiting is no use to
//! anybody and the response is given at once.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::budget::Budget;
use crate::config::RuleRetry;

const TOO_MANY_REQUESTS: u16 = 429;

/// When requests are tried again, compiled from the configuration of a rule or of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    codes: Codes,
    non_idempotent: bool,
    backoff: Backoff,
    max_body: usize,
}

/// Statuses, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Codes([u64; 16]);

/// What a try came to that was no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// Provably nothing of the request reached a callee: no connection, no slot, no instance.
    NotDelivered,
    /// There was no response, and a callee may have got the request: it broke off, trapped, or took too long.
    Broken,
    /// A response.
    Status {
        /// Its status.
        code: u16,
        /// What it asks to wait.
        retry_after: Option<Duration>,
    },
    /// A policy of ours refused it, or the client spoilt it.
    Refused,
}

/// What is known of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// Whether doing it twice is as good as once; see [`is_idempotent`].
    pub idempotent: bool,
    /// Whether its body can be sent once more.
    pub body: Body,
}

/// Whether a body can be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// All that was sent of it is kept.
    Replayable,
    /// More was sent than is kept.
    TooLarge,
}

/// A try that failed, and when.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// Tries again that were made before, so 0 after the first try.
    pub attempt: u32,
    /// What it came to.
    pub tried: Tried,
    /// What was tried.
    pub request: RequestFacts,
    /// When all tries together must be done.
    pub deadline: Option<Instant>,
    /// When it failed.
    pub now: Instant,
}

/// What to do after a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Wait, then try again. The budget has paid for it.
    Retry {
        /// How long to wait.
        after: Duration,
    },
    /// Give what there is.
    GiveUp(Reason),
}

/// Why a request is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is nothing that is tried again.
    NotRetryable,
    /// It may have been done already, and twice is not as good as once.
    NotIdempotent,
    /// It was tried as often as it may be.
    Exhausted,
    /// More of the body was sent than is kept.
    BodyTooLarge,
    /// The wait would not end before the deadline.
    Deadline,
    /// The budget does not pay.
    BudgetExhausted,
}

impl Reason {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 6] = [
        Self::NotRetryable,
        Self::NotIdempotent,
        Self::Exhausted,
        Self::BodyTooLarge,
        Self::Deadline,
        Self::BudgetExhausted,
    ];

    /// The word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::NotIdempotent => "not_idempotent",
            Self::Exhausted => "exhausted",
            Self::BodyTooLarge => "body_too_large",
            Self::Deadline => "deadline",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }
}

/// Whether doing a request with this method twice is as good as once (RFC 9110 §9.2.2). TRACE is too, but never gets
/// here.
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

impl RetryPolicy {
    /// The policy of these terms.
    pub fn new(terms: &RuleRetry) -> Self {
        Self {
            attempts: terms.attempts,
            codes: terms.codes.iter().copied().filter(|code| *code != TOO_MANY_REQUESTS).collect(),
            non_idempotent: terms.retry_non_idempotent,
            backoff: Backoff::new(terms.backoff.get(), terms.max_backoff.get()),
            max_body: usize::try_from(terms.max_body_size.get()).unwrap_or(usize::MAX),
        }
    }

    /// Whether anything is ever tried again. If not, bodies need not be kept.
    pub fn is_on(&self) -> bool {
        self.attempts > 0
    }

    /// Bytes of a body to keep.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// What to do now. `random` is uniform in [0, 1). Takes from the budget only when it says [`Decision::Retry`].
    pub fn decide(&self, failed: &Failed, budget: &Budget, random: f64) -> Decision {
        match self.wait(failed, random) {
            Ok(after) if budget.withdraw(failed.now) => Decision::Retry { after },
            Ok(_) => Decision::GiveUp(Reason::BudgetExhausted),
            Err(reason) => Decision::GiveUp(reason),
        }
    }

    /// How long to wait, whoever pays.
    fn wait(&self, failed: &Failed, random: f64) -> Result<Duration, Reason> {
        let Failed { attempt, tried, request, deadline, now } = *failed;
        let (delivered, least) = match tried {
            Tried::NotDelivered => (false, Duration::ZERO),
            Tried::Broken => (true, Duration::ZERO),
            Tried::Status { code, retry_after } if self.codes.contains(code) => (true, retry_after.unwrap_or_default()),
            Tried::Status { .. } | Tried::Refused => return Err(Reason::NotRetryable),
        };
        if delivered && !request.idempotent && !self.non_idempotent {
            return Err(Reason::NotIdempotent);
        }
        if attempt >= self.attempts {
            return Err(Reason::Exhausted);
        }
        if request.body == Body::TooLarge {
            return Err(Reason::BodyTooLarge);
        }
        let wait = self.backoff.wait(attempt, random).max(least);
        if deadline.is_some_and(|deadline| deadline.saturating_duration_since(now) <= wait) {
            return Err(Reason::Deadline);
        }
        Ok(wait)
    }
}

impl Codes {
    fn contains(&self, code: u16) -> bool {
        self.0.get(usize::from(code / 64)).is_some_and(|word| word & (1 << (code % 64)) != 0)
    }
}

impl FromIterator<u16> for Codes {
    fn from_iter<I: IntoIterator<Item = u16>>(codes: I) -> Self {
        let mut set = Self::default();
        for code in codes {
            if let Some(word) = set.0.get_mut(usize::from(code / 64)) {
                *word |= 1 << (code % 64);
            }
        }
        set
    }
}

#[cfg(test)]
mod tests;
