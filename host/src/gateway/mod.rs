//! The gateway: `handle(request) -> response`, and nothing that can fail.
//!
//! ```text
//! request ─ check ─ id, client ip ─ route ─ size ─ rewrite ─ bulkhead ─ guest ─ response headers ─ body ─ log line
//!              └──────────┴───────────┴───────┴─────────────────┴─────────┴──→ problem document ─────────┘
//! ```
//!
//! `pipeline` is that line; `services` is what there is to route to, `route` finds it, `headers` knows what may pass,
//! `error` is the only place that knows status codes of failures, `exit` writes the access log when a response is gone.

mod body;
mod error;
mod exit;
mod explain;
mod headers;
mod pipeline;
mod request_body;
mod route;
mod services;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;

pub use body::ResponseBody;
pub use error::GatewayError;
pub use explain::{
    Destination, ExplainError, ExplainedBackend, ExplainedListener, Explanation, FilterStep, Origin, Other, Question,
    explain,
};
pub(crate) use services::Services;

use crate::server::Handler;
use crate::telemetry::AccessLog;

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The client's end.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

/// Answers requests.
pub struct Gateway {
    services: Arc<Services>,
    access_log: ArcSwapOption<AccessLog>,
}

impl Gateway {
    pub(crate) fn new(services: Arc<Services>, access_log: Option<AccessLog>) -> Self {
        Self { services, access_log: ArcSwapOption::from_pointee(access_log) }
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
