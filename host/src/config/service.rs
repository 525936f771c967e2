//! What can be said about one service, and for all of them in `defaults`.
//!
//! [`Service`] is [`ServiceDefaults`] and what makes no sense for all services at once: a path of its own, its grants
//! and its own `config`. Two fields have a short form that no derive reads (`expose: false`, `slots: fresh`); `notation`
//! reads them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bulkhead::Bulkhead;
use super::circuit_breaker::CircuitBreaker;
use super::contract::Contract;
use super::filter::Filter;
use super::grants::Grants;
use super::health_check::HealthCheck;
use super::instances::RemoteInstance;
use super::load_balancer::LoadBalancer;
use super::outlier_detection::OutlierDetection;
use super::retry::Retry;
use super::rollout::Rollout;
use super::schedule::Schedule;
use super::schema::text;
use super::settings::{ConfigValue, VersionSettings};
use super::sql::Sql;
use super::subscription::Subscription;
use super::timeouts::Timeouts;
use super::units::{Duration, Size};
use super::versioning::Versioning;

/// What every service starts from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServiceDefaults {
    /// Bounds on what one request, and one slot, may use.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When requests are tried again; never if not given.
    pub retry: Option<Retry>,
    /// How requests are spread over the instances.
    pub load_balancer: LoadBalancer,
    /// How many requests at once.
    pub bulkhead: Bulkhead,
    /// When a version that fails is no longer called.
    pub circuit_breaker: CircuitBreaker,
    /// When an instance that fails is left out.
    pub outlier_detection: OutlierDetection,
    /// Whether a slot serves one request or many.
    pub slots: Slots,
    /// What a service answers when it is well.
    pub health_check: HealthCheck,
    /// The service's private key-value store.
    pub key_value: KeyValue,
    /// The service's own SQL database, or `false` for none.
    pub sql: Sql,
    /// How long an old version may finish its requests after it was replaced.
    pub drain_timeout: DrainTimeout,
    /// How a new version takes over from the one that serves.
    pub rollout: Rollout,
    /// What is made of its OpenAPI document.
    pub contract: Contract,
    /// How clients name the version that they want.
    pub versioning: Versioning,
}

/// Everything `gateway-config/services/<name>.yaml` may say, on top of `defaults`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Service {
    /// Path prefix of the automatic route (stripped before the guest sees it), or `false` for none. Default `/<name>`.
    pub expose: Expose,
    /// What happens to requests of the automatic route on the way.
    pub filters: Vec<Filter>,
    /// Words to find it by in the registry. At most 32; letters, digits, `.`, `_`, `+` and `-`, at most 64.
    #[schemars(with = "Vec<text::Word>", length(max = 32))]
    pub tags: Vec<String>,
    /// What else is to be known about it. At most 32 pairs; keys like tags, values up to 256 bytes.
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub metadata: BTreeMap<String, String>,
    /// Servers elsewhere that answer for it, beside the versions in the plugins folder if there are any.
    pub instances: Vec<RemoteInstance>,
    /// Whether anybody may come by the automatic route: identity filters of `gateway.yaml` do not work there.
    pub public: bool,
    /// Bounds on what one request, and one slot, may use.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When requests are tried again; never if not given.
    pub retry: Option<Retry>,
    /// How requests are spread over the instances.
    pub load_balancer: LoadBalancer,
    /// How many requests at once.
    pub bulkhead: Bulkhead,
    /// When a version that fails is no longer called.
    pub circuit_breaker: CircuitBreaker,
    /// When an instance that fails is left out.
    pub outlier_detection: OutlierDetection,
    /// Whether a slot serves one request or many.
    pub slots: Slots,
    /// What a service answers when it is well.
    pub health_check: HealthCheck,
    /// The service's private key-value store.
    pub key_value: KeyValue,
    /// The service's own SQL database, or `false` for none.
    pub sql: Sql,
    /// How long an old version may finish its requests after it was replaced.
    pub drain_timeout: DrainTimeout,
    /// What it may reach beyond itself; nothing if it is not said.
    pub grants: Grants,
    /// Events that it wants. At most 100.
    pub subscriptions: Vec<Subscription>,
    /// Events that are published in its name at certain times. At most 100.
    pub schedules: Vec<Schedule>,
    /// How a new version takes over from the one that serves.
    pub rollout: Rollout,
    /// What is made of its OpenAPI document.
    pub contract: Contract,
    /// How clients name the version that they want.
    pub versioning: Versioning,
    /// What the service reads through `wasi:config/store`.
    pub config: BTreeMap<String, ConfigValue>,
    /// What is different for some of its versions, by label.
    pub versions: BTreeMap<String, VersionSettings>,
}

