//! Wharf: a WebAssembly plugin host where every microservice is a wasm component.
//!
//! A folder of components becomes a production microservice system: each file is compiled, checked, routed, isolated
//! and observed; replacing it upgrades the service without a dropped request.
//!
//! # The house
//!
//! | room | what it decides |
//! |---|---|
//! | [`config`] | what the files say, and everything that is wrong with them |
//! | [`plugin`] | how a file becomes something that can be called, and what a call may use |
//! | [`capability`] | what a guest can reach: key-value, configuration, logging |
//! | [`events`] | who publishes what, and when each subscriber has it: order, tries, dead letters, schedules |
//! | [`contract`] | what an OpenAPI document promises, whether a message keeps it, and what a new one breaks |
//! | [`state`] | the engines behind capabilities, and backups of what they keep |
//! | [`policy`] | when a request is admitted, who gets it, whether it goes again: limits, balance, breaker, retry |
//! | [`registry`] | what there is and how it is: services, versions, instances, leases, health, who calls whom |
//! | [`gateway`] | one request from head to response: what it may look like, who may send it, which filters it passes |
//! | `gateway::forward` | the tries of a request: version, instance, breaker, bulkhead, and again |
//! | `gateway::{calls, egress}` | a guest's calls to services and to outside hosts, and whether it may |
//! | `gateway::upstream` | how other servers are spoken to: instances and outside hosts |
//! | `gateway::health` | who is asked how it is, and when |
//! | `server`, `admin` | sockets, TLS, connections and their clocks; the operators' listener |
//! | [`telemetry`] | the access log and the log |
//!
//! Who may know whom: `host → server, admin → gateway → registry, policy, events; gateway → plugin → capability → state`;
//! `events` knows `capability` and `state`, and the gateway by one trait; all of them `config` and `telemetry`. `policy`,
//! `registry` and `plugin` do not know each other or the gateway; only `gateway::error` maps failures to status codes;
//! only `config` reads files of configuration.
//!
//! # Ways through the house
//!
//! *A request*: connection → `Gateway::handle` → one reading of it → listener → route → filters → `forward`: version →
//! { instance → breaker → bulkhead → [`plugin::Version::call`], or another server by `upstream` → outcome } as often
//! as `retry` says → response. The guest is polled on the connection's own task as long as it is quick, and moves to a
//! slower executor when it burns CPU. Places are given back with the last byte of the response.
//!
//! *A call of a service*: outgoing `wasi:http` → `capability::http` → `gateway::calls`: grant, depth → `forward` of the
//! other service in this process, with the caller's deadline and trace. Any other host: `gateway::egress`, by grant.
//!
//! *An event*: `wharf:service/events`, `events.internal`, an outbox or a schedule → `events::Bus`: grant → the log →
//! each subscription → `events::Deliver` → `gateway::deliveries` → `forward`, as a request → handled, again, or dead.
//!
//! *An instance*: a version that serves, a server in a file, or `POST /api/services` with a lease → [`registry`] → a
//! new snapshot with a pool for each version. Health checks and leases tell the registry how it is; requests ask it
//! when they choose, and what they came to may eject it.
//!
//! *A file*: folder → inspect → compile in a child process → link → probe → a new snapshot is published, at once or
//! after a trial beside the old version, which then drains. Whatever fails on the way leaves the running version alone.
//!
//! ```no_run
//! # async fn start() -> Result<(), wharf::HostError> {
//! use wharf::{Host, Options, Overrides, config::Source, plugin::CompileIn};
//!
//! let source = Source { dir: "gateway-config".into(), env: None };
//! let options = Options { source, overrides: Overrides::default(), compile_in: CompileIn::Thread };
//! let running = Host::start(options).await?;
//! println!("http://{}", running.address());
//! # Ok(()) }
//! ```

mod admin;
pub mod capability;
pub mod cli;
pub mod config;
pub mod contract;
pub mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gateway;
mod host;
pub mod plugin;
pub mod policy;
pub mod registry;
mod reload;
mod server;
pub mod state;
pub mod telemetry;

pub use admin::{RolloutList, ServiceList};
pub use host::{Host, HostError, Options, Overrides, Running};
pub use server::ListenError;
