//! What the host tells about itself: its log, one line for each request, and what became of
//! its configuration.

mod access_log;
pub mod log;
mod reloads;

pub(crate) use access_log::REDACTED;
pub use access_log::{AccessLog, Record};
pub use reloads::Reloads;
