//! A WebSocket to an instance elsewhere: components answer requests only, so it goes past those to the version's other
//! instances, and is 501 if there are none. It passes every policy that a request passes, once: what is said over it
//! cannot be said again. Its place in the bulkhead is taken for as long as it is open, and it counts as a request of
//! its instance for as long.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::TryFutureExt;
use http::header::SET_COOKIE;
use http::{Request, Response};
use tokio::time::Instant;

use super::ask::limits;
use super::attempt::Admitted;
use super::ticket::Ended;
use super::try_error::TryError;
use super::{Forward, GatewayError, ResponseBody, Target};
use crate::gateway::upstream::upgrade;

impl Forward<'_> {
    /// Asks for a WebSocket; a request for one has no body.
    pub(super) async fn web_socket<B>(mut self, request: Request<B>) -> Result<Response<ResponseBody>, GatewayError> {
        let (parts, _no_body) = request.into_parts();
        let pool = self.choice.pool;
        if !pool.has_remote() {
            let what = "WebSockets of this service: components answer requests only";
            return Err(GatewayError::NotSupported(what));
        }
        // As if they had been asked already.
        self.tried = pool.locals().collect();
        let admitted = self.admit(&parts).await.map_err(|failure| failure.error)?;
        let Admitted { endpoint, cookie, permit, places, ticket } = admitted;
        let Target::Remote(upstream) = &endpoint.target else {
            // It came to that because nobody else can be used.
            return Err(GatewayError::NoInstance(self.hop.service.to_string()));
        };
        let limits = limits(&self.settings, self.hop.deadline);
        let ticket = Arc::new(ticket);
        let held = (places, Arc::clone(&ticket));
        let answered = self.in_time(upgrade(upstream, parts, &limits, held).map_err(TryError::from)).await;
        let now = Instant::now();
        if let Some(exit) = &mut *self.exit {
            exit.called(now.saturating_duration_since(ticket.began()));
        }
        match answered {
            Ok(mut response) => {
                ticket.ended(permit, Ended::Status(response.status().as_u16()), now);
                if let Some(cookie) = cookie {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                Ok(response.map(|body| ResponseBody::upstream(body, Arc::<AtomicU64>::default())))
            }
            Err(error) => {
                ticket.ended(permit, error.ended(), now);
                Err(error.into())
            }
        }
    }
}
