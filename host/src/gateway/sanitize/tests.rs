use http::{Request, Version};

use super::*;

const MAX_HEADERS: u32 = 100;

fn look(request: http::request::Builder, rules: &Requests) -> (Result<String, GatewayError>, Parts) {
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    (sanitize(&mut parts, rules, MAX_HEADERS), parts)
}

fn get(target: &str) -> http::request::Builder {
    Request::get(target).header("host", "a.test")
}

fn websocket() -> http::request::Builder {
    get("/").header("connection", "keep-alive, Upgrade").header("upgrade", "WebSocket")
}

fn status(request: http::request::Builder) -> u16 {
    look(request, &Requests::default()).0.map_or_else(|error| error.status().as_u16(), |_| 200)
}

#[test]
fn each_malformed_request_gets_its_answer() {
    let long = format!("/{}", "a".repeat(9000));
    // With `host`.
    let some = (1..MAX_HEADERS).fold(get("/"), |request, n| request.header(format!("x-{n}"), "1"));
    let many = (0..MAX_HEADERS).fold(get("/"), |request, n| request.header(format!("x-{n}"), "1"));
    for (what, request, expected) in [
        ("ordinary", get("/a?b=c"), 200),
        ("no host", Request::get("/"), 400),
        ("two hosts", get("/").header("host", "b.test"), 400),
        ("a host with a path", Request::get("/").header("host", "a/b"), 400),
        ("a host with a user", Request::get("/").header("host", "u@a.test"), 400),
        ("a host with a bad port", Request::get("/").header("host", "a.test:x"), 400),
        ("an empty host", Request::get("/").header("host", ""), 400),
        ("length and coding", get("/").header("content-length", "1").header("transfer-encoding", "chunked"), 400),
        ("two lengths", get("/").header("content-length", "1").header("content-length", "1"), 400),
        ("chunked", get("/").header("transfer-encoding", "Chunked"), 200),
        ("gzip, chunked", get("/").header("transfer-encoding", "gzip, chunked"), 501),
        ("chunked twice", get("/").header("transfer-encoding", "chunked").header("transfer-encoding", "chunked"), 501),
        ("CONNECT", get("/").method("CONNECT"), 501),
        ("TRACE", get("/").method("TRACE"), 405),
        ("TRACK", get("/").method("TRACK"), 405),
        ("a method of one's own", get("/").method("get"), 200),
        ("100-continue", get("/").header("expect", "100-Continue"), 200),
        ("another expectation", get("/").header("expect", "200-ok"), 417),
        ("a WebSocket", websocket(), 200),
        ("a WebSocket by POST", websocket().method("POST"), 400),
        ("a WebSocket over HTTP/1.0", websocket().version(Version::HTTP_10), 400),
        ("a WebSocket with a body", websocket().header("content-length", "1"), 400),
        ("a WebSocket with chunks", websocket().header("transfer-encoding", "chunked"), 400),
        ("a WebSocket without a body", websocket().header("content-length", "0"), 200),
        ("two protocols", websocket().header("upgrade", "h2c"), 501),
        ("a list of protocols", get("/").header("connection", "upgrade").header("upgrade", "websocket, h2c"), 501),
        ("another protocol", get("/").header("connection", "upgrade").header("upgrade", "tls/1.0"), 501),
        ("h2c is offered", get("/").header("connection", "Upgrade, HTTP2-Settings").header("upgrade", "h2c"), 200),
        ("an upgrade that is not asked for", get("/").header("upgrade", "websocket"), 200),
        ("an underscore", get("/").header("x_y", "1"), 400),
        ("too long", get(&long), 414),
        ("as many headers as may be", some, 200),
        ("too many headers", many, 431),
        ("an encoded slash", get("/a%2fb"), 400),
        ("a NUL", get("/a%00"), 400),
        ("the server as a whole", get("*").method("OPTIONS"), 200),
        ("a star with another method", get("*"), 400),
    ] {
        assert_eq!(status(request), expected, "{what}");
    }
}

#[test]
fn what_is_seen_on_the_wire_only_comes_first() {
    for (unsupported, expected) in [(false, 400), (true, 501)] {
        let flaw = HeadFlaw { unsupported, detail: "odd" };
        assert_eq!(status(get("/").extension(flaw)), expected);
    }
}

#[test]
fn the_authority_of_the_target_wins_and_host_says_the_same() {
    for request in [
        Request::get("http://target.test:81/x").header("host", "other.test"),
        Request::get("http://target.test:81/x").version(Version::HTTP_2),
    ] {
        let (host, parts) = look(request, &Requests::default());
        assert_eq!(host.unwrap(), "target.test:81");
        assert_eq!(parts.headers.get_all("host").iter().collect::<Vec<_>>(), ["target.test:81"]);
    }
}

#[test]
fn the_path_is_in_its_one_spelling_and_the_query_untouched() {
    let (_, parts) = look(get("/x/%2e%2e//%61?q=%2e%2e/%61//;"), &Requests::default());
    assert_eq!(parts.uri, "/a?q=%2e%2e/%61//;");
}

#[test]
fn configuration_decides_what_becomes_of_underscores() {
    let headers = |word: &str| {
        let rules = serde_json::from_value(serde_json::json!({ "underscoreHeaders": word })).unwrap();
        let (result, parts) = look(get("/").header("x_y", "1").header("x-y", "2"), &rules);
        result.is_ok().then(|| (parts.headers.contains_key("x_y"), parts.headers.contains_key("x-y")))
    };
    assert_eq!(headers("reject"), None);
    assert_eq!(headers("drop"), Some((false, true)));
    assert_eq!(headers("keep"), Some((true, true)));
}

#[test]
fn a_limit_on_the_address_is_what_is_configured() {
    let rules = serde_json::from_value(serde_json::json!({ "maxUri": "300B" })).unwrap();
    for (length, expected) in [(300, true), (301, false)] {
        let target = format!("/{}?{}", "a".repeat(100), "b".repeat(length - 102));
        assert_eq!(look(get(&target), &rules).0.is_ok(), expected, "{length}");
    }
}
