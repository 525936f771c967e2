//! The gateway: `handle(request) -> response`, and nothing that can fail.
//!
//! ```text
//! request ─ sanitize ─ client, id ─ edge ─ route ─ filters ─ size ─ bulkhead ─ guest ─ filters back ─ body ─ log line
//!               └──────────┴─────────┴───────┴────────┴────────┴───────┴─────────┴──→ problem document ─────┘
//! ```
//!
//! `pipeline` is that line. `sanitize` and `path` see to it that a request can be read in one way only; `headers` knows
//! what may pass and who the client is; `edge` is what a listener alone decides; `route` finds a rule; `filter` holds
//! what a rule does on the way, `identity` who vouches for clients, `split` knows which version is for whom, `mirror`
//! sends copies. `services` is what there is to route to, `chains` their filters, `forward` has one of them answer,
//! `upstream` is other servers, `calls` the way of a guest's request to another service. `explain` asks the same table
//! without a request. `error` is the only place that knows status codes of failures, `exit` writes the access log when a
//! response is gone, `traffic` counts requests, `metrics` tells what was counted. `overview` is the answer that the
//! gateway gives without a route, `contract` holds messages to what a service's document promises.
//!
//! A request finishes under the configuration that it began with. What must outlast a change (keys of issuers, used
//! quotas) is found again by its name and is not part of a configuration.

mod body;
mod calls;
mod chains;
mod contract;
mod cookie;
mod deliveries;
mod edge;
mod egress;
mod error;
mod exit;
mod explain;
pub(crate) mod filter;
mod forward;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod headers;
mod health;
mod identity;
mod metrics;
mod mirror;
mod overview;
mod path;
mod pipeline;
mod request_body;
mod rewrite;
mod route;
mod sanitize;
mod secrets;
mod services;
mod split;
mod traffic;
mod upstream;
mod versioning;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;

pub use body::ResponseBody;
pub(crate) use contract::Contracts;
pub use error::GatewayError;
pub use explain::{
    Destination, ExplainError, ExplainedBackend, ExplainedListener, ExplainedSplit, Explanation, FilterStep, Origin,
    Other, Question, explain,
};
pub use headers::ClientCertificate;
pub(crate) use health::HealthChecks;
pub(crate) use metrics::{Format, Metrics};
pub(crate) use secrets::SecretTexts;
pub(crate) use services::{Rollouts, Services};
pub use upstream::{NotDelivered, UpstreamError};

use crate::capability::http::Dispatch;
use crate::server::Handler;
use crate::telemetry::AccessLog;

/// A connection: both its ends, and what was agreed on when it began.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The client's end.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// Name of the listener that accepted it.
    pub listener: Arc<str>,
    /// What TLS tells, if it is encrypted.
    pub secure: Option<Arc<Secure>>,
}

/// What the TLS handshake of a connection brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secure {
    /// The name the client asked for (SNI), lowercase.
    pub server_name: Option<String>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The certificate that the client has proved to have.
    pub client_certificate: Option<ClientCertificate>,
}

/// Answers requests.
pub struct Gateway {
    services: Arc<Services>,
    access_log: ArcSwapOption<AccessLog>,
    /// That of the connections: calls of guests run there, too.
    runtime: tokio::runtime::Handle,
}

impl Gateway {
    /// Also carries the calls of these services from now on, so it must be there before the first of them comes. Call it
    /// inside the runtime.
    pub(crate) fn new(services: Arc<Services>, access_log: Option<AccessLog>) -> Arc<Self> {
        let runtime = tokio::runtime::Handle::current();
        let access_log = ArcSwapOption::from_pointee(access_log);
        let gateway = Arc::new(Self { services, access_log, runtime });
        let dispatch: Weak<dyn Dispatch> = Arc::<Self>::downgrade(&gateway);
        gateway.services.connect(dispatch);
        gateway
    }

    /// Logs requests from now on here, or nowhere. What was logged before is written out.
    pub(crate) fn set_access_log(&self, access_log: Option<AccessLog>) {
        self.access_log.store(access_log.map(Arc::new));
    }

    fn access_log(&self) -> Option<Arc<AccessLog>> {
        self.access_log.load_full()
    }

    /// Answers a request. Whatever goes wrong is a response.
    pub async fn handle(&self, connection: Connection, request: Request<Incoming>) -> Response<ResponseBody> {
        // A defect of the host must cost one request, not a connection full of them.
        match AssertUnwindSafe(self.run(connection, request)).catch_unwind().await {
            Ok(response) => response,
            Err(_panic) => {
                tracing::error!("a request ended in a panic of the host");
                GatewayError::Internal.to_response("").map(ResponseBody::gateway)
            }
        }
    }
}

impl Handler for Gateway {
    type Body = ResponseBody;

    async fn handle(self: Arc<Self>, connection: Connection, request: Request<Incoming>) -> Response<ResponseBody> {
        Self::handle(&self, connection, request).await
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}
