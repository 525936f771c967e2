//! Mistakes in filters: each is found once, and where it is.

use super::*;

/// A filter of a route that matches by prefix, the text at which the mistake is found, a piece of the message.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("cors: { maxAge: 1s }", "{ maxAge", "`allowOrigins` is missing"),
    ("cors: { allowOrigins: [] }", "allowOrigins", "no origin: name at least one"),
    ("cors: { allowOrigins: ['*', 'https://a'] }", "['*'", "`*` means all: give it alone"),
    ("cors: { allowOrigins: ['https://a/'] }", "'https://a/'", "is no origin"),
    ("cors: { allowOrigins: ['https://a:443'] }", "'https://a:443'", "leave the usual port out"),
    ("cors: { allowOrigins: ['null'] }", "'null'", "it names nobody"),
    ("cors: { allowOrigins: ['*'], allowMethods: [get] }", "get]", "`get` is no method"),
    ("cors: { allowOrigins: ['*'], allowHeaders: ['a b'] }", "'a b'", "`a b` is no header name"),
    ("cors: { allowOrigins: ['*'], maxAge: 1500ms }", "1500ms", "`1s500ms` is no whole number of seconds"),
    (
        "cors: { allowOrigins: ['*'], allowCredentials: true, exposeHeaders: ['*'] }",
        "['*'] }",
        "browsers do not take `*` together with",
    ),
    ("requestHeaders: {}", "{} }", "changes nothing"),
    ("requestHeaders: { set: { Host: a } }", "Host", "`host` is changed by `rewrite.host`"),
    ("responseHeaders: { add: { Content-Length: 5 } }", "Content-Length", "belongs to one connection"),
    ("responseHeaders: { remove: [x-request-id] }", "x-request-id", "is the gateway's own"),
    ("requestHeaders: { set: { x_forwarded_for: a } }", "x_forwarded_for", "is the gateway's own"),
    ("requestHeaders: { set: { a: b }, remove: [A] }", "A]", "`a` is named twice"),
    ("requestHeaders: { set: { a: \"b\\r\\nc: d\" } }", "\"b", "cannot contain control characters"),
    ("rewrite: {}", "{} }", "changes nothing: give `prefix`, `path` or `host`"),
    ("rewrite: { path: /a, prefix: /b }", "path: /a", "`prefix` and `path` both say the new path"),
    ("rewrite: { path: a }", "a }", "`a` is no path"),
    ("rewrite: { host: A.example }", "A.example", "`A.example` is no host"),
    ("rewrite: { host: 'a:0' }", "'a:0'", "has no port from 1 to 65535"),
    ("fault: {}", "{} }", "does nothing: give `delay` or `abort`"),
    ("fault: { header: x-fault }", "{ header", "does nothing: give `delay` or `abort`"),
    ("fault: { delay: { duration: 1s } }", "{ duration", "`percent` is missing"),
    ("fault: { delay: { duration: 0s, percent: 1 } }", "0s", "`0s` is out of bounds: 1ms to 1h"),
    ("fault: { delay: { duration: 61m, percent: 1 } }", "61m", "`1h1m` is out of bounds: 1ms to 1h"),
    ("fault: { delay: { duration: 1s, percent: 101 } }", "101", "`101` is no percentage: write a number from 0 to 100"),
    ("fault: { delay: { duration: 1s, percent: -1 } }", "-1", "`-1` is no percentage"),
    ("fault: { delay: { duration: 1s, percent: 0.00001 } }", "0.00001", "at most four decimals"),
    ("fault: { delay: { duration: 1s, percent: '5%' } }", "'5%'", "expected a number from 0 to 100"),
    ("fault: { delay: { duration: 1s, percent: .nan } }", ".nan", "a number from 0 to 100"),
    ("fault: { abort: { percent: 1 } }", "{ percent", "`status` is missing"),
    ("fault: { abort: { status: 399, percent: 1 } }", "399", "`399` is out of bounds: 400 to 599"),
    ("fault: { abort: { status: 600, percent: 1 } }", "600", "`600` is out of bounds: 400 to 599"),
    ("fault: { abort: { status: 500, percent: 1 }, header: 'a b' }", "'a b'", "`a b` is no header name"),
    ("fault: { abort: { status: 500, percent: 1 }, maxActive: 0 }", "0 }", "`0` is out of bounds: 1 to 100000"),
    ("fault: { abort: { status: 500, percent: 1 }, delays: {} }", "delays", "unknown field `delays`"),
    ("mirror: { percent: 5 }", "{ percent", "`service` is missing"),
    ("mirror: { service: A }", "A }", "`A` is no service name"),
    ("mirror: { service: a, version: '' }", "''", "an empty version"),
    ("mirror: { service: a, percent: 100.5 }", "100.5", "`100.5` is no percentage"),
    ("mirror: { service: a, maxBodySize: 17MiB }", "17MiB", "`17MiB` is out of bounds: 0B to 16MiB"),
    ("mirror: { service: a, timeout: 0s }", "0s", "`0s` is out of bounds: 1ms to 1h"),
    ("mirror: { service: a, maxConcurrent: 0 }", "0 }", "`0` is out of bounds: 1 to 10000"),
    ("requestHeaders: { set: { x-wharf-mirror: a } }", "x-wharf-mirror", "is the gateway's own"),
    ("redirect: {}", "{} }", "would redirect to itself"),
    ("redirect: { path: /a, status: 200 }", "200", "`200` is no redirect"),
    ("redirect: { scheme: ftp }", "ftp", "unknown value `ftp`"),
    ("redirect: { port: 0 }", "0 }", "`0` is out of bounds: 1 to 65535"),
    ("redirect: { host: 'a:80' }", "'a:80'", "`a:80` is no host"),
    ("staticResponse: { status: 100 }", "100", "`100` is out of bounds: 200 to 599"),
    ("staticResponse: { status: 204, body: x }", "body", "a response with status 204 has no body"),
    ("staticResponse: { headers: { Content-Type: a/b } }", "Content-Type", "is given by `contentType`"),
    ("staticResponse: { contentType: '' }", "''", "write a media type"),
    ("cacheControl: {}", "{} }", "says nothing: give `scope` or `maxAge`"),
    ("cacheControl: { scope: noStore, maxAge: 1h }", "maxAge", "`noStore` leaves nothing to be kept"),
    ("cacheControl: { scope: private, sharedMaxAge: 1h }", "sharedMaxAge", "shared caches do not keep"),
    ("cacheControl: { maxAge: 1h, mustRevalidate: true, staleIfError: 1m }", "staleIfError", "forbids stale"),
    ("cacheControl: { maxAge: 1ms }", "1ms", "`1ms` is no whole number of seconds"),
    ("cacheControl: { maxAge: 1s, statuses: [99] }", "99", "`99` is out of bounds: 200 to 599"),
    ("cacheControl: { maxAge: 1s, statuses: [] }", "[] }", "no status: name at least one"),
    ("bodyLimit: { max: lots }", "lots", "`lots` is no size"),
    ("compression: { algorithms: [deflate] }", "deflate", "unknown value `deflate`"),
    ("compression: { algorithms: [br, br] }", "br] }", "named twice"),
    ("compression: { algorithms: [] }", "[] }", "an empty list compresses nothing"),
    ("compression: { types: [Text/html] }", "Text/html", "`Text/html` is no media type"),
];

