use std::sync::Arc;

use super::*;
use crate::gateway::Secure;

fn connection(listener: &str, server_name: Option<&str>) -> Connection {
    let secure = Secure { server_name: server_name.map(str::to_owned), version: "TLSv1.3", client_certificate: None };
    Connection {
        peer: "192.0.2.1:1".parse().unwrap(),
        local: "192.0.2.2:443".parse().unwrap(),
        listener: listener.into(),
        secure: Some(Arc::new(secure)),
    }
}

fn gateway(listeners: serde_json::Value) -> config::Gateway {
    serde_json::from_value(serde_json::json!({ "listeners": listeners })).unwrap()
}

fn tls() -> serde_json::Value {
    serde_json::json!({ "certificates": [{ "cert": "a", "key": "b" }] })
}

/// The four listeners of the conformance suite's gateway, which share one port.
fn edge() -> Edge {
    let listener = |name: &str, hostname: Option<&str>| serde_json::json!({ "name": name, "address": "192.0.2.2:443", "hostname": hostname, "tls": tls() });
    Edge::new(&gateway(serde_json::json!([
        listener("https", None),
        listener("second", Some("second-example.org")),
        listener("wildcard", Some("*.wildcard.org")),
        listener("fourth", Some("fourth-example.wildcard.org")),
    ])))
}

/// Port of the Gateway API's `httproute-https-listener-detect-misdirected-requests`: the listener that the server name
/// leads to, the host, whether it is misdirected. (The 404 of unknown hosts is the routes' answer there.)
#[test]
fn requests_for_another_listener_are_misdirected() {
    let rows = [
        ("example.org", "https", "example.org", Verdict::Answer),
        ("example.org", "https", "second-example.org", Verdict::Misdirected),
        ("example.org", "https", "unknown-example.org", Verdict::Answer),
        ("second-example.org", "second", "second-example.org", Verdict::Answer),
        ("second-example.org", "second", "example.org", Verdict::Misdirected),
        ("second-example.org", "second", "unknown-example.org", Verdict::Misdirected),
        ("third-example.wildcard.org", "wildcard", "third-example.wildcard.org", Verdict::Answer),
        ("third-example.wildcard.org", "wildcard", "fith-example.wildcard.org", Verdict::Answer),
        ("third-example.wildcard.org", "wildcard", "fourth-example.wildcard.org", Verdict::Misdirected),
        ("third-example.wildcard.org", "wildcard", "second-example.org", Verdict::Misdirected),
        ("third-example.wildcard.org", "wildcard", "unknown-example.org", Verdict::Misdirected),
        ("fourth-example.wildcard.org", "fourth", "fourth-example.wildcard.org", Verdict::Answer),
        ("fourth-example.wildcard.org", "fourth", "fith-example.wildcard.org", Verdict::Misdirected),
        ("unknown-example.org", "https", "example.org", Verdict::Answer),
        ("unknown-example.org", "https", "unknown-example.org", Verdict::Answer),
    ];
    let edge = edge();
    for (server_name, listener, host, verdict) in rows {
        let connection = connection(listener, Some(server_name));
        let uri = Uri::from_static("/detect-misdirected-requests");
        for host in [host.to_owned(), format!("{host}:443"), host.to_uppercase(), format!("{host}.")] {
            assert_eq!(edge.decide(&connection, &host, &uri), verdict, "{server_name}, {host}");
        }
    }
}

#[test]
fn a_name_in_the_greeting_is_no_way_around_a_listener() {
    // Without a server name the first or the unnamed listener greets; the host must then be its own.
    let edge = edge();
    let uri = Uri::from_static("/");
    let unnamed = connection("https", None);
    assert_eq!(edge.decide(&unnamed, "second-example.org", &uri), Verdict::Misdirected);
    assert_eq!(edge.decide(&unnamed, "192.0.2.2", &uri), Verdict::Answer);
    let gone = connection("removed", Some("example.org"));
    assert_eq!(edge.decide(&gone, "example.org", &uri), Verdict::Misdirected);
}

#[test]
fn a_listener_with_a_hostname_answers_for_nothing_else() {
    let edge = Edge::new(&gateway(serde_json::json!([
        { "name": "plain", "address": "192.0.2.2:80", "hostname": "*.example.org" },
        { "name": "tls", "address": "192.0.2.2:443", "hostname": "a.example.org", "tls": tls() },
    ])));
    let uri = Uri::from_static("/");
    let plain = Connection { secure: None, ..connection("plain", None) };
    assert_eq!(edge.decide(&plain, "a.b.example.org", &uri), Verdict::Answer);
    assert_eq!(edge.decide(&plain, "example.org", &uri), Verdict::NotHere);
    assert_eq!(edge.decide(&connection("tls", None), "b.example.org", &uri), Verdict::NotHere);
    assert_eq!(edge.decide(&connection("tls", None), "a.example.org:8443", &uri), Verdict::Answer);
}

#[test]
fn redirects_keep_host_path_and_query() {
    let rows = [
        ("example.org", "/a?b=c", 443, Some("https://example.org/a?b=c")),
        ("example.org:80", "/", 443, Some("https://example.org/")),
        ("example.org:8080", "/a%2Fb?x=%20", 8443, Some("https://example.org:8443/a%2Fb?x=%20")),
        ("[::1]:8080", "http://[::1]:8080/a", 443, Some("https://[::1]/a")),
        ("example.org", "*", 443, Some("https://example.org/")),
        ("exa mple.org", "/", 443, None),
    ];
    for (host, uri, port, location) in rows {
        let found = https_location(host, &uri.parse().unwrap(), port);
        assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), location, "{host} {uri}");
    }
    let listeners = serde_json::json!([{ "name": "plain", "address": "192.0.2.2:80", "redirectToHttps": true }]);
    let edge = Edge::new(&gateway(listeners));
    let plain = Connection { secure: None, ..connection("plain", None) };
    let location = HeaderValue::from_static("https://example.org/a");
    assert_eq!(edge.decide(&plain, "example.org", &Uri::from_static("/a")), Verdict::Redirect(location));
}

#[test]
fn hsts_is_sent_where_it_is_configured_and_over_tls_only() {
    let with = |hsts: serde_json::Value| {
        let mut tls = tls();
        tls["hsts"] = hsts;
        Edge::new(&gateway(serde_json::json!([{ "name": "a", "address": "192.0.2.2:443", "tls": tls }])))
    };
    let connection = connection("a", None);
    let value = |edge: &Edge| edge.hsts(&connection).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(value(&with(serde_json::json!({}))).unwrap(), "max-age=31536000");
    let all = serde_json::json!({ "maxAge": "17520h", "includeSubDomains": true, "preload": true });
    assert_eq!(value(&with(all)).unwrap(), "max-age=63072000; includeSubDomains; preload");
    assert_eq!(value(&with(serde_json::json!({ "maxAge": "0s" }))).unwrap(), "max-age=0");
    assert_eq!(value(&with(serde_json::Value::Null)), None);
    let plain = Connection { secure: None, ..connection.clone() };
    assert_eq!(with(serde_json::json!({})).hsts(&plain), None);
}

#[test]
fn a_way_to_tls_is_not_stored() {
    let response = to_https(HeaderValue::from_static("https://a.test/"));
    assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(response.headers().get(CACHE_CONTROL).unwrap(), "no-store");
}
