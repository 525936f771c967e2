//! Components: from a file in the folder to a guest that answers a request.
//!
//! ```text
//! folder ─ what lies in plugins/        inspect ─ what a file says of itself     cache ─ compiled code on disk
//! rollout ─ compiling … serving …       load ─ compile, link                     compile ─ in a child process
//! version ─ what can be called          call ─ who polls a guest, and where      serve ─ one request inside it
//! slots ─ live stores, fresh or reused  store, limiter, meter ─ their bounds     body ─ bodies in and out
//! linked ─ what a component exports    migrations ─ what brings its database to what it needs
//! contract ─ its OpenAPI document, and what that breaks
//! engine ─ two wasmtime engines         compute ─ where CPU-heavy guests go      exchange ─ what both sides share
//! outgoing ─ what a guest asks of others              error ─ how a call can fail
//! ```
//!
//! This room knows configuration and capabilities. It never knows routes, the registry or HTTP status codes: it is
//! told what to load by the folder, and tells its [`Directory`] what came of it.

mod body;
mod cache;
mod call;
mod compile;
mod compute;
mod contract;
mod engine;
mod error;
mod exchange;
mod folder;
mod inspect;
mod limiter;
mod linked;
mod load;
mod meter;
mod migrations;
mod needs;
mod outgoing;
mod rollout;
mod serve;
mod slots;
mod store;
mod ticker;
mod version;

pub use body::GuestBody;
pub use cache::{Cache, CacheError};
pub use call::CallContext;
pub use compile::{CompileError, CompileIn, Compiler, compile_stdin};
pub use contract::{major, number};
pub use engine::{EngineError, Engines, HttpVersion, MAX_MEMORY};
pub use error::CallError;
pub use folder::{Change, FileVersion, Folder, FolderError, services_in};
pub use inspect::{Import, InspectError, Inspection, Serves};
pub use load::{LoadError, Loader, Source};
pub use migrations::{MigrationFolder, MigrationsError, migrations_of};
pub use rollout::{Directory, FileId, Rollout, Stage, probe};
pub use version::Version;

pub use crate::capability::Migration;