fn complaints_about(path: &str, filter: &str) -> (String, Vec<String>) {
    let text = format!(
        "routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ {path}: /p }} }}], filters: [{{ {filter} }}], \
         backendRefs: [{{ service: a }}] }}] }}]"
    );
    let found = complaints(&[("gateway.yaml", &text)], None);
    (text, found)
}

#[test]
fn every_mistake_in_a_filter_is_found_where_it_is() {
    for (filter, place, message) in MISTAKES {
        let (text, found) = complaints_about("prefix", filter);
        let start = text.find(filter).unwrap();
        let column = start + text[start..].find(place).unwrap() + 1;
        assert_eq!(found.len(), 1, "{filter}: {found:#?}");
        assert!(found[0].starts_with(&format!("gateway.yaml:1:{column} ")), "{filter}: want {column}, {found:#?}");
        assert!(found[0].contains(message), "{filter}: want {message}, {found:#?}");
    }
}

#[test]
fn only_what_replaces_a_prefix_needs_one() {
    for filter in ["rewrite: { path: /a, host: b }", "redirect: { path: /a }"] {
        assert_eq!(complaints_about("exact", filter).1, [""; 0], "{filter}");
    }
    for name in ["rewrite", "redirect"] {
        let (_, found) = complaints_about("exact", &format!("{name}: {{ prefix: /a }}"));
        assert!(found.len() == 1 && found[0].contains(&format!("`{name}` replaces a matched prefix")), "{found:?}");
    }
}

