//! What a request gets whose service is not asked at all: the breaker is open, or nobody is there.
//!
//! Another service, under its own policies, or a fixed response. A fallback has no fallback of its own, so there is no
//! ring, and a service that answers badly is not replaced: whether its answer is bad is for the caller to say.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;

use super::{Forward, GatewayError, Hop, ResponseBody, forward};
use crate::config::Fallback;
use crate::plugin::CallError;

impl Forward<'_> {
    /// Whether there is a fallback for this failure.
    pub(super) fn falls_back(&self, error: &GatewayError) -> bool {
        !self.hop.is_fallback
            && self.settings.circuit_breaker.fallback.is_some()
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
        let fallback = self.settings.circuit_breaker.fallback.clone().filter(|_| self.falls_back(&error));
        let Some(fallback) = fallback else { return Err(error) };
        let hop = self.hop;
        hop.backend.runtime.carried.counters.fallbacks.fetch_add(1, Ordering::Relaxed);
        match fallback {
            Fallback::Response(response) => {
                let mut answer = Response::new(ResponseBody::gateway(Bytes::from(response.body)));
                // Checked with the configuration.
                *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                if let Ok(value) = HeaderValue::try_from(response.content_type) {
                    answer.headers_mut().insert(CONTENT_TYPE, value);
                }
                Ok(answer)
            }
            Fallback::Service(other) => {
                let service: Arc<str> = other.service.as_str().into();
                let Some(backend) = hop.snapshot.service(&service) else { return Err(error) };
                let version = other.version.as_deref();
                let hop = Hop { backend, service: &service, version, retry: None, is_fallback: true, ..hop.clone() };
                // One type of body, or there would be one for each level of what is only one level deep.
                Box::pin(forward(&hop, request.map(UnsyncBoxBody::new), self.exit)).await
            }
        }
    }
}
