use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// All headers as `name: value`, sorted.
fn shown(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn from(peer: &str, sent: &[(&str, &str)], trusted: &[&str]) -> (HeaderMap, ClientIp) {
    let mut headers = headers(sent);
    let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
    let client = forward(&mut headers, SocketAddr::new(ip(peer), 5000), "http", Some("a.example:8080"), 8080, &trusted);
    (headers, client)
}

const OURS: [&str; 4] = [
    "x-forwarded-for: 192.0.2.1",
    "x-forwarded-host: a.example:8080",
    "x-forwarded-port: 8080",
    "x-forwarded-proto: http",
];

#[test]
fn what_is_for_one_connection_only_ends_here() {
    let mut sent = headers(&[
        ("connection", "close, X-Custom"),
        ("connection", "x-other ,,"),
        ("x-custom", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("trailer", "expires"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authorization", "Basic x"),
        ("accept", "*/*"),
    ]);
    strip_request(&mut sent);
    assert_eq!(shown(&sent), ["accept: */*", "trailer: expires"], "the announcement of trailers is for the service");
}

#[test]
fn te_keeps_trailers_and_nothing_else() {
    for te in ["trailers", "gzip;q=0.5, Trailers", "trailers;q=0.5"] {
        let mut sent = headers(&[("connection", "te"), ("te", te)]);
        strip_request(&mut sent);
        assert_eq!(shown(&sent), ["te: trailers"], "{te}");
    }
}

#[test]
fn connection_cannot_name_what_says_what_the_message_is() {
    let mut sent = headers(&[("connection", "host, content-length"), ("host", "a"), ("content-length", "3")]);
    strip_request(&mut sent);
    assert_eq!(shown(&sent), ["content-length: 3", "host: a"]);
}

#[test]
fn a_response_keeps_its_announcement_of_trailers() {
    let mut sent = headers(&[
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("trailer", "grpc-status"),
    ]);
    strip_response(&mut sent);
    assert_eq!(shown(&sent), ["trailer: grpc-status"]);
}

#[test]
fn a_client_cannot_have_our_headers_removed() {
    // As CVE-2024-45410: naming them in `Connection`.
    let mut sent = headers(&[("connection", "x-forwarded-for, x-forwarded-host")]);
    strip_request(&mut sent);
    forward(&mut sent, SocketAddr::new(ip("192.0.2.1"), 1), "http", Some("a.example:8080"), 8080, &[]);
    assert_eq!(shown(&sent), OURS);
}

#[test]
fn an_untrusted_peer_is_told_nothing_but_the_truth_about() {
    let (headers, client) = from(
        "192.0.2.1",
        &[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-prefix", "/admin"),
            ("x-forwarded-user", "root"),
            ("x-real-ip", "6.6.6.6"),
            ("x-wharf-mirror", "true"),
            ("forwarded", "for=6.6.6.6"),
        ],
        &["10.0.0.0/8"],
    );
    assert_eq!(shown(&headers), OURS);
    assert_eq!(client, ClientIp { address: ip("192.0.2.1"), peer_trusted: false });
}

#[test]
fn underscores_are_no_way_around() {
    let sent = [
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded_host", "evil.example"),
        ("x_real_ip", "6.6.6.6"),
        ("x_request_id", "forged"),
        ("x_wharf_mirror", "true"),
        ("x_unrelated", "stays"),
    ];
    let (headers, _) = from("192.0.2.1", &sent, &[]);
    assert_eq!(shown(&headers), [&OURS[..], &["x_unrelated: stays"]].concat());
    let (headers, _) = from("10.0.0.1", &sent, &["10.0.0.0/8"]);
    assert!(headers.keys().all(|name| !name.as_str().contains('_') || name == "x_unrelated"), "{headers:?}");
}

#[test]
fn a_list_from_trusted_proxies_is_walked_from_the_right() {
    let cases: [(&[&str], &str, &str); 10] = [
        // Nobody named: the proxy itself asks.
        (&[], "10.0.0.1", "10.0.0.1"),
        (&["203.0.113.9"], "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        (&["203.0.113.9, 10.0.0.2"], "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1"),
        // What the client said itself is cut off.
        (&["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1"),
        // Several lines are one list.
        (&["1.1.1.1", "203.0.113.9", "10.0.0.2"], "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1"),
        // Only trusted hops: the leftmost of them.
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3", "10.0.0.3, 10.0.0.2, 10.0.0.1"),
        // No address: whoever said so is the last we know.
        (&["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2", "10.0.0.2, 10.0.0.1"),
        (&["203.0.113.9:4711"], "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        (&["[2001:db8::1]:80, 10.0.0.2"], "2001:db8::1", "2001:db8::1, 10.0.0.2, 10.0.0.1"),
        (&["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9", "203.0.113.9, 10.0.0.2, 10.0.0.1"),
    ];
    for (lines, client, chain) in cases {
        let sent: Vec<(&str, &str)> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let (headers, found) = from("10.0.0.1", &sent, &["10.0.0.0/8"]);
        assert_eq!(found, ClientIp { address: ip(client), peer_trusted: true }, "{lines:?}");
        let passed: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        assert_eq!(passed, [chain], "{lines:?}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_where_it_makes_sense() {
    let (headers, _) = from(
        "10.0.0.1",
        &[
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/shop"),
            ("x-real-ip", "203.0.113.9"),
        ],
        &["10.0.0.0/8"],
    );
    let expected = [
        "x-forwarded-for: 10.0.0.1",
        "x-forwarded-host: shop.example",
        "x-forwarded-port: 443",
        "x-forwarded-prefix: /shop",
        "x-forwarded-proto: https",
        "x-real-ip: 203.0.113.9",
    ];
    assert_eq!(shown(&headers), expected);
    let nonsense = [
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a b"),
        ("x-forwarded-port", "x"),
        ("x-forwarded-port", "1"),
    ];
    let (headers, _) = from("10.0.0.1", &nonsense, &["10.0.0.0/8"]);
    assert_eq!(shown(&headers)[1..], OURS[1..]);
}

#[test]
fn an_ipv4_peer_on_an_ipv6_socket_is_an_ipv4_peer() {
    let (headers, client) = from("::ffff:192.0.2.1", &[], &["192.0.2.0/24"]);
    assert_eq!(client, ClientIp { address: ip("192.0.2.1"), peer_trusted: true });
    assert_eq!(shown(&headers), OURS);
    let (headers, _) = from("2001:db8::1", &[], &[]);
    assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
}

#[test]
fn without_a_host_none_is_claimed() {
    let mut sent = headers(&[("x-forwarded-host", "evil.example")]);
    forward(&mut sent, SocketAddr::new(ip("192.0.2.1"), 1), "https", None, 443, &[]);
    assert_eq!(shown(&sent), ["x-forwarded-for: 192.0.2.1", "x-forwarded-port: 443", "x-forwarded-proto: https"]);
}

#[test]
fn a_request_id_is_a_version_7_uuid_and_replaces_what_a_client_sent() {
    let mut sent = headers(&[("x-request-id", "mine"), ("x-request-id", "too")]);
    let id = request_id(&mut sent, false);
    assert_eq!(Uuid::parse_str(id.as_str()).unwrap().get_version_num(), 7);
    assert_eq!(shown(&sent), [format!("x-request-id: {}", id.as_str())]);
    assert_eq!(id.header(), id.as_str());
    assert_ne!(RequestId::new(), RequestId::new());
}

#[test]
fn a_request_id_is_kept_only_from_a_trusted_peer_and_only_if_it_is_one() {
    let kept = |sent: &[(&str, &str)]| {
        let mut sent = headers(sent);
        let id = request_id(&mut sent, true);
        assert_eq!(shown(&sent), [format!("x-request-id: {}", id.as_str())]);
        id
    };
    assert_eq!(kept(&[("x-request-id", "edge-1")]).as_str(), "edge-1");
    let longest = "x".repeat(128);
    assert_eq!(kept(&[("x-request-id", &longest)]).as_str(), longest);
    for bad in ["", "a b", "é", &"x".repeat(129)] {
        assert_ne!(kept(&[("x-request-id", bad)]).as_str(), bad);
    }
    assert_ne!(kept(&[("x-request-id", "a"), ("x-request-id", "b")]).as_str(), "a");
}