#[test]
fn a_static_body_is_bounded() {
    let filter = |size| format!("staticResponse: {{ body: {} }}", "x".repeat(size));
    assert_eq!(complaints_about("prefix", &filter(64 << 10)).1, [""; 0]);
    assert!(complaints_about("prefix", &filter((64 << 10) + 1)).1[0].contains("too long: at most 64KiB"));
}

#[test]
fn two_rate_limits_of_a_list_have_two_names() {
    let limits = |first: &str, second: &str| {
        let text = format!(
            "filters:\n  - rateLimit: {{ requests: 1, per: 1s{first} }}\n  - rateLimit: {{ requests: 9, per: 1h{second} }}\n"
        );
        complaints(&[("gateway.yaml", &text)], None)
    };
    assert_eq!(limits("", ""), [""; 0]);
    assert_eq!(limits(", name: a", ", name: b"), [""; 0]);
    let found = limits(", name: a", ", name: a");
    assert!(found.len() == 1 && found[0].starts_with("gateway.yaml:3:"), "{found:?}");
    assert!(found[0].contains("a second rate limit named `a`"), "{found:?}");
}

#[test]
fn mirrors_of_a_list_have_different_targets() {
    let mirrors = |first: &str, second: &str| {
        let text = format!("filters:\n  - mirror: {{ service: {first} }}\n  - mirror: {{ service: {second} }}\n");
        complaints(&[("gateway.yaml", &text)], None)
    };
    assert_eq!(mirrors("a", "b"), [""; 0]);
    assert_eq!(mirrors("a", "a, version: '2'"), [""; 0]);
    let found = mirrors("a, version: '2'", "a, version: 2, percent: 5");
    assert!(found.len() == 1 && found[0].starts_with("gateway.yaml:3:"), "{found:?}");
    assert!(found[0].contains("a second mirror to `a@2` in one list"), "{found:?}");
}

#[test]
fn a_path_that_no_request_can_have_decides_nothing() {
    for (path, message) in [
        ("/caf%c3%a9", "write `%C3`"),
        ("/%7Euser", "write `~`"),
        ("/%61dmin", "write `a`"),
        ("/100%", "encodes nothing"),
        ("/%zz", "encodes nothing"),
        ("/café", "visible ASCII"),
        ("/a|b", "write `%7C`"),
    ] {
        let filter =
            format!("authorization: {{ default: allow, rules: [{{ deny: {{ paths: [{{ prefix: {path} }}] }} }}] }}");
        let found = complaints_about("prefix", &filter).1;
        assert!(found.len() == 1 && found[0].contains(message), "{path}: {found:?}");
    }
    for path in ["/caf%C3%A9", "/a%20b", "/~user", "/@scope/x", "/a:b"] {
        let filter =
            format!("authorization: {{ default: allow, rules: [{{ deny: {{ paths: [{{ prefix: '{path}' }}] }} }}] }}");
        assert_eq!(complaints_about("prefix", &filter).1, [""; 0], "{path}");
    }
}
