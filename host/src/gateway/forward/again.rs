//! One request, several tries: when there is another one, and what each may cost.
//!
//! Whether and after how long is the policy's word (`policy/retry.rs`). Decided here: what a response says about that,
//! that a response which is not passed on is read meanwhile, and that the last try's result is the request's.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::attempt::Failure;
use super::replay::Replay;
use super::{Forward, GatewayError, ResponseBody};
use crate::plugin::CallError;
use crate::policy::RetryPolicy;
use crate::policy::retry::{Body as Kept, Decision, Failed, RequestFacts, Tried, is_idempotent};

/// Which try it is, from 1; sent with second and further ones.
const X_REQUEST_ATTEMPT: HeaderName = HeaderName::from_static("x-request-attempt");

/// Longest `Retry-After` that is waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

impl Forward<'_> {
    pub(super) async fn again_and_again<B>(
        mut self,
        policy: &RetryPolicy,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, GatewayError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let (parts, body) = request.into_parts();
        let idempotent = is_idempotent(parts.method.as_str());
        let bodies = Replay::new(body, policy.max_body());
        loop {
            let mut head = parts.clone();
            if self.attempt > 0 {
                head.headers.insert(X_REQUEST_ATTEMPT, HeaderValue::from(self.attempt.saturating_add(1)));
            }
            let result = match self.admit(&head).await {
                Ok(admitted) => match bodies.next() {
                    Some(body) => self.send(admitted, Request::from_parts(head, body)).await,
                    None => Err(Failure::refused(GatewayError::Internal)),
                },
                Err(failure) if self.attempt == 0 && self.falls_back(&failure.error) => {
                    let Some(body) = bodies.next() else { return Err(failure.error) };
                    return Box::pin(self.fall_back(failure.error, Request::from_parts(head, body))).await;
                }
                Err(failure) => Err(failure),
            };
            let tried = match &result {
                Ok(response) => match retried_status(response) {
                    Some(tried) => tried,
                    None => break self.settle(result),
                },
                Err(failure) => failure.tried,
            };
            let body = if bodies.can_replay() { Kept::Replayable } else { Kept::TooLarge };
            let failed = Failed {
                attempt: self.attempt,
                tried,
                request: RequestFacts { idempotent, body },
                deadline: self.hop.deadline,
                now: Instant::now(),
            };
            let counters = &self.hop.backend.runtime.carried.counters;
            match policy.decide(&failed, &self.hop.backend.runtime.carried.budget, fastrand::f64()) {
                Decision::Retry { after } => {
                    counters.retried();
                    let until = failed.now + after;
                    if let Ok(response) = result {
                        // Not passed on, but read while we wait anyway: or each try would cost a connection.
                        let _in_time = timeout_at(until, response.into_body().read_rest()).await;
                    }
                    sleep_until(until).await;
                    self.attempt = self.attempt.saturating_add(1);
                }
                Decision::GiveUp(reason) => {
                    counters.gave_up(reason);
                    break self.settle(result);
                }
            }
        }
    }

    /// The last try's result is the request's.
    fn settle(&self, result: Result<Response<ResponseBody>, Failure>) -> Result<Response<ResponseBody>, GatewayError> {
        if self.attempt > 0 && result.as_ref().is_ok_and(|response| !response.status().is_server_error()) {
            self.hop.backend.runtime.carried.counters.retry_succeeded();
        }
        result.map_err(|failure| failure.error)
    }
}

/// A response that may be worth another try.
fn retried_status(response: &Response<ResponseBody>) -> Option<Tried> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let Some(after) = response.headers().get(RETRY_AFTER) else {
        return Some(Tried::Status { code: status.as_u16(), retry_after: None });
    };
    // The other form, a date, is for people; and whoever asks for so long is not waited for, deadline or not.
    let after = after.to_str().ok().and_then(|after| after.trim().parse().ok()).map(Duration::from_secs);
    Some(match after.filter(|after| *after <= MAX_RETRY_AFTER) {
        Some(after) => Tried::Status { code: status.as_u16(), retry_after: Some(after) },
        None => Tried::Refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_who_asks_for_a_long_time_or_for_a_date() {
        let tried = |status: u16, after: Option<&str>| {
            let mut response = Response::builder().status(status);
            if let Some(after) = after {
                response = response.header(RETRY_AFTER, after);
            }
            retried_status(&response.body(ResponseBody::gateway(Bytes::new())).unwrap())
        };
        let status =
            |code, seconds: Option<u64>| Some(Tried::Status { code, retry_after: seconds.map(Duration::from_secs) });
        for (sent, after, expected) in [
            (200, None, None),
            (304, Some("1"), None),
            (503, None, status(503, None)),
            (503, Some("2"), status(503, Some(2))),
            (404, Some(" 0 "), status(404, Some(0))),
            (503, Some("86400"), Some(Tried::Refused)),
            (503, Some("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Tried::Refused)),
            (503, Some("-1"), Some(Tried::Refused)),
        ] {
            assert_eq!(tried(sent, after), expected, "{sent} {after:?}");
        }
    }
}
