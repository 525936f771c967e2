//! Asking one instance, wherever it is: no policy here but the bounds that hold for every request.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;

use super::bounded::bounded;
use super::key::Keys;
use super::pool::{Pool, Target};
use super::try_error::TryError;
use crate::config::Service;
use crate::gateway::upstream::Limits;
use crate::gateway::{GatewayError, ResponseBody};
use crate::plugin::{CallContext, CallError};

/// Sends a request to an instance. The permit of `context` comes back when a guest is done, and when the last byte of
/// another server's response is gone: nobody knows of it what it still does.
pub(crate) async fn ask<B>(
    target: &Target,
    settings: &Service,
    context: CallContext,
    request: Request<B>,
) -> Result<Response<ResponseBody>, TryError>
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    match target {
        Target::Local(version) => Ok(version.call(request, context).await?.map(ResponseBody::guest)),
        Target::Remote(upstream) => {
            let limit = settings.limits.request_body.get();
            let limit = context.max_request_body.map_or(limit, |max| max.min(limit));
            let limits = limits(settings, context.deadline);
            let sent = Arc::<AtomicU64>::default();
            let request = request.map(|body| bounded(body, limit, Arc::clone(&sent)));
            let response = upstream.send(request, &limits).await?;
            let (parts, body) = response.into_parts();
            let body = body.up_to(settings.limits.response_body.get())?.holding(context.permit);
            Ok(Response::from_parts(parts, ResponseBody::upstream(body, sent)))
        }
    }
}

/// The times for requests to other servers.
pub(super) fn limits(settings: &Service, deadline: Option<Instant>) -> Limits {
    let timeouts = &settings.timeouts;
    Limits {
        connect: timeouts.connect.get(),
        idle: timeouts.idle.get(),
        stream_idle: Some(timeouts.stream_idle.get()).filter(|idle| !idle.is_zero()).unwrap_or(Duration::MAX),
        first_byte: None,
        deadline,
    }
}

/// Sends a copy of a request to an instance that would get such a request. It takes no place, opens no breaker and
/// ejects nobody, so whatever becomes of it, requests of clients are not the worse for it.
///
/// # Errors
/// When nobody is there, or gives no response.
pub(crate) async fn ask_aside<B>(
    pool: &Pool,
    settings: &Service,
    context: CallContext,
    request: Request<B>,
) -> Result<Response<ResponseBody>, GatewayError>
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    let keys = Keys { uri: request.uri(), headers: request.headers(), client: None };
    let target = pool.anybody(&keys, Instant::now()).cloned();
    let target = target.ok_or_else(|| GatewayError::NotServing(pool.label.to_string()))?;
    Ok(ask(&target, settings, context, request).await?)
}
