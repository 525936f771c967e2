//! Headers for one connection only (RFC 9110 §7.6.1): they are never passed on.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What goes even if `Connection` does not name it.
const ALWAYS: [HeaderName; 7] =
    [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];

/// Removes what a client said to this gateway only: `Connection` and every header it names, `Keep-Alive`,
/// `Proxy-Connection`, `TE` (but `trailers`, which asks the service for them), `Transfer-Encoding`, `Upgrade` and the
/// proxy credentials. `Trailer` stays: over HTTP/1.1 only trailers that it announces are sent, so a service that passes
/// them on must see it.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let trailers = headers.get_all(TE).iter().any(|value| tokens(value).any(|t| t.eq_ignore_ascii_case("trailers")));
    strip(headers);
    if trailers {
        headers.insert(TE, const { HeaderValue::from_static("trailers") });
    }
}

/// Removes what a service said to this gateway only; as [`strip_request`].
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip(headers);
}

fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let values: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
        for name in values.iter().flat_map(tokens) {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
                // These two say what the message is, and nobody may have them forgotten on the way.
                && name != HOST
                && name != CONTENT_LENGTH
            {
                headers.remove(name);
            }
        }
        headers.remove(CONNECTION);
    }
    for name in ALWAYS {
        headers.remove(name);
    }
}

/// The members of a comma-separated header value, without parameters.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').filter_map(|item| item.split(';').next()).map(str::trim)
}
