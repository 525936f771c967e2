//! Why another server gave no response, in the words that decide about a second try.

use std::fmt::Write;

use crate::plugin::CallError;

/// A request that got no response, or a response that broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The server has seen nothing of the request, so anybody may try again.
    #[error("not delivered: {0}")]
    NotDelivered(#[from] NotDelivered),
    /// The connection ended before the response did. The server may have acted on the request.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// There was no response, or no more of it, in time.
    #[error("no response in time")]
    Timeout,
    /// What came is no response that can be passed on.
    #[error("the response is not valid: {0}")]
    InvalidResponse(String),
    /// The request's own body failed; the server is not to blame.
    #[error(transparent)]
    Request(CallError),
}

/// Why nothing of a request was delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// The name has no address, or nobody could say.
    #[error("the name was not resolved: {0}")]
    Dns(String),
    /// No address is one that may be asked.
    #[error("the address {0} may not be asked")]
    Forbidden(String),
    /// No connection came about: refused, unreachable …
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No connection, TLS and all, came about in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The TLS handshake failed: a certificate that is not trusted, for one.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// All connections that there may be are in use.
    #[error("all connections are in use")]
    PoolFull,
    /// The server said that it has not looked at the request (HTTP/2).
    #[error("the server refused to begin with it")]
    Refused,
    /// The server does not speak what the request needs.
    #[error("not possible over the protocol of this instance")]
    Protocol,
}

/// What libraries say is in the causes.
pub(super) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// hyper's error about a request that may have been written, and that got no head of a response.
pub(super) fn of_request(error: &hyper::Error) -> UpstreamError {
    if error.is_parse() {
        return UpstreamError::InvalidResponse(with_causes(error));
    }
    if was_not_begun(error) {
        return NotDelivered::Refused.into();
    }
    UpstreamError::Broken(with_causes(error))
}

/// Whether an HTTP/2 server promised that it did nothing (RFC 9113 §8.7): it refused the stream, or left the stream
/// out of those that its GOAWAY names.
fn was_not_begun(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM));
        }
        cause = error.source();
    }
    false
}
