//! A request to another service, and its answer.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingResponse, Method as WasiMethod, OutgoingRequest, RequestOptions, Scheme,
};

use super::exchange::{Download, Upload};
use crate::{Answer, Call, CallError, Method};

pub(crate) fn call(call: Call) -> Result<Answer, CallError> {
    let Call { method, url, headers, body: from, timeout } = call;
    let (scheme, authority, target) = split(&url).ok_or_else(|| CallError::Invalid(format!("the address {url}")))?;
    let headers = Fields::from_list(&headers).map_err(|error| CallError::Invalid(format!("a header: {error:?}")))?;
    let request = OutgoingRequest::new(headers);
    let set = request
        .set_method(&wasi_method(method)?)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(target)));
    set.map_err(|()| CallError::Invalid(format!("the address {url}")))?;
    let options = RequestOptions::new();
    if let Some(limit) = timeout {
        let nanos = Some(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        // This host knows all of them.
        let _ = options.set_connect_timeout(nanos).and_then(|()| options.set_first_byte_timeout(nanos));
        let _ = options.set_between_bytes_timeout(nanos);
    }

    // Each of these two is asked for once, so both are there.
    let to = request.body().map_err(|()| CallError::Failed("the body is gone".to_owned()))?;
    let pending = outgoing_handler::handle(request, Some(options)).map_err(error)?;
    let stream = to.write().map_err(|()| CallError::Failed("the body is gone".to_owned()))?;
    let unsent = Upload::new(stream, to, from).until(&pending)?;
    match pending.get() {
        Some(Ok(Ok(response))) => answer(&response, unsent),
        Some(Ok(Err(code))) => Err(error(code)),
        Some(Err(())) | None => Err(CallError::Failed("the answer is gone".to_owned())),
    }
}

/// Scheme, authority and the rest, which has at least a slash.
fn split(url: &str) -> Option<(Scheme, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let (authority, target) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    // A query without a path, and what only a browser knows.
    (!authority.contains(['?', '#']) && !target.contains('#')).then_some((scheme, authority, target))
}

fn wasi_method(method: Method) -> Result<WasiMethod, CallError> {
    Ok(match method {
        Method::Get => WasiMethod::Get,
        Method::Head => WasiMethod::Head,
        Method::Post => WasiMethod::Post,
        Method::Put => WasiMethod::Put,
        Method::Patch => WasiMethod::Patch,
        Method::Delete => WasiMethod::Delete,
        Method::Options => WasiMethod::Options,
        Method::Other => return Err(CallError::Invalid("its method".to_owned())),
    })
}

fn answer(response: &IncomingResponse, unsent: Option<Upload>) -> Result<Answer, CallError> {
    let body = response.consume().and_then(|body| Ok(Download::new(body.stream()?, body, unsent)));
    let body = body.map_err(|()| CallError::Failed("the answer's body is gone".to_owned()))?;
    Ok(Answer { status: response.status(), headers: response.headers().entries(), body: Box::new(body) })
}

fn error(code: ErrorCode) -> CallError {
    match code {
        ErrorCode::HttpRequestDenied => CallError::Denied,
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => CallError::NotFound,
        ErrorCode::HttpResponseTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::DnsTimeout => CallError::Timeout,
        ErrorCode::ConnectionLimitReached => CallError::TooManyOpen,
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid => {
            CallError::Invalid(format!("{code:?}"))
        }
        other => CallError::Failed(format!("{other:?}")),
    }
}
