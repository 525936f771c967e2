//! Bounds a request's body for one route: the working form of `bodyLimit`.

use crate::config;

/// A bound in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyLimit(u64);

impl BodyLimit {
    pub(crate) fn new(config: &config::BodyLimit) -> Self {
        Self(config.max.get())
    }

    /// The lower of two.
    pub(crate) fn tighter(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The bound that holds beside the service's own (in bytes): the lower one.
    pub(crate) fn lower(self, service: u64) -> u64 {
        self.0.min(service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_only_lowers() {
        let limit = BodyLimit::new(&config::BodyLimit::default());
        assert_eq!((limit.lower(10 << 20), limit.lower(5)), (1 << 20, 5));
    }
}
