//! Headers that belong to a hop and not to the message: what ends here, what we say about the client, and the request's
//! id.
//!
//! The order matters and is the caller's: first [`strip_request`], then [`forward`] and [`request_id`]. Were it the
//! other way round, a client could name our own headers in `Connection` and have them removed.
//!
//! Whom to believe: nobody, unless the peer's address is in `trustedProxies`. From anyone else every `X-Forwarded-*`,
//! `Forwarded` and `X-Real-IP` is dropped and ours are set. From a trusted proxy the list of addresses is read from the
//! right over trusted hops; the first address that is not ours is the client, and what stands left of it is cut off,
//! because only that client vouches for it. Names with `_` in place of `-` (`x_forwarded_for`) are dropped from
//! everybody: many servers fold the two into one.
//!
//! Never decided here: which headers are valid (the sanitizer's), and what the service may set on a response.

mod call;
mod client_cert;
mod forwarded;
mod hop;
mod trace;
mod trailers;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::{NoContext, Timestamp, Uuid};

pub(crate) use call::{call, drop_ours, is_about_user, outgoing};
pub use client_cert::ClientCertificate;
pub(crate) use client_cert::{CLIENT_CERT, client_cert};
pub(crate) use forwarded::{ClientIp, forward};
pub(crate) use hop::{strip_request, strip_response};
pub(crate) use trace::{Trace, trace};
pub(crate) use trailers::sanitize_trailers;

/// The header a request's id is sent in, to the service and back to the client.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Says that a request is a copy of another one. Ours alone: what a client says there is dropped.
pub(crate) const X_WHARF_MIRROR: HeaderName = HeaderName::from_static("x-wharf-mirror");

/// Longest id that is taken over from a trusted proxy, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// What a request is called in logs, in problem documents and by its service. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// A new one: a UUID version 7, so ids sort by time.
    pub(crate) fn new() -> Self {
        // The shared counter that keeps ids of one millisecond in order is a lock between cores; random bits do.
        let id = Uuid::new_v7(Timestamp::now(NoContext));
        let mut buffer = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut buffer);
        // Hex digits and hyphens always are a header value.
        Self(HeaderValue::from_str(text).unwrap_or(const { HeaderValue::from_static("unnamed") }))
    }

    /// That of a request which is known by it already.
    pub(crate) fn given(id: &str) -> Self {
        HeaderValue::from_str(id).map_or_else(|_| Self::new(), Self)
    }

    /// As text: 1 to 128 visible ASCII characters.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As header value, for `X-Request-Id` of the response.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

/// Names the request: the id a trusted peer gave it, if there is exactly one of 1 to 128 visible ASCII characters, else
/// a new one. The header then has this id, and only it.
pub(crate) fn request_id(headers: &mut HeaderMap, peer_trusted: bool) -> RequestId {
    let mut sent = headers.get_all(X_REQUEST_ID).iter();
    if let (true, Some(id), None) = (peer_trusted, sent.next(), sent.next())
        && (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.as_bytes().iter().all(u8::is_ascii_graphic)
    {
        return RequestId(id.clone());
    }
    let id = RequestId::new();
    headers.insert(X_REQUEST_ID, id.header());
    id
}

#[cfg(test)]
mod tests;
