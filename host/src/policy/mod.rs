//! Policies: plain structs that admit or refuse, with no I/O and no knowledge of HTTP or wasm.

mod breaker;
mod bulkhead;
mod outcome;
mod outlier;
mod rate_limit;
mod window;

pub use breaker::{Breaker, BreakerPermit, BreakerState, BreakerStatus, Open, OpenReason, Transition};
pub use bulkhead::{Bulkhead, BulkheadFull, BulkheadLimits, Permit};
pub use outcome::Outcome;
pub use outlier::{Ejected, Group, Outlier, Sickness};
pub use rate_limit::{Decision, Limiter, Limiters, Quota};
pub use window::Counts;
