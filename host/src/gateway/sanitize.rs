//! The first look at a request: whatever two programs could read in two ways ends here.
//!
//! Decided here: which requests make sense to HTTP at all, which host they are for, and the one spelling of their path.
//! What hyper hides from us (lengths given twice, lines that end oddly) is found by the server on the wire and comes
//! along as a [`HeadFlaw`]. Framing is nothing to decide: a guest gets a body, not a length, and what it answers is
//! framed anew. Which headers end at a hop, and what is said about the client, is decided in `headers`.
//!
//! Answers: 400 for what is malformed, 405 for methods that would echo secrets (TRACE, TRACK), 414 for long addresses,
//! 417 for expectations other than `100-continue`, 431 for too many headers (HTTP/2; over HTTP/1 the server says it),
//! 501 for what HTTP has and the gateway has not: CONNECT, upgrades to other protocols than WebSocket, other transfer
//! codings.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::rewrite::with_path;
use super::upstream::WebSocket;
use super::{GatewayError, path};
use crate::config::{Requests, UnderscoreHeaders};
use crate::server::HeadFlaw;

/// Looks at a request and puts host and path in their one form. Says which host it is for, with a port if it names one.
/// `max_headers` is `connections.maxHeaders`, which hyper bounds over HTTP/1 only.
///
/// # Errors
/// When the request cannot be served, whatever the routes are.
pub(super) fn sanitize(parts: &mut Parts, rules: &Requests, max_headers: u32) -> Result<String, GatewayError> {
    if let Some(flaw) = parts.extensions.remove::<HeadFlaw>() {
        let HeadFlaw { unsupported, detail } = flaw;
        return Err(if unsupported { GatewayError::NotSupported(detail) } else { GatewayError::BadRequest(detail) });
    }
    method(&parts.method)?;
    framing(&parts.headers)?;
    if parts.headers.len() > max_headers as usize {
        return Err(GatewayError::HeadersTooLarge);
    }
    names(&mut parts.headers, rules.underscore_headers)?;
    expectation(&parts.headers)?;
    upgrade(parts)?;
    let host = host(parts)?;
    target(parts, rules)?;
    Ok(host)
}

fn method(method: &Method) -> Result<(), GatewayError> {
    match method.as_str() {
        "CONNECT" => Err(GatewayError::NotSupported("CONNECT: this is no proxy")),
        // They send a request's headers back, also those that a page may not see.
        "TRACE" | "TRACK" => Err(GatewayError::MethodNotAllowed(method.to_string())),
        _ => Ok(()),
    }
}

fn framing(headers: &HeaderMap) -> Result<(), GatewayError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (length, second) = (lengths.next(), lengths.next());
    if second.is_some() {
        return Err(GatewayError::BadRequest("the request gives more than one length"));
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if length.is_some() {
        return Err(GatewayError::BadRequest("the request gives a length and a transfer coding"));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(GatewayError::NotSupported("transfer codings other than `chunked`"));
    }
    Ok(())
}

fn names(headers: &mut HeaderMap, underscores: UnderscoreHeaders) -> Result<(), GatewayError> {
    let has_underscore = |name: &HeaderName| name.as_str().contains('_');
    match underscores {
        UnderscoreHeaders::Keep => {}
        UnderscoreHeaders::Reject => {
            if headers.keys().any(has_underscore) {
                return Err(GatewayError::BadRequest("`_` in the name of a header is not allowed here"));
            }
        }
        UnderscoreHeaders::Drop => {
            let found: Vec<HeaderName> = headers.keys().filter(|name| has_underscore(name)).cloned().collect();
            for name in found {
                headers.remove(name);
            }
        }
    }
    Ok(())
}

fn expectation(headers: &HeaderMap) -> Result<(), GatewayError> {
    let met = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(met) { Ok(()) } else { Err(GatewayError::ExpectationFailed) }
}

/// Whether the client wants to change the protocol. `h2c` is offered by clients that speak HTTP/1.1 as well, and an
/// offer may be ignored (RFC 9110 §7.8). A WebSocket is noted: a remote instance can give one, a guest cannot. Whoever
/// asks for anything else can do nothing with an ordinary answer.
fn upgrade(parts: &mut Parts) -> Result<(), GatewayError> {
    let headers = &parts.headers;
    let asks = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    if !headers.get_all(CONNECTION).iter().any(asks) {
        return Ok(());
    }
    let ignorable = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"h2c");
    if headers.get_all(UPGRADE).iter().all(ignorable) {
        return Ok(());
    }
    let mut wanted = headers.get_all(UPGRADE).iter();
    let is_websocket = matches!((wanted.next(), wanted.next()), (Some(value), None)
        if value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !is_websocket {
        return Err(GatewayError::NotSupported("upgrades to protocols other than WebSocket"));
    }
    if parts.method != Method::GET || parts.version != Version::HTTP_11 {
        return Err(GatewayError::BadRequest("a WebSocket is asked for by GET over HTTP/1.1"));
    }
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'));
    if has_body {
        return Err(GatewayError::BadRequest("a request to change the protocol cannot have a body"));
    }
    parts.extensions.insert(WebSocket);
    Ok(())
}

/// The authority that the client means. There is one, and it is nothing but a host, maybe with a port: whoever reads it
/// after us must not see another one in it. That of the target wins (RFC 9112 §3.2.2, RFC 9113 §8.3.1), and `Host` says
/// the same afterwards.
fn host(parts: &mut Parts) -> Result<String, GatewayError> {
    let mut sent = parts.headers.get_all(HOST).iter();
    let host = match (parts.uri.authority(), sent.next(), sent.next()) {
        (_, _, Some(_second)) => return Err(GatewayError::BadRequest("the request names more than one host")),
        (Some(authority), ..) => authority.clone(),
        (None, Some(host), None) => {
            Authority::try_from(host.as_bytes()).map_err(|_| GatewayError::BadRequest("the host is not valid"))?
        }
        (None, None, None) => return Err(GatewayError::BadRequest("the request names no host")),
    };
    let port = host.as_str().strip_prefix(host.host());
    let port_is_number = port.is_some_and(|port| port.is_empty() || port == ":" || host.port_u16().is_some());
    if host.host().is_empty() || !port_is_number {
        return Err(GatewayError::BadRequest("the host is not valid"));
    }
    let value = HeaderValue::from_str(host.as_str()).map_err(|_| GatewayError::BadRequest("the host is not valid"))?;
    parts.headers.insert(HOST, value);
    Ok(host.as_str().to_owned())
}

fn target(parts: &mut Parts, rules: &Requests) -> Result<(), GatewayError> {
    let length = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length as u64 > rules.max_uri.get() {
        return Err(GatewayError::UriTooLong);
    }
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !parts.uri.query().is_none_or(visible) {
        return Err(GatewayError::BadRequest("the query has only visible ASCII characters"));
    }
    let raw = parts.uri.path();
    // A request about the server as a whole (RFC 9110 §7.1), which no route can match.
    if raw == "*" && parts.method == Method::OPTIONS {
        return Ok(());
    }
    let normal = path::normalize(raw, rules).map_err(GatewayError::BadRequest)?;
    if normal != raw {
        parts.uri = with_path(&parts.uri, &normal, None).ok_or(GatewayError::BadRequest("the path is not valid"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
