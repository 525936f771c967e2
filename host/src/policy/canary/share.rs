//! A share of requests, and what it tells of the version behind it: how large its true share may be, and how clear it is
//! that it is larger than another. See `canary` for why it is asked this way.

use std::fmt;

/// One-sided 95 % of the normal distribution.
const Z: f64 = 1.645;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

#[expect(clippy::cast_precision_loss, reason = "shares of counts; nobody counts to 2^53")]
impl Share {
    /// From 0 to 1; of nothing, nothing.
    pub fn value(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.part as f64 / self.of as f64 }
    }

    /// The largest share that would still look like this one time in twenty (upper limit of Wilson's score interval).
    /// Less than `enough` are taken at their word.
    pub(super) fn upper(self, enough: u64) -> f64 {
        if self.of < enough.max(1) {
            return self.value();
        }
        let (n, share) = (self.of as f64, self.value());
        let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        (share + Z * Z / (2.0 * n) + spread) / (1.0 + Z * Z / n)
    }

    /// How clear it is that this share is more than `p`: minus the logarithm of what the probability is at most if it is
    /// not.
    pub(super) fn evidence(self, p: f64) -> f64 {
        let share = self.value();
        if share <= p {
            return 0.0;
        }
        let rest = if share < 1.0 { (1.0 - share) * ((1.0 - share) / (1.0 - p)).ln() } else { 0.0 };
        // More than nothing where there must be nothing is as clear as can be: the logarithm is infinite.
        self.of as f64 * (share * (share / p).ln() + rest)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.value() * 100.0)
    }
}
