//! Copies go past the policies of the service, whose places are for clients.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;

use super::{Answer, MirrorSink};
use crate::gateway::forward::ask_aside;
use crate::gateway::headers::X_REQUEST_ID;
use crate::gateway::{GatewayError, Services};
use crate::plugin::{CallContext, CallError};

#[async_trait]
impl MirrorSink for Services {
    async fn send(
        &self,
        service: &str,
        version: Option<&str>,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Answer, GatewayError> {
        // What is in force now: the request it copies may be long over.
        let snapshot = self.snapshot();
        let backend = snapshot.service(service).ok_or_else(|| GatewayError::UnknownService(service.to_owned()))?;
        let choice = backend.choose(version, request.headers(), None, false);
        let choice = choice.ok_or_else(|| GatewayError::NotServing(service.to_owned()))?;
        let request_id = request.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).map(Arc::from);
        let context = CallContext { request_id, deadline: Some(deadline), ..CallContext::default() };
        let request = request.map(|body| Full::new(body).map_err(|never| -> CallError { match never {} }));
        Ok(ask_aside(choice.pool, &backend.settings, context, request).await?.map(BodyExt::boxed_unsync))
    }
}
