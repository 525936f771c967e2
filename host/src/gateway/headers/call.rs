//! What only the gateway may say of a request, and what a call between services says of itself.
//!
//! A guest writes the headers of its calls, and its callee believes what the gateway says in them. So everything that
//! is the gateway's to say is taken away first: hop-by-hop headers, `X-Forwarded-*` and its like, the request's id, the
//! trace, the client's certificate, `X-Wharf-*`, each in any spelling that a service could take for it. Then the call
//! gets the id of the request it belongs to, a step of its own in the same trace, and the name of its caller. It has no
//! client address: its client is a service.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::client_cert::{CLIENT_CERT, client_cert};
use super::{RequestId, Trace, X_REQUEST_ID, forwarded, strip_request, trace};
use crate::capability::http::Caller;

/// Which service calls. Never there on a request from outside.
pub(crate) const X_WHARF_CALLER: HeaderName = HeaderName::from_static("x-wharf-caller");
/// Names that begin like this are the gateway's.
const OURS: &[u8] = b"x-wharf-";
/// Those among them that say who the client is. Filters set them; a call may repeat what its caller was told.
const USER: &[u8] = b"x-wharf-user-";

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Removes `X-Wharf-*`, in any spelling: nobody outside may speak in the gateway's name, trusted proxies included.
pub(crate) fn drop_ours(headers: &mut HeaderMap) {
    remove(headers, is_ours);
}

/// Whether a header says who the client is, whatever the configuration: one of a name that begins with `x-wharf-user-`.
pub(crate) fn is_about_user(name: &HeaderName) -> bool {
    begins(name, USER)
}

fn is_ours(name: &HeaderName) -> bool {
    begins(name, OURS)
}

fn begins(name: &HeaderName, start: &[u8]) -> bool {
    let same = |(sent, ours): (&u8, &u8)| sent == ours || (*sent == b'_' && *ours == b'-');
    let name = name.as_str().as_bytes();
    name.len() >= start.len() && name.iter().zip(start).all(same)
}

/// Puts the headers of a call in order. Of what it says about the client only the certificate is looked at: it stays if
/// the caller was told the same. Names of the client ([`is_about_user`] and those of the configuration) are for who
/// knows all of them.
pub(crate) fn call(headers: &mut HeaderMap, caller: &Caller) -> (RequestId, Trace) {
    strip_request(headers);
    let certificate = caller.identity.get(CLIENT_CERT).filter(|told| headers.get_all(CLIENT_CERT).iter().eq([*told]));
    client_cert(headers, None);
    if let Some(certificate) = certificate {
        headers.insert(CLIENT_CERT, certificate.clone());
    }
    let is_ours = |name: &HeaderName| is_ours(name) && !is_about_user(name);
    remove(headers, |name| is_ours(name) || forwarded::belongs_to_proxies(name));
    let id = RequestId::given(&caller.request_id);
    headers.insert(X_REQUEST_ID, id.header());
    for (name, value) in [(TRACEPARENT, &caller.trace.parent), (TRACESTATE, &caller.trace.state)] {
        headers.remove(&name);
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    // Names of services are header values: letters, digits and `-`.
    if let Ok(name) = HeaderValue::from_str(&caller.service) {
        headers.insert(X_WHARF_CALLER, name);
    }
    (id, trace(headers))
}

/// Puts the headers of a request to a host outside in order: nothing that only the gateway may say leaves it, but for
/// the trace, so that whoever follows it can go on there.
pub(crate) fn outgoing(headers: &mut HeaderMap, caller: &Caller) -> Trace {
    drop_ours(headers);
    for (name, value) in [(TRACEPARENT, &caller.trace.parent), (TRACESTATE, &caller.trace.state)] {
        headers.remove(&name);
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    trace(headers)
}

fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    if headers.keys().any(&unwanted) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::http;

    fn caller() -> Caller {
        let trace = http::Trace {
            parent: Some(HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
            state: Some(HeaderValue::from_static("vendor=1")),
        };
        Caller {
            service: "orders".into(),
            version: "1".into(),
            request_id: "id-1".into(),
            deadline: None,
            trace,
            identity: HeaderMap::new(),
            cause: None,
            path: Vec::new(),
        }
    }

    #[test]
    fn a_guest_cannot_speak_in_the_gateways_name() {
        let mut headers = HeaderMap::new();
        let forged = [
            "x-forwarded-for",
            "x_forwarded_for",
            "x-forwarded-anything",
            "forwarded",
            "x-real-ip",
            "x-request-id",
            "x_request_id",
            "traceparent",
            "tracestate",
            "client-cert",
            "client_cert",
            "client-cert-chain",
            "x-wharf-caller",
            "x_wharf_caller",
            "x-wharf_caller",
            "x-wharf-new",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "upgrade",
            "proxy-authorization",
        ];
        // Of users the configuration knows more: who calls this looks at all their names.
        let kept = ["accept", "authorization", "x-wharfage", "x-user", "x-wharf-user-id", "baggage"];
        for name in forged.iter().chain(&kept) {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("forged"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("twice"));
        }
        call(&mut headers, &caller());
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let said = ["traceparent", "tracestate", "x-request-id", "x-wharf-caller"];
        let mut expected: Vec<&str> = kept.into_iter().chain(said).collect();
        expected.sort_unstable();
        assert_eq!(left, expected);
        assert_eq!(headers.get_all(X_WHARF_CALLER).iter().collect::<Vec<_>>(), ["orders"]);
        assert_eq!(headers.get_all(X_REQUEST_ID).iter().collect::<Vec<_>>(), ["id-1"]);
    }

    #[test]
    fn a_call_is_a_step_of_its_own_in_its_callers_trace() {
        let mut headers = HeaderMap::new();
        let (_, trace) = call(&mut headers, &caller());
        assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
        let parent = headers.get(TRACEPARENT).unwrap().to_str().unwrap();
        assert!(parent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && parent.ends_with("-01"), "{parent}");
        assert!(!parent.contains("b7ad6b7169203331"), "{parent}");
        assert_eq!(headers.get(TRACESTATE).unwrap(), "vendor=1");
    }

    #[test]
    fn nobody_outside_is_a_caller() {
        let mut headers = HeaderMap::new();
        for name in ["x-wharf-caller", "x_wharf_caller", "x-wharf-user-id", "x-wharf-", "x-wharf", "x-wharves"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("orders"));
        }
        drop_ours(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-wharf", "x-wharves"]);
    }
}