/// The automatic route of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "ExposeText", into = "ExposeText")]
#[schemars(with = "ExposeText")]
pub enum Expose {
    /// `/<name>`.
    #[default]
    Name,
    /// This prefix; begins with `/`.
    Prefix(String),
    /// No automatic route.
    No,
}

/// How [`Expose`] is written: `true`, `false` or a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false or a path such as /orders")]
pub enum ExposeText {
    /// `true` is `/<name>`, `false` is no route.
    Flag(bool),
    /// A path prefix.
    Path(#[schemars(with = "text::Path")] String),
}

/// Bounds on what one request, and the slot that serves it, may use. Each is enforced by the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// All linear memories and tables of a slot together (a table element counts 8 bytes). At most 512MiB a memory.
    pub memory: Size,
    /// Time a request may spend executing guest code (time waiting for input or a timer does not count).
    pub cpu_time: Duration,
    /// Request body; more is 413.
    pub request_body: Size,
    /// Response body; more cuts the response.
    pub response_body: Size,
    /// Bytes of a set of headers that the guest makes, its response's for one, as the host holds them. Not of a client's
    /// request, whose head is bounded by the server.
    pub headers: Size,
    /// Host resources (bodies, streams, headers, stores …) that a slot may hold at once.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub resources: u32,
    /// Outgoing requests that one request may make, the refused ones too; more are refused. 0 to 1000000.
    #[schemars(range(max = 1_000_000))]
    pub calls: u32,
    /// Outgoing requests of one request that may be open at once, each until its response was read or dropped. 1 to 10000.
    #[schemars(range(min = 1, max = 10_000))]
    pub open_calls: u32,
    /// Events that the service may publish a second, averaged over ten; more are refused. 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub publish_rate: u32,
    /// Bytes a service may write to its log a second (stdout, stderr, `wasi:logging`); more is dropped and counted.
    pub log_rate: Size,
}

/// Whether a slot serves one request or many.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Slots {
    /// By the kind of component: `fresh` for wasi:http 0.2, `reuse` with its defaults for 0.3.
    #[default]
    Auto,
    /// A new store for every request: nothing a request leaves behind is seen by the next.
    Fresh,
    /// A store serves request after request (one at a time): faster, and globals survive.
    Reuse(SlotReuse),
}

/// How long a reused slot lives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SlotReuse {
    /// Requests after which it is replaced.
    #[schemars(range(min = 1))]
    pub max_requests: u32,
    /// Time without a request after which it is dropped.
    pub idle: Duration,
}

/// The service's private key-value store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyValue {
    /// Bytes of keys and values together; a write over it fails.
    pub quota: Size,
}

/// How long an old version may finish its requests after it was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DrainTimeout(pub Duration);

impl Default for Service {
    fn default() -> Self {
        Self::from_defaults(&ServiceDefaults::default())
    }
}

impl Service {
    /// A service without a file of its own.
    pub fn from_defaults(defaults: &ServiceDefaults) -> Self {
        let ServiceDefaults {
            limits,
            timeouts,
            retry,
            load_balancer,
            bulkhead,
            circuit_breaker,
            outlier_detection,
            slots,
            health_check,
            key_value,
            sql,
            drain_timeout,
            rollout,
            contract,
            versioning,
        } = defaults.clone();
        Self {
            expose: Expose::default(),
            filters: Vec::new(),
            public: false,
            tags: Vec::new(),
            metadata: BTreeMap::new(),
            instances: Vec::new(),
            limits,
            timeouts,
            retry,
            load_balancer,
            bulkhead,
            circuit_breaker,
            outlier_detection,
            slots,
            health_check,
            key_value,
            sql,
            drain_timeout,
            grants: Grants::default(),
            subscriptions: Vec::new(),
            schedules: Vec::new(),
            rollout,
            contract,
            versioning,
            config: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: Size::mib(64),
            cpu_time: Duration::secs(2),
            request_body: Size::mib(10),
            response_body: Size::gib(4),
            headers: Size::kib(128),
            resources: 4096,
            calls: 100,
            open_calls: 16,
            publish_rate: 1000,
            log_rate: Size::kib(64),
        }
    }
}

impl Default for SlotReuse {
    fn default() -> Self {
        Self { max_requests: 1000, idle: Duration::secs(30) }
    }
}

impl Default for KeyValue {
    fn default() -> Self {
        Self { quota: Size::mib(64) }
    }
}

impl Default for DrainTimeout {
    fn default() -> Self {
        Self(Duration::secs(30))
    }
}
