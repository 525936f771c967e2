//! What the `wharf` command does, one file a subcommand. Flags are parsed in `main`; nothing here ends the process.

mod admin;
pub mod asker;
pub mod backup;
pub mod config;
pub mod contract;
pub mod events;
pub mod explain;
pub mod hash;
pub mod import;
pub mod inspect;
pub mod new;
mod queues;
pub mod rollout;
pub mod schema;
pub mod serve;
pub mod services;
pub mod sql;
pub mod validate;

pub use admin::NoAnswer;
pub use validate::OutputFormat;
