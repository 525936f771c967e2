//! What a request gets whose service is not asked at all: the breaker is open, or nobody is there.
//!
//! Another service, under its own policies, or a fixed response. A fallback has no fallback of its own, so there is no
//! ring, and a service that answers badly is not replaced: whether its answer is bad is for the caller to say.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;

use super::{Forward, GatewayError, Hop, ResponseBody, forward};
use crate::config::Fallback;
use crate::gateway::filter::StaticResponse;
use crate::plugin::CallError;

impl Forward<'_> {
    /// Whether there is a fallback for this failure.
    pub(super) fn falls_back(&self, error: &GatewayError) -> bool {
        !self.hop.is_fallback
            && self.settings.circuit_breaker.fallback != Fallback::default()
            && matches!(error, GatewayError::CircuitOpen(_) | GatewayError::NoInstance(_))
    }

    /// The fallback's answer, or the failure if there is none.
    pub(super) async fn fall_back<B>(
        self,
        error: GatewayError,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, GatewayError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        if !self.falls_back(&error) {
            return Err(error);
        }
        let hop = self.hop;
        hop.backend.runtime.carried.counters.fallbacks.fetch_add(1, Ordering::Relaxed);
        let settings = Arc::clone(&self.settings);
        let Fallback { response, .. } = &settings.circuit_breaker.fallback;
        let other = settings.circuit_breaker.fallback.service_for(hop.service, &self.choice.pool.label);
        let answered = match other {
            Some((name, version)) => {
                let service: Arc<str> = name.into();
                match hop.snapshot.service(&service) {
                    Some(backend) => {
                        if let Some(exit) = &mut *self.exit {
                            exit.falls_back(Some(&service));
                        }
                        let retry = None;
                        let hop = Hop { backend, service: &service, version, retry, is_fallback: true, ..hop.clone() };
                        // One type of body, or there would be one for each level of what is only one level deep.
                        Box::pin(forward(&hop, request.map(UnsyncBoxBody::new), self.exit)).await
                    }
                    None => Err(error),
                }
            }
            None => Err(error),
        };
        match (answered, response) {
            (Err(_), Some(fixed)) => {
                if let Some(exit) = self.exit {
                    exit.falls_back(None);
                }
                Ok(StaticResponse::new(fixed).answer().map(ResponseBody::gateway))
            }
            (answered, _) => answered,
        }
    }
}
