//! A request on its way and its response, held against the contract of the version that was chosen.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::timeout_at;

use super::ahead::{Ahead, Read};
use super::check::check;
use super::counted::About;
use super::tee::Tee;
use crate::config::ContractMode;
use crate::contract::{BodyRule, Contract, Direction, Head, Schema, Skipped, Violation};
use crate::gateway::error::Refused;
use crate::gateway::forward::{Forward, Polled, Tapped};
use crate::gateway::{GatewayError, ResponseBody};
use crate::plugin::CallError;

/// A body of any kind: what comes after this is the same for all of them.
type AnyBody = UnsyncBoxBody<Bytes, CallError>;

/// What is known of one exchange.
struct Exchange {
    contract: Arc<Contract>,
    carried: Arc<crate::gateway::forward::Carried>,
    service: Arc<str>,
    version: Arc<str>,
    request_id: Arc<str>,
    operation: String,
    limit: usize,
}

/// Has the version answer, and holds both to the contract.
///
/// # Errors
/// As [`crate::gateway::forward::forward`]; and when a promise is broken that is enforced.
pub(in crate::gateway) async fn held<B>(
    forward: Forward<'_>,
    contract: Arc<Contract>,
    request: Request<B>,
) -> Result<Response<ResponseBody>, GatewayError>
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    let settings = Arc::clone(forward.settings());
    let settings = &settings.contract;
    let (hop, deadline) = (forward.hop(), forward.hop().deadline);
    let (parts, body) = request.into_parts();
    let of = Arc::clone(&contract);
    let head = of.request(&parts.method, parts.uri.path(), parts.uri.query(), &parts.headers);
    let exchange = Exchange {
        contract,
        carried: Arc::clone(&hop.backend.runtime.carried),
        service: Arc::clone(hop.service),
        version: Arc::clone(forward.label()),
        request_id: Arc::clone(&hop.request_id),
        operation: head.name().to_owned(),
        limit: usize::try_from(settings.max_body.get()).unwrap_or(usize::MAX),
    };
    let asked_for_head = parts.method == Method::HEAD;
    let body = match settings.requests {
        ContractMode::Off => AnyBody::new(body),
        ContractMode::Observe => exchange.watch_request(&head, body),
        ContractMode::Enforce => {
            let read = exchange.hold_request(&head, body);
            match deadline {
                Some(deadline) => timeout_at(deadline, read).await.map_err(|_| GatewayError::RequestTimeout)??,
                None => read.await?,
            }
        }
    };
    let response = forward.answered(Request::from_parts(parts, body)).await?;
    if settings.responses == ContractMode::Off {
        return Ok(response);
    }
    let head = head.response(response.status().as_u16(), response.headers());
    let without_body = matches!(response.status().as_u16(), 204 | 304);
    if settings.responses == ContractMode::Enforce {
        exchange.hold_response(&head, response, asked_for_head || without_body).await
    } else {
        Ok(exchange.watch_response(&head, response, asked_for_head || without_body))
    }
}

