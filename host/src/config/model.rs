//! The configuration as the rest of the host sees it: complete, checked, with every default filled in.
//!
//! One struct per thing a user configures, in the words of the Kubernetes Gateway API where it has one. Each struct
//! carries its defaults in one `impl Default`; a field that exists here is enforced somewhere and has a test that
//! changing it changes behaviour. How files become these structs is `load`'s business, how text becomes a duration
//! or a size is `units`'. The structs of one service stand in `service`, those of a route in `route`.
//!
//! Doc comments here are what `wharf schema` shows to people in their editor, so they speak YAML, not Rust.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::connections::Connections;
use super::contract::OpenApi;
use super::events::{Events, QueueSettings};
use super::filter::Filter;
use super::grants::Calls;
use super::health::PublicHealth;
use super::listener::Listener;
use super::registry::RegistrySettings;
use super::requests::Requests;
use super::route::Route;
use super::secret::SecretRef;
use super::service::ServiceDefaults;
use super::units::{self, Duration};

/// Everything `gateway-config/gateway.yaml` may say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Gateway {
    /// Address of the public HTTP listener (HTTP/1.1, and HTTP/2 with prior knowledge).
    #[serde(deserialize_with = "units::address")]
    pub listen: SocketAddr,
    /// Public listeners, with TLS for example; `listen` is then not used.
    pub listeners: Vec<Listener>,
    /// Bounds on connections of all public listeners.
    pub connections: Connections,
    /// What requests may look like.
    pub requests: Requests,
    /// Who vouches for clients.
    pub auth: Auth,
    /// The operators' listener.
    pub admin: Admin,
    /// Where components come from.
    pub plugins: Plugins,
    /// Where services' data and compiled code are kept.
    pub state: State,
    /// How components are compiled and how many may be alive. Needs a restart to change.
    pub engine: Engine,
    /// Peers whose `X-Forwarded-*` and `X-Request-Id` are believed (CIDR). Nobody by default: the headers are replaced.
    #[serde(deserialize_with = "units::networks")]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Instances that register themselves.
    pub registry: RegistrySettings,
    /// The access log.
    pub access_log: AccessLog,
    /// What happens between SIGTERM and exit.
    pub drain: Drain,
    /// Calls between services.
    pub calls: Calls,
    /// How much of events is kept, and for how long.
    pub events: Events,
    /// Queues by name; one that is not here has the defaults.
    pub queues: BTreeMap<String, QueueSettings>,
    /// Where secrets are, by name. A service's `config` may name those that it was granted.
    pub secrets: BTreeMap<String, SecretRef>,
    /// What is told outside about health.
    pub health: PublicHealth,
    /// What is told outside about contracts.
    pub openapi: OpenApi,
    /// What every service starts from; `services/<name>.yaml` changes it per service.
    pub defaults: ServiceDefaults,
    /// What happens to every request on its way, of automatic routes too. What a rule or a service says comes on
    /// top: filters that refuse add up, others take their place.
    pub filters: Vec<Filter>,
    /// Routes beside the automatic `/<service>/` ones. A configured route wins over an automatic one of equal precedence.
    pub routes: Vec<Route>,
}

/// The operators' listener: `/livez`, `/readyz` and the admin API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Admin {
    /// Address; must be a loopback address, because the admin API asks for no credentials. Needs a restart to change.
    #[serde(deserialize_with = "units::address")]
    pub listen: SocketAddr,
}

/// The folder of components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Plugins {
    /// The watched folder; only `.wasm` files directly in it count. Needs a restart to change.
    pub dir: PathBuf,
    /// How often the folder is read besides notifications from the operating system, which some file systems lack.
    /// Needs a restart to change.
    pub poll_interval: Duration,
}

/// Storage on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct State {
    /// Folder of the services' stores and of the cache of compiled code; made with mode 0700. Needs a restart to change.
    pub path: PathBuf,
    /// Folder in which `POST /api/backups` of the admin API makes backups; without it, it makes none. Needs a restart to
    /// change.
    pub backups: Option<PathBuf>,
}

/// Compiling and the instance pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Engine {
    /// Slots (live wasm stores) that may exist at once, over all services. 1 to 10000.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_slots: u32,
    /// Components compiled at the same time. 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub compile_concurrency: u32,
    /// Longest time one compilation may take.
    pub compile_timeout: Duration,
    /// Whether compiled code is kept on disk and used again at the next start.
    pub compile_cache: bool,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessLog {
    /// One line a request, or none.
    pub enabled: bool,
    /// How a line looks.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// `text` on a terminal, `json` elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Ending: readiness turns 503 at once, then these two times run one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Drain {
    /// How long connections are still accepted after SIGTERM, so that load balancers notice.
    pub pre_stop_delay: Duration,
    /// How long requests in flight may take after that.
    pub timeout: Duration,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            listeners: Vec::new(),
            connections: Connections::default(),
            requests: Requests::default(),
            auth: Auth::default(),
            admin: Admin::default(),
            plugins: Plugins::default(),
            state: State::default(),
            engine: Engine::default(),
            trusted_proxies: Vec::new(),
            registry: RegistrySettings::default(),
            access_log: AccessLog::default(),
            drain: Drain::default(),
            calls: Calls::default(),
            events: Events::default(),
            queues: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: PublicHealth::default(),
            openapi: OpenApi::default(),
            defaults: ServiceDefaults::default(),
            filters: Vec::new(),
            routes: Vec::new(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self { dir: "plugins".into(), poll_interval: Duration::secs(2) }
    }
}

impl Default for State {
    fn default() -> Self {
        Self { path: ".wharf/state".into(), backups: None }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self { max_slots: 1000, compile_concurrency: 2, compile_timeout: Duration::secs(120), compile_cache: true }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { enabled: true, format: LogFormat::Auto }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { pre_stop_delay: Duration::ZERO, timeout: Duration::secs(25) }
    }
}
