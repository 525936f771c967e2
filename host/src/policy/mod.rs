//! Policies: plain structs that admit or refuse, with no I/O and no knowledge of HTTP or wasm.

pub mod balance;
mod bulkhead;
mod outcome;
mod rate_limit;

pub use bulkhead::{Bulkhead, BulkheadFull, BulkheadLimits, Permit};
pub use outcome::Outcome;
pub use rate_limit::{Decision, Limiter, Limiters, Quota};
