//! Requests of guests to hosts outside: only to those that are granted, only by public addresses, and only so many.
//!
//! [`EgressRules`] decide by the address that a guest wrote; the connection decides again by the addresses that the
//! name turned out to have (`upstream::Reach`), and connects to those and no others. So neither a spelling nor a
//! resolver leads anywhere else. A redirect is an answer like any other: whoever follows it asks again, and is checked again.
//!
//! Each service has an [`Egress`] of its own with its own connections and TLS sessions: what one of them sent on a
//! connection can never be another's business. It outlasts changes of the configuration; rules are replaced in it.
//!
//! Bounds per service: [`MAX_REQUESTS`] open at once (until the response's body has ended), [`MAX_CONNECTIONS`]
//! connections, [`MAX_TARGETS`] hosts that are remembered. Times: those a guest asks for, but no longer than
//! [`CONNECT`], [`FIRST_BYTE`] and [`BETWEEN_BYTES`].

mod rules;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

pub(crate) use rules::{Denied, EgressRules};

use super::upstream::{self, Limits, NotDelivered, Origin, Pool, Target, Tls, UpstreamBody, UpstreamError};
use crate::plugin::CallError;

/// Requests of one service at once.
const MAX_REQUESTS: usize = 128;
/// Connections of one service at once.
const MAX_CONNECTIONS: usize = 64;
/// Hosts of one service that are remembered.
const MAX_TARGETS: usize = 256;
/// Longest time for a place, name, TCP and TLS together. Hosts may be far.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time to the head of the response.
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// Longest time between two pieces of the response.
const BETWEEN_BYTES: Duration = Duration::from_secs(60);

/// What a guest says about times; none is as long as is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Option<Duration>,
    /// To the head of the response.
    pub(crate) first_byte: Option<Duration>,
    /// Between two pieces of its body.
    pub(crate) between_bytes: Option<Duration>,
}

/// A request that got no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EgressError {
    /// It may not be sent.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The service has as many requests open as it may.
    #[error("too many requests to outside hosts at once")]
    TooMany,
    /// It was sent, or was to be.
    #[error(transparent)]
    Upstream(UpstreamError),
}

/// The outgoing side of one service.
#[derive(Debug)]
pub(crate) struct Egress {
    rules: ArcSwap<EgressRules>,
    pool: Arc<Pool>,
    targets: Mutex<HashMap<Origin, Arc<Target>>>,
    open: Arc<Semaphore>,
}

impl Egress {
    pub(crate) fn new(rules: EgressRules) -> Arc<Self> {
        Self::with(rules, Tls::default(), MAX_REQUESTS)
    }

    fn with(rules: EgressRules, tls: Tls, max_requests: usize) -> Arc<Self> {
        Arc::new(Self {
            rules: ArcSwap::from_pointee(rules),
            pool: Pool::new(Arc::new(tls), MAX_CONNECTIONS),
            targets: Mutex::default(),
            open: Arc::new(Semaphore::new(max_requests)),
        })
    }

    /// Other rules from now on; what is under way goes on.
    pub(crate) fn set_rules(&self, rules: EgressRules) {
        self.rules.store(Arc::new(rules));
    }

    /// Sends a request to the absolute address in it, if a rule grants it. `Host` is what the address says.
    ///
    /// # Errors
    /// When it may not be sent, or there is no response.
    pub(crate) async fn send<B>(
        &self,
        mut request: Request<B>,
        patience: Patience,
        deadline: Option<Instant>,
    ) -> Result<Response<UpstreamBody>, EgressError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let origin = self.rules.load().check(request.uri())?;
        let host = origin.authority();
        let shorter = |asked: Option<Duration>, most: Duration| asked.map_or(most, |asked| asked.min(most));
        let limits = Limits {
            connect: shorter(patience.connect, CONNECT),
            stream_idle: shorter(patience.between_bytes, BETWEEN_BYTES),
            first_byte: Some(shorter(patience.first_byte, FIRST_BYTE)),
            deadline,
            ..Limits::default()
        };
        let until_deadline = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let place = timeout(shorter(until_deadline, limits.connect), Arc::clone(&self.open).acquire_owned()).await;
        let place = place.map_err(|_elapsed| EgressError::TooMany)?.map_err(|_closed| EgressError::TooMany)?;
        // Names and addresses always are a header value.
        if let Ok(value) = HeaderValue::from_str(&host) {
            request.headers_mut().insert(HOST, value);
        }
        let target = self.target(origin);
        let sent = upstream::send(&self.pool, &target, request, &limits).await;
        sent.map(|response| response.map(|body| body.holding(place))).map_err(|error| match error {
            UpstreamError::NotDelivered(NotDelivered::Forbidden(address)) => Denied::Address { host, address }.into(),
            error => EgressError::Upstream(error),
        })
    }

    fn target(&self, origin: Origin) -> Arc<Target> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(&origin) {
            return Arc::clone(target);
        }
        if targets.len() >= MAX_TARGETS {
            // Those with a request or a connection are known elsewhere, too.
            targets.retain(|_, target| Arc::strong_count(target) > 1);
        }
        let target = Target::new(origin.clone());
        if targets.len() < MAX_TARGETS {
            targets.insert(origin, Arc::clone(&target));
        }
        target
    }
}
