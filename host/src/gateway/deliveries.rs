//! Deliveries of events: a request that the host makes itself, past all that protects a service.
//!
//! No listener, no route, no filter: those are for strangers, and a subscription is written down by the operator. From
//! `forward` on it is a request like any other, with the same breaker, bulkhead, balancing and deadline; it is counted
//! and logged as one, from `event`. A service that is not there is told apart from one that fails: then an event waits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::GatewayError;
use super::exit::Exit;
use super::forward::{Hop, forward};
use super::headers::{self, RequestId, X_REQUEST_ID};
use super::traffic::{Asker, Measured};
use super::upstream::{NotDelivered, UpstreamError};
use super::{Gateway, ResponseBody};
use crate::capability::delivery::{Delivery, MAX_FAILURE_BYTES};
use crate::events::{Answer, Deliver};
use crate::plugin::CallError;

#[async_trait]
impl Deliver for Gateway {
    async fn deliver(&self, service: &str, request: Request<Bytes>, timeout: Option<Duration>) -> Answer {
        let arrived = Instant::now();
        let snapshot = self.services.snapshot();
        let Some((name, backend)) = snapshot.named(service) else {
            // Nobody's error: a component that is still to come. Nothing is counted or logged.
            return Answer::NotThere { reason: "no_instance", after: None };
        };
        let traffic = Arc::clone(&backend.runtime.carried.counters.traffic);
        let mut measured = Measured::new(traffic, Asker::Event, arrived);
        let (mut parts, body) = request.into_parts();
        let subscription = parts.extensions.get::<Delivery>().map(|delivery| Arc::clone(&delivery.subscription));
        if let Some(host) = parts.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
            parts.headers.insert(HOST, host);
        }
        let request_id = RequestId::new();
        parts.headers.insert(X_REQUEST_ID, request_id.header());
        let trace = headers::trace(&mut parts.headers);
        let mut exit = self.access_log().map(|log| Box::new(Exit::new(log, &parts, arrived)));
        if let Some(exit) = &mut exit {
            exit.delivers(subscription.as_deref().unwrap_or_default(), name, &request_id, &trace);
        }
        let settings = &backend.settings;
        let own = Some(settings.timeouts.request.get()).filter(|timeout| !timeout.is_zero());
        let hop = Hop {
            snapshot: &snapshot,
            backend,
            service: name,
            version: None,
            client: None,
            retry: None,
            bulkhead: None,
            try_timeout: None,
            deadline: timeout.or(own).map(|timeout| arrived + timeout),
            max_request_body: None,
            request_id: request_id.as_str().into(),
            path: Vec::new(),
            identity: HeaderMap::new(),
            is_fallback: false,
        };
        let body = Full::new(body).map_err(|never| -> CallError { match never {} });
        match Box::pin(forward(&hop, Request::from_parts(parts, body), &mut exit)).await {
            Ok(response) => {
                measured.answered(response.status().as_u16());
                if let Some(exit) = &mut exit {
                    exit.answered(&response, http_body::Body::is_end_stream(response.body()));
                }
                Answer::Response(read(response.map(|body| body.with_exit(exit)), hop.deadline).await)
            }
            Err(error) => {
                measured.failed(&error);
                measured.answered(error.status().as_u16());
                if let Some(mut exit) = exit {
                    exit.refused(&error);
                }
                answer(&error)
            }
        }
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.services.news()
    }
}

/// The answer, with as much of its body as is shown to people. Whether the event is handled says the head; a body that
/// breaks off or does not end takes nothing of that back.
async fn read(response: Response<ResponseBody>, deadline: Option<Instant>) -> Response<Bytes> {
    let (parts, mut body) = response.into_parts();
    let mut text = BytesMut::new();
    let read_on = async {
        while text.len() < MAX_FAILURE_BYTES {
            let Some(Ok(frame)) = body.frame().await else { return };
            if let Some(data) = frame.data_ref() {
                text.extend_from_slice(data.get(..MAX_FAILURE_BYTES.min(data.len())).unwrap_or_default());
            }
        }
        body.read_rest().await;
    };
    match deadline {
        Some(deadline) => drop(tokio::time::timeout_at(deadline, read_on).await),
        None => read_on.await,
    }
    Response::from_parts(parts, text.freeze())
}

/// What a failure means for the event.
fn answer(error: &GatewayError) -> Answer {
    let reason = error.reason();
    let not_there = |after| Answer::NotThere { reason, after };
    let failed = Answer::Failed { reason, for_good: false };
    match error {
        GatewayError::NotServing(_)
        | GatewayError::NoInstance(_)
        | GatewayError::UnknownService(_)
        | GatewayError::NoBackend
        | GatewayError::BulkheadFull
        | GatewayError::Starting
        | GatewayError::Draining => not_there(None),
        GatewayError::CircuitOpen(wait) => not_there(Some(*wait)),
        GatewayError::Upstream(error) => match error {
            // Another address would have to be configured: nobody has seen the event.
            UpstreamError::NotDelivered(
                NotDelivered::Dns(_)
                | NotDelivered::Forbidden(_)
                | NotDelivered::Connect(_)
                | NotDelivered::ConnectTimeout
                | NotDelivered::Tls(_)
                | NotDelivered::PoolFull
                | NotDelivered::Refused
                | NotDelivered::Protocol,
            ) => not_there(None),
            UpstreamError::Broken(_)
            | UpstreamError::Timeout
            | UpstreamError::InvalidResponse(_)
            | UpstreamError::Request(_) => failed,
        },
        GatewayError::Guest(CallError::Start(_)) => not_there(None),
        GatewayError::PayloadTooLarge => Answer::Failed { reason, for_good: true },
        _ => failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_there_has_not_failed_and_who_failed_may_be_asked_again() {
        let text = String::new;
        let broken = GatewayError::Upstream(UpstreamError::NotDelivered(NotDelivered::Connect(text())));
        for error in [
            GatewayError::NoInstance(text()),
            GatewayError::NotServing(text()),
            GatewayError::BulkheadFull,
            GatewayError::Draining,
            GatewayError::Guest(CallError::Start(text())),
            broken,
        ] {
            assert!(matches!(answer(&error), Answer::NotThere { after: None, .. }), "{error:?}");
        }
        let wait = Duration::from_secs(7);
        let open = answer(&GatewayError::CircuitOpen(wait));
        assert!(matches!(open, Answer::NotThere { reason: "circuit_open", after: Some(after) } if after == wait));
        for error in [
            GatewayError::RequestTimeout,
            GatewayError::Guest(CallError::Trap(text())),
            GatewayError::Guest(CallError::CpuTime),
            GatewayError::Upstream(UpstreamError::Broken(text())),
            GatewayError::Internal,
        ] {
            assert!(matches!(answer(&error), Answer::Failed { for_good: false, .. }), "{error:?}");
        }
        let large = answer(&GatewayError::PayloadTooLarge);
        assert!(matches!(large, Answer::Failed { reason: "payload_too_large", for_good: true }));
    }
}
