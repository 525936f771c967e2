//! Memory of one slot: all its linear memories and tables count against one number.
//!
//! wasmtime asks before every growth, also before the first (a component's initial memory). A refused growth is
//! remembered, because the guest usually aborts right after it: the trap that follows is then reported as out of
//! memory and not as some crash.

use wasmtime::ResourceLimiter;

use super::engine::TABLE_ELEMENTS;

/// What one table element costs the host.
const TABLE_ELEMENT: usize = 8;
const MAX_INSTANCES: usize = 64;
const MAX_TABLES: usize = 32;
const MAX_MEMORIES: usize = 8;

/// Counts what a slot holds against `limits.memory`.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: usize,
    used: usize,
    refused: bool,
}

impl Limiter {
    /// A limiter for a slot that may use `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0, refused: false }
    }

    /// Whether a growth was refused so far.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// Whether more than half of the limit is used.
    pub(super) fn is_half_used(&self) -> bool {
        self.used > self.limit / 2
    }

    /// The limit in bytes.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.refused = true;
            return false;
        }
        self.used = used;
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // The pool's own bound on one memory: for the guest there is no difference.
        self.refused = true;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if let Some(maximum) = maximum.filter(|maximum| desired > *maximum) {
            // The pool's bound comes to us as the table's own.
            self.refused |= maximum == TABLE_ELEMENTS;
            return Ok(false);
        }
        Ok(self.grow(current.saturating_mul(TABLE_ELEMENT), desired.saturating_mul(TABLE_ELEMENT)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = Limiter::new(1000);
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap(), "400 bytes are left");
        assert!(!limiter.refused());
        assert!(!limiter.table_growing(50, 51, None).unwrap());
        assert!(limiter.refused());
    }

    #[test]
    fn a_growth_over_the_modules_own_maximum_is_not_the_hosts_refusal() {
        let mut limiter = Limiter::new(1000);
        assert!(!limiter.memory_growing(0, 600, Some(500)).unwrap());
        assert!(!limiter.refused());
        assert!(!limiter.table_growing(0, 60, Some(50)).unwrap());
        assert!(!limiter.refused());
    }

    #[test]
    fn a_table_as_large_as_its_place_in_the_pool_is_refused_by_the_host() {
        let mut limiter = Limiter::new(64 << 20);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS, Some(TABLE_ELEMENTS)).unwrap());
        assert!(!limiter.table_growing(TABLE_ELEMENTS, TABLE_ELEMENTS + 1, Some(TABLE_ELEMENTS)).unwrap());
        assert!(limiter.refused());
    }
}
