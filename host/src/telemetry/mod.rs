//! What the host tells about itself: its log, and one line for each request.

mod access_log;
pub mod log;

pub(crate) use access_log::REDACTED;
pub use access_log::{AccessLog, Record};
