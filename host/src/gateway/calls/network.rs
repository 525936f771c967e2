//! Requests of guests to hosts outside: the service's own egress answers, or a word of wasi:http why not.

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody};

use super::{CallBody, Exit, GatewayError};
use crate::capability::http::{Caller, DispatchError};
use crate::gateway::egress::{Denied, Egress, EgressError, Patience};
use crate::gateway::upstream::{NotDelivered, UpstreamError};

/// Sends a request out.
///
/// # Errors
/// When it may not be sent, or there is no response.
pub(super) async fn send(
    egress: &Egress,
    caller: &Caller,
    request: Request<WasiBody>,
    options: RequestOptions,
    mut exit: Option<Box<Exit>>,
) -> Result<Response<WasiBody>, DispatchError> {
    let patience = Patience {
        connect: options.connect_timeout,
        first_byte: options.first_byte_timeout,
        between_bytes: options.between_bytes_timeout,
    };
    let request = request.map(CallBody::new);
    let began = Instant::now();
    let sent = egress.send(request, patience, caller.deadline).await;
    if let Some(exit) = &mut exit {
        exit.called(began.elapsed());
    }
    match sent {
        Ok(response) => {
            if let Some(exit) = &mut exit {
                exit.answered(&response, true);
            }
            Ok(response.map(|body| body.map_err(|error| body_error(&error)).boxed_unsync()))
        }
        Err(error) => {
            let service = &*caller.service;
            tracing::debug!(service, request_id = &*caller.request_id, "a request to the network failed: {error}");
            let (shown, told) = of(&error);
            if let Some(exit) = &mut exit {
                exit.refused(&shown);
            }
            Err(told)
        }
    }
}

/// What the log says, and what the guest is told.
fn of(error: &EgressError) -> (GatewayError, DispatchError) {
    let told = match error {
        EgressError::Denied(Denied::Invalid(_)) => return (GatewayError::GrantDenied, DispatchError::BadAddress),
        EgressError::Denied(_) => return (GatewayError::GrantDenied, DispatchError::NotGranted),
        EgressError::TooMany => return (GatewayError::BulkheadFull, DispatchError::TooManyOpen),
        EgressError::Upstream(error) => match error {
            UpstreamError::NotDelivered(NotDelivered::Dns(_)) => DispatchError::NoSuchName,
            UpstreamError::NotDelivered(NotDelivered::Tls(_)) => DispatchError::Untrusted,
            UpstreamError::NotDelivered(NotDelivered::ConnectTimeout) => DispatchError::ConnectTimeout,
            UpstreamError::NotDelivered(NotDelivered::PoolFull) => DispatchError::TooManyOpen,
            UpstreamError::NotDelivered(_) => DispatchError::PortClosed,
            UpstreamError::Timeout => DispatchError::Timeout,
            UpstreamError::Broken(_) | UpstreamError::Request(_) => DispatchError::Broken,
            UpstreamError::InvalidResponse(_) => DispatchError::BadResponse,
        },
    };
    let EgressError::Upstream(error) = error.clone() else { return (GatewayError::Internal, told) };
    (error.into(), told)
}

fn body_error(error: &UpstreamError) -> HttpError {
    match error {
        UpstreamError::Timeout => HttpError::HttpResponseTimeout,
        UpstreamError::NotDelivered(_)
        | UpstreamError::Broken(_)
        | UpstreamError::InvalidResponse(_)
        | UpstreamError::Request(_) => HttpError::HttpResponseIncomplete,
    }
}
