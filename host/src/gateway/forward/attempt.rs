//! One try: what it takes, and what it came to.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use super::ask::ask;
use super::awaited::{Waits, awaited};
use super::key::Keys;
use super::ticket::Ended;
use super::try_error::TryError;
use super::{Endpoint, Forward, GatewayError, ResponseBody, Ticket};
use crate::gateway::headers;
use crate::plugin::{CallContext, CallError};
use crate::policy::retry::Tried;
use crate::policy::{BreakerPermit, Bulkhead, Class, Permit};

/// A try that has passed all policies.
pub(super) struct Admitted<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) cookie: Option<HeaderValue>,
    pub(super) permit: BreakerPermit,
    pub(super) places: Places,
    pub(super) ticket: Ticket,
}

/// Places in bulkheads, until they are dropped.
#[derive(Debug)]
pub(super) struct Places {
    _of_rule: Option<Permit>,
    _of_service: Permit,
}

/// A try without a response.
pub(super) struct Failure {
    pub(super) error: GatewayError,
    pub(super) tried: Tried,
}

impl<'a> Forward<'a> {
    /// Takes whatever a try needs: an instance, the breaker's leave and a place in the bulkhead.
    pub(super) async fn admit(&mut self, parts: &http::request::Parts) -> Result<Admitted<'a>, Failure> {
        let hop = self.hop;
        let carried = &hop.backend.runtime.carried;
        let pool = self.choice.pool;
        let now = Instant::now();
        let keys = Keys { uri: &parts.uri, headers: &parts.headers, client: hop.client };
        let chosen = pool.choose(&keys, &mut self.tried, carried, now);
        let chosen = chosen.ok_or_else(|| Failure::refused(GatewayError::NoInstance(hop.service.to_string())))?;
        let permit = pool.state.breaker.admit(now).map_err(|open| {
            carried.counters.circuit_open.fetch_add(1, Ordering::Relaxed);
            Failure::refused(GatewayError::CircuitOpen(open.retry_after))
        })?;
        let places = self.places().await?;
        self.tried.push(chosen.index);
        if let Some(exit) = &mut *self.exit {
            exit.version(&pool.label);
            exit.tried(&chosen.endpoint.state.id);
        }
        let ticket = Ticket::new(
            Arc::clone(hop.service),
            Arc::clone(carried),
            Arc::clone(&pool.state),
            Arc::clone(&chosen.endpoint.state),
            self.choice.statistics.map(Arc::clone),
            Instant::now(),
        );
        Ok(Admitted { endpoint: chosen.endpoint, cookie: chosen.cookie, permit, places, ticket })
    }

    /// A place of the rule's first: who waits for one of those holds none that other rules could use.
    async fn places(&self) -> Result<Places, Failure> {
        let of_rule = match self.hop.bulkhead {
            Some(bulkhead) => Some(self.place(bulkhead).await?),
            None => None,
        };
        Ok(Places { _of_rule: of_rule, _of_service: self.place(&self.hop.backend.runtime.bulkhead).await? })
    }

    async fn place(&self, bulkhead: &Bulkhead) -> Result<Permit, Failure> {
        let admitted = bulkhead.admit(Class::Request);
        let place = match self.hop.deadline {
            Some(deadline) => {
                timeout_at(deadline, admitted).await.map_err(|_| Failure::refused(GatewayError::RequestTimeout))?
            }
            None => admitted.await,
        };
        place.map_err(|_full| {
            self.hop.backend.runtime.carried.counters.bulkhead_full.fetch_add(1, Ordering::Relaxed);
            Failure::refused(GatewayError::BulkheadFull)
        })
    }

    /// What is asked of an instance, up to the head of its response.
    pub(super) async fn in_time<T>(&self, asked: impl Future<Output = Result<T, TryError>>) -> Result<T, TryError> {
        let of_service = Some(self.settings.timeouts.backend_request.get()).filter(|timeout| !timeout.is_zero());
        match self.hop.try_timeout.into_iter().chain(of_service).min() {
            Some(timeout) => tokio::time::timeout(timeout, asked).await.unwrap_or(Err(TryError::Timeout)),
            None => asked.await,
        }
    }

    /// One try.
    pub(super) async fn send<B>(
        &mut self,
        admitted: Admitted<'_>,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let Admitted { endpoint, cookie, permit, places, ticket } = admitted;
        let began = ticket.began();
        let hop = self.hop;
        let context = CallContext {
            request_id: Some(Arc::clone(&hop.request_id)),
            deadline: hop.deadline,
            max_request_body: hop.max_request_body,
            path: hop.path.clone(),
            identity: hop.identity.clone(),
            permit: Some(Box::new(places)),
        };
        let waits = Waits::default();
        let request = request.map(|body| awaited(body, waits.clone()));
        let asked = pin!(ask(&endpoint.target, &self.settings, context, request));
        let result = self.in_time(asked).await;
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        hop.backend.runtime.bulkhead.observe(took, now);
        if let Some(exit) = &mut *self.exit {
            exit.called(took);
        }
        match result {
            Ok(mut response) => {
                ticket.ended(permit, Ended::Status(response.status().as_u16()), now);
                headers::strip_response(response.headers_mut());
                if let Some(cookie) = cookie {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                Ok(response.map(|body| body.holding(ticket)))
            }
            Err(error) => {
                tracing::debug!(service = %hop.service, instance = %ticket.instance(), after = ?took, "{error}");
                if error.is_out_of_time() && waits.for_client() {
                    ticket.ended(permit, Ended::Ignored, now);
                    return Err(Failure::refused(error.into()));
                }
                ticket.ended(permit, error.ended(), now);
                Err(Failure { tried: error.tried(), error: error.into() })
            }
        }
    }
}

impl Failure {
    pub(super) fn refused(error: GatewayError) -> Self {
        Self { error, tried: Tried::Refused }
    }
}