impl Exchange {
    fn about(&self, direction: Direction) -> About<'_> {
        About {
            service: &self.service,
            version: &self.version,
            operation: &self.operation,
            direction,
            request_id: &self.request_id,
        }
    }

    fn told(&self, direction: Direction, violations: &[Violation]) {
        if !violations.is_empty() {
            let counters = &self.carried.counters.contract;
            counters.count(direction, violations);
            counters.log(self.about(direction), violations);
        }
    }

    fn skip(&self, direction: Direction, why: Skipped) {
        self.carried.counters.contract.skip(direction, why);
    }

    fn refuse(&self, allowed: &[&str], violations: Vec<Violation>) -> GatewayError {
        // Whoever asked is told; the log need not be.
        self.carried.counters.contract.count(Direction::Request, &violations);
        GatewayError::ContractRequest(Box::new(Refused::new(allowed, violations)))
    }

    /// Reads the body if it is described, and lets nothing pass that is wrong.
    async fn hold_request<B>(&self, head: &Head<'_>, body: B) -> Result<AnyBody, GatewayError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        if !head.violations.is_empty() {
            return Err(self.refuse(&head.allowed, head.violations.clone()));
        }
        let mut there = !body.is_end_stream();
        let body = match head.body {
            // Whether there is a body is known when its first byte, or its end, is here.
            BodyRule::Present | BodyRule::Untyped { .. } if there => {
                let (ahead, read) = Ahead::read(body, 0).await?;
                there = !matches!(read, Read::Whole(_));
                AnyBody::new(ahead)
            }
            _ => AnyBody::new(body),
        };
        if let Some(violation) = head.body.of_presence(there) {
            return Err(self.refuse(&[], vec![violation]));
        }
        let schema = match head.body {
            BodyRule::Fits { schema, .. } if there => schema,
            BodyRule::Free(why) if there => {
                self.skip(Direction::Request, why);
                return Ok(body);
            }
            _ => return Ok(body),
        };
        let (ahead, read) = Ahead::read(body, self.limit).await?;
        let bytes = match read {
            Read::Whole(bytes) => bytes,
            Read::TooLarge => return Err(GatewayError::PayloadTooLarge),
            Read::NoRoom => return Err(GatewayError::BulkheadFull),
        };
        let violations = match head.body.of_presence(!bytes.is_empty()) {
            Some(missing) => vec![missing],
            None if bytes.is_empty() => Vec::new(),
            None => check(&self.contract, schema, bytes, Direction::Request).await,
        };
        if violations.is_empty() { Ok(AnyBody::new(ahead)) } else { Err(self.refuse(&[], violations)) }
    }

    /// Looks at the body when it has gone by.
    fn watch_request<B>(&self, head: &Head<'_>, body: B) -> AnyBody
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let there = !body.is_end_stream();
        let mut violations = head.violations.clone();
        violations.extend(head.body.of_presence(there));
        self.told(Direction::Request, &violations);
        match head.body {
            BodyRule::Fits { schema, .. } if there => {
                let mut tee = self.tee(schema, head.body, Direction::Request, body.size_hint().exact());
                AnyBody::new(Tapped::new(body, move |polled: Polled| {
                    match &polled {
                        Poll::Ready(Some(Ok(frame))) => tee.passes(frame),
                        Poll::Ready(None) => tee.complete(),
                        Poll::Ready(Some(Err(_))) | Poll::Pending => {}
                    }
                    polled
                }))
            }
            BodyRule::Free(why) if there => {
                self.skip(Direction::Request, why);
                AnyBody::new(body)
            }
            _ => AnyBody::new(body),
        }
    }

    /// Reads the response if its body is described, and lets nothing pass that is wrong.
    async fn hold_response(
        &self,
        head: &Head<'_>,
        response: Response<ResponseBody>,
        without_body: bool,
    ) -> Result<Response<ResponseBody>, GatewayError> {
        if !head.violations.is_empty() {
            self.told(Direction::Response, &head.violations);
            return Err(GatewayError::ContractResponse);
        }
        let schema = match head.body {
            _ if without_body => return Ok(response),
            BodyRule::Fits { schema, .. } => schema,
            BodyRule::Free(why) => {
                self.skip(Direction::Response, why);
                return Ok(response);
            }
            BodyRule::Present | BodyRule::Untyped { .. } => {
                let there = !response.body().is_end_stream();
                let wrong: Vec<Violation> = head.body.of_presence(there).into_iter().collect();
                self.told(Direction::Response, &wrong);
                return if wrong.is_empty() { Ok(response) } else { Err(GatewayError::ContractResponse) };
            }
        };
        let (parts, body) = response.into_parts();
        let (ahead, read) = Ahead::read(body, self.limit).await?;
        match read {
            Read::Whole(bytes) => {
                let violations = check(&self.contract, schema, bytes, Direction::Response).await;
                if !violations.is_empty() {
                    self.told(Direction::Response, &violations);
                    return Err(GatewayError::ContractResponse);
                }
            }
            Read::TooLarge => self.skip(Direction::Response, Skipped::TooLarge),
            Read::NoRoom => return Err(GatewayError::BulkheadFull),
        }
        Ok(Response::from_parts(parts, ResponseBody::ahead(ahead)))
    }

    /// Looks at the response when it has gone by.
    fn watch_response(
        &self,
        head: &Head<'_>,
        response: Response<ResponseBody>,
        without_body: bool,
    ) -> Response<ResponseBody> {
        let there = !without_body && !response.body().is_end_stream();
        let mut violations = head.violations.clone();
        if there {
            violations.extend(head.body.of_presence(true));
        }
        self.told(Direction::Response, &violations);
        match head.body {
            BodyRule::Fits { schema, .. } if !without_body => {
                let mut tee = self.tee(schema, head.body, Direction::Response, response.body().size_hint().exact());
                if !there {
                    tee.complete();
                    return response;
                }
                response.map(|body| body.teed(tee))
            }
            BodyRule::Free(why) if there => {
                self.skip(Direction::Response, why);
                response
            }
            _ => response,
        }
    }

    fn tee(&self, schema: Schema, rule: BodyRule, direction: Direction, expected: Option<u64>) -> Tee {
        let exchange = Self {
            contract: Arc::clone(&self.contract),
            carried: Arc::clone(&self.carried),
            service: Arc::clone(&self.service),
            version: Arc::clone(&self.version),
            request_id: Arc::clone(&self.request_id),
            operation: self.operation.clone(),
            limit: self.limit,
        };
        Tee::new(self.limit, expected, move |came| {
            let (bytes, room) = match came {
                Ok(came) => came,
                Err(why) => return exchange.skip(direction, why),
            };
            if bytes.is_empty() && direction == Direction::Request {
                let missing: Vec<Violation> = rule.of_presence(false).into_iter().collect();
                return exchange.told(direction, &missing);
            }
            let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
            runtime.spawn(async move {
                let violations = check(&exchange.contract, schema, bytes, direction).await;
                exchange.told(direction, &violations);
                drop(room);
            });
        })
    }
}
