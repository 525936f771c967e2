//! A WebSocket to an instance elsewhere. It passes every policy that a request passes, once: what is said over it cannot
//! be said again. Its place in the bulkhead is taken for as long as it is open.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::{Request, Response};
use tokio::time::Instant;

use super::ask::limits;
use super::try_error::TryError;
use super::{Admitted, Ended, Forward, GatewayError, ResponseBody, Target};
use crate::gateway::upstream::upgrade;

impl Forward<'_> {
    /// Asks for a WebSocket; a request for one has no body.
    pub(super) async fn web_socket<B>(mut self, request: Request<B>) -> Result<Response<ResponseBody>, GatewayError> {
        let (parts, _no_body) = request.into_parts();
        let admitted = self.admit(&parts).await.map_err(|failure| failure.error)?;
        let Admitted { endpoint, cookie: _, permit, place, ticket } = admitted;
        let Target::Remote(upstream) = &endpoint.target else {
            return Err(GatewayError::NotSupported("WebSockets of this service: components answer requests only"));
        };
        let limits = limits(&self.settings, self.hop.deadline);
        let answered = upgrade(upstream, parts, &limits, place).await.map_err(TryError::from);
        let now = Instant::now();
        if let Some(exit) = &mut *self.exit {
            exit.called(now.saturating_duration_since(ticket.began()));
        }
        match answered {
            Ok(response) => {
                ticket.ended(permit, Ended::Status(response.status().as_u16()), now);
                let body = |body| ResponseBody::upstream(body, Arc::<AtomicU64>::default()).holding(ticket);
                Ok(response.map(body))
            }
            Err(error) => {
                ticket.ended(permit, error.ended(), now);
                Err(error.into())
            }
        }
    }
}
