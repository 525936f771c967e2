//! Configuration: `gateway-config/` becomes one checked [`Config`], or a list of everything that is wrong with it.
//!
//! Decided here: which files are read and how they lie over each other (`load`, `merge`), what each field is called,
//! means and defaults to (`model`, `service`, `route`), which values make sense (`check`), which are allowed but hardly
//! meant (`lint`), and how a mistake is shown (`problem`). Never decided here: what a field does. No other module of the
//! host reads a configuration file.
//!
//! ```text
//! built-in defaults  <  gateway.yaml `defaults:`  <  services/<name>.yaml  <  env/<env>.yaml
//! ```
//!
//! A file becomes a tree that remembers where every key and value stood (`tree`). Trees are merged before they are
//! read, so a value keeps the place it came from and the blame for it. `read` fills the structs from a tree through
//! serde; when a value does not fit, it notes the problem, takes the value out and goes on, so that one run reports
//! all mistakes of all files. A YAML library that deserialises directly would stop at the first one and could not
//! merge without losing places.
//!
//! [`load`] touches nothing but the files, keeps no state and takes well under a millisecond for an ordinary
//! configuration: reloading is calling it again and comparing [`Config::fingerprint`]s.

mod auth;
mod bulkhead;
mod check;
mod circuit_breaker;
mod connections;
mod contract;
mod egress;
mod events;
mod filter;
mod grants;
mod health;
mod health_check;
mod import;
mod instances;
mod lint;
mod listener;
mod load;
mod load_balancer;
mod merge;
mod model;
mod notation;
mod outlier_detection;
mod problem;
mod read;
mod registry;
mod requests;
mod retry;
mod rollout;
mod route;
mod schedule;
mod schema;
mod secret;
mod service;
mod settings;
mod split;
mod sql;
mod subscription;
mod timeouts;
mod topic;
mod tree;
mod units;
mod upstream;
mod versioning;

#[cfg(test)]
mod tests;

pub use auth::*;
pub use bulkhead::{AdaptiveLimit, Bulkhead, RuleBulkhead};
pub use check::{not_reserved, valid_admin_listen, valid_service_name};
pub use circuit_breaker::{CircuitBreaker, Fallback};
pub use connections::*;
pub use contract::{Breaking, Contract, ContractMode, OpenApi};
pub use egress::{EgressHosts, EgressRule};
pub use events::{Events, Expired, QueueRetention, QueueSettings, Retention, TopicSettings};
pub use filter::*;
pub use grants::{Calls, Grants, QueueGrants};
pub use health::PublicHealth;
pub use health_check::{HealthCheck, InstanceCheck, StatusRange};
pub use import::{Imported, import};
pub use instances::{InstanceUrl, RemoteInstance, WEIGHT, valid_word, wrong_metadata, wrong_tags};
pub use listener::*;
#[cfg(fuzzing)]
pub(crate) use load::fuzz;
pub use load::{Config, Source, load};
pub use load_balancer::*;
pub use model::{AccessLog, Admin, Drain, Engine, Gateway, LogFormat, Plugins, State};
pub(crate) use notation::is_plain_in_paths;
pub use outlier_detection::OutlierDetection;
pub use problem::{Problem, Problems, Severity};
pub use registry::RegistrySettings;
pub use requests::*;
pub use retry::{Retry, RetryBudget, RuleRetry};
pub use rollout::{Canary, Rollout};
pub(crate) use route::compile_pattern;
pub use route::{BackendRef, Match, PathMatch, Route, Rule, RuleTimeouts, ValueMatch};
pub use schedule::{Missed, Schedule};
pub use schema::{SchemaKind, schema};
pub use secret::{Secret, SecretRef};
pub use service::{DrainTimeout, Expose, ExposeText, KeyValue, Limits, Service, ServiceDefaults, SlotReuse, Slots};
pub use settings::{ConfigValue, VersionSettings};
pub use split::{Split, StickyBy};
pub use sql::{Sql, SqlBounds, SqlDurability};
pub use subscription::{DeliveryRetry, StartAt, Subscription};
pub use timeouts::Timeouts;
pub use topic::{MAX_TOPIC_BYTES, TopicError, TopicPattern, check_topic};
pub use units::{Duration, Percent, Size, UnitError};
pub use upstream::{Host, Protocol, valid_instance_url};
pub use versioning::Versioning;
