use proptest::prelude::*;

use super::*;

fn cors(text: &str) -> Cors {
    Cors::new(&serde_json::from_str(text).unwrap())
}

fn request(method: &str, headers: &[(&'static str, &str)]) -> Parts {
    let (mut parts, ()) = http::Request::builder().method(method).body(()).unwrap().into_parts();
    for (name, value) in headers {
        parts.headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    parts
}

fn all(headers: &HeaderMap, name: &str) -> String {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(", ")
}

/// What a preflight from `origin` for `PUT` with two headers is told: origin, methods, headers, credentials.
fn told(cors: &Cors, origin: &str) -> [String; 4] {
    let parts = request(
        "OPTIONS",
        &[
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-header-1, x-header-2"),
        ],
    );
    let answer = cors.preflight(&parts).unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(all(answer.headers(), "vary"), "origin, access-control-request-method, access-control-request-headers");
    ["origin", "methods", "headers", "credentials"]
        .map(|name| all(answer.headers(), &format!("access-control-allow-{name}")))
}

/// Port of HTTPRouteCORS: which origins are allowed.
#[test]
fn origins_match_exactly_or_by_their_rightmost_labels() {
    let filter = cors(r#"{ "allowOrigins": ["https://www.foo.com", "https://*.bar.com", "http://x.com:12345"] }"#);
    for (origin, allowed) in [
        ("https://www.foo.com", true),
        ("https://www.bar.com", true),
        ("https://xpto.www.bar.com", true),
        ("http://x.com:12345", true),
        ("https://bar.com", false),
        ("https://.bar.com", false),
        ("http://www.bar.com", false),
        ("https://www.bar.com:8443", false),
        ("https://foobar.com", false),
        ("https://www.bar.com.evil.com", false),
        ("https://evil.com/.bar.com", false),
        ("https://evil.com#.bar.com", false),
        ("https://a@b.bar.com", false),
        ("https://WWW.foo.com", false),
        ("https://www.foo.com/", false),
        ("http://x.com", false),
        ("http://x.com:1234", false),
        ("null", false),
        ("", false),
    ] {
        let [told, methods, ..] = told(&filter, origin);
        assert_eq!(told, if allowed { origin } else { "" }, "{origin}");
        assert_eq!(methods, if allowed { "GET, HEAD, POST" } else { "" }, "{origin}");
        let mut headers = HeaderMap::new();
        filter.respond(HeaderValue::from_str(origin).ok().as_ref(), &mut headers);
        assert_eq!(headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), allowed, "{origin}");
        assert_eq!(all(&headers, "vary"), "origin");
    }
}

/// Port of HTTPRouteCORS: lists, `*` and credentials.
#[test]
fn a_star_is_never_sent_beside_credentials() {
    let plain = cors(r#"{ "allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"] }"#);
    assert_eq!(told(&plain, "https://foo.com:12345"), ["*", "*", "*", ""]);
    assert_eq!(told(&plain, "null"), ["*", "*", "*", ""]);
    let credentials =
        cors(r#"{ "allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"], "allowCredentials": true }"#);
    let want = ["https://foo.com:12345", "PUT", "x-header-1, x-header-2", "true"];
    assert_eq!(told(&credentials, "https://foo.com:12345"), want);
    assert_eq!(told(&credentials, "null"), ["", "", "", ""], "sandboxed pages get no credentials");
    let lists = cors(
        r#"{ "allowOrigins": ["https://a"], "allowMethods": ["GET", "OPTIONS"], "allowHeaders": ["x-1", "x-2"] }"#,
    );
    assert_eq!(told(&lists, "https://a"), ["https://a", "GET, OPTIONS", "x-1, x-2", ""]);
}

#[test]
fn the_answer_may_be_kept_as_long_as_configured() {
    for (text, want) in [("", "5"), (r#", "maxAge": "1h""#, "3600")] {
        let filter = cors(&format!(r#"{{ "allowOrigins": ["*"]{text} }}"#));
        let parts = request("OPTIONS", &[("origin", "https://a"), ("access-control-request-method", "GET")]);
        assert_eq!(filter.preflight(&parts).unwrap().headers()[ACCESS_CONTROL_MAX_AGE], want);
    }
}

#[test]
fn only_preflights_are_answered() {
    let filter = cors(r#"{ "allowOrigins": ["*"] }"#);
    for (method, headers) in [
        ("OPTIONS", &[("origin", "https://a")][..]),
        ("OPTIONS", &[("access-control-request-method", "GET")]),
        ("GET", &[("origin", "https://a"), ("access-control-request-method", "GET")]),
        ("OPTIONS", &[]),
    ] {
        assert!(filter.preflight(&request(method, headers)).is_none(), "{method} {headers:?}");
    }
}

#[test]
fn several_origins_are_none() {
    let filter = cors(r#"{ "allowOrigins": ["*"] }"#);
    let headers = [("origin", "https://a"), ("origin", "https://b"), ("access-control-request-method", "GET")];
    let answer = filter.preflight(&request("OPTIONS", &headers)).unwrap();
    assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[test]
fn what_the_service_says_about_origins_is_replaced() {
    let filter =
        cors(r#"{ "allowOrigins": ["https://a"], "exposeHeaders": ["x-1", "x-2"], "allowCredentials": true }"#);
    let mut headers = HeaderMap::new();
    for name in OWN {
        headers.append(&name, HeaderValue::from_static("theirs"));
        headers.append(&name, HeaderValue::from_static("theirs too"));
    }
    let mut other = headers.clone();
    filter.respond(Some(&HeaderValue::from_static("https://a")), &mut headers);
    assert_eq!(all(&headers, "access-control-allow-origin"), "https://a");
    assert_eq!(all(&headers, "access-control-allow-credentials"), "true");
    assert_eq!(all(&headers, "access-control-expose-headers"), "x-1, x-2");
    assert_eq!(headers.len(), 4, "{headers:?}");
    filter.respond(None, &mut other);
    assert_eq!((other.len(), all(&other, "vary")), (1, "origin".to_owned()));
}

proptest! {
    #[test]
    fn no_origin_makes_it_panic_or_is_allowed_by_mistake(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let filter = cors(r#"{ "allowOrigins": ["https://*.bar.com"], "allowMethods": ["*"], "allowCredentials": true }"#);
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut headers = HeaderMap::new();
            filter.respond(Some(&value), &mut headers);
            prop_assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) || bytes.ends_with(b".bar.com"));
            let mut parts = request("OPTIONS", &[("origin", "https://a.bar.com")]);
            parts.headers.insert(ACCESS_CONTROL_REQUEST_METHOD, value.clone());
            parts.headers.insert(ACCESS_CONTROL_REQUEST_HEADERS, value);
            prop_assert!(filter.preflight(&parts).is_some());
        }
    }
}
