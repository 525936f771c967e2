//! Headers that come after a request's body: which of them a service sees.
//!
//! Everything that decides about a request was decided before they came, so none of them may say what the gateway
//! decided about or said itself: how the body is framed and what it is, whom the request is for, who asks, under which
//! conditions (RFC 9110 §6.5.1 forbids senders to do so). Whoever merges trailers into headers would believe them.
//!
//! The rest passes. A list of names that may pass would have to guess them: checksums and states of streams have names
//! of the services' own, which is what trailers are for. Names with `_` never pass, since many programs read it as `-`.

use http::{HeaderMap, HeaderName};

use super::forwarded::belongs_to_proxies;

/// What only headers can say; `if-…` and the names of proxies besides.
const FORBIDDEN: [&str; 34] = [
    // Framing and the connection.
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // Routing and control.
    "cache-control",
    "expect",
    "host",
    "max-forwards",
    "pragma",
    "range",
    // What the body is.
    "content-encoding",
    "content-location",
    "content-range",
    "content-type",
    // Who asks, and from where.
    "authorization",
    "client-cert",
    "client-cert-chain",
    "cookie",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "referer",
    "set-cookie",
    "user-agent",
    "www-authenticate",
    // The trace.
    "baggage",
    "traceparent",
    "tracestate",
    "via",
];

/// Removes trailers that a service must not see; see the module header.
pub(crate) fn sanitize_trailers(trailers: &mut HeaderMap) {
    if trailers.keys().any(is_forbidden) {
        let names: Vec<HeaderName> = trailers.keys().filter(|name| is_forbidden(name)).cloned().collect();
        for name in names {
            trailers.remove(name);
        }
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.contains('_') || text.starts_with("if-") || FORBIDDEN.contains(&text) || belongs_to_proxies(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn trailers_say_nothing_that_was_decided_before_them() {
        let mut trailers = HeaderMap::new();
        let kept = ["content-digest", "grpc-status", "server-timing", "x-checksum", "x-forwardedness"];
        let others = ["if-match", "if-none-match", "x-forwarded-for", "x-forwarded-x", "forwarded", "x-real-ip"];
        let aliases = ["x-request-id", "x_forwarded_for", "x_y", "content_length", "client_cert"];
        for name in kept.iter().chain(&FORBIDDEN).chain(&others).chain(&aliases) {
            for value in ["1", "2"] {
                trailers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
        }
        sanitize_trailers(&mut trailers);
        let mut left: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, kept);
        assert_eq!(trailers.len(), 2 * kept.len());
    }
}
