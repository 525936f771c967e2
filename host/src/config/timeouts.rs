//! How long things of one service may take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::units::Duration;

const MS: Duration = Duration::millis(1);

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Timeouts {
    /// From the request's headers to the end of the response; `0s` is no limit. Stops applying once the headers of a
    /// `text/event-stream` response are out.
    pub request: Duration,
    /// One try, to the head of its response; `retry` may make several. Not longer than `request`; `0s` is no limit of
    /// its own.
    pub backend_request: Duration,
    /// Until a connection to a remote instance stands, with TLS. At least 1ms.
    pub connect: Duration,
    /// How long a response may be silent once its head came; `0s` is no limit.
    pub stream_idle: Duration,
    /// How long a connection to a remote instance is kept for the next request; `0s` keeps none. Make it shorter than
    /// what the instance itself waits.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::secs(15),
            backend_request: Duration::ZERO,
            // linkerd's.
            connect: Duration::secs(1),
            // Envoy's.
            stream_idle: Duration::secs(300),
            // Shorter than the 60s of most servers: whoever closes first must be us, or a request meets a dead
            // connection.
            idle: Duration::secs(55),
        }
    }
}

impl Timeouts {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { request, backend_request, connect, stream_idle: _, idle: _ } = *self;
        if request != Duration::ZERO && backend_request > request {
            let message =
                format!("`{backend_request}` is longer than `request` ({request}): one try cannot outlast all of them");
            check.wrong(at.get("backendRequest"), message);
        }
        check.at_least(at.get("connect"), &connect, &MS);
    }
}
