//! Vectors marked "port of" come from the conformance tests of the Kubernetes Gateway API, v1.6.

mod explained;
mod extensions;
mod reference;
mod warnings;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::config::{BackendRef, Filter, Match, Rewrite, Rule, RuleTimeouts, ValueMatch};
use crate::gateway::split::Facts;

type Pairs<'a> = &'a [(&'a str, &'a str)];

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ANY: Listener<'static> = Listener { name: "web", hostname: None };

fn map(pairs: Pairs<'_>) -> BTreeMap<String, ValueMatch> {
    pairs.iter().map(|(name, value)| ((*name).into(), ValueMatch::Exact((*value).into()))).collect()
}

fn exact(path: &str) -> Match {
    Match { path: Some(PathMatch::Exact(path.into())), ..Match::default() }
}

fn prefix(path: &str) -> Match {
    Match { path: Some(PathMatch::Prefix(path.into())), ..Match::default() }
}

fn headers(pairs: Pairs<'_>) -> Match {
    Match { headers: map(pairs), ..Match::default() }
}

fn query(pairs: Pairs<'_>) -> Match {
    Match { query_params: map(pairs), ..Match::default() }
}

fn method(method: &str) -> Match {
    Match { method: Some(method.into()), ..Match::default() }
}

/// Both matches' parts together.
fn and(a: Match, b: Match) -> Match {
    Match {
        path: a.path.or(b.path),
        method: a.method.or(b.method),
        headers: a.headers.into_iter().chain(b.headers).collect(),
        query_params: a.query_params.into_iter().chain(b.query_params).collect(),
        cookies: a.cookies.into_iter().chain(b.cookies).collect(),
        client_ips: a.client_ips.into_iter().chain(b.client_ips).collect(),
    }
}

fn backend(service: &str) -> BackendRef {
    BackendRef { service: service.into(), version: None, weight: 1, filters: Vec::new() }
}

fn rule(matches: impl Into<Vec<Match>>, service: &str) -> Rule {
    Rule {
        name: None,
        priority: 0,
        public: false,
        matches: matches.into(),
        filters: Vec::new(),
        timeouts: RuleTimeouts::default(),
        split: None,
        retry: None,
        bulkhead: None,
        backend_refs: vec![backend(service)],
    }
}

fn route(hostnames: &[&str], rules: impl Into<Vec<Rule>>) -> Route {
    Route {
        name: "route".into(),
        hostnames: hostnames.iter().map(|host| (*host).into()).collect(),
        listeners: Vec::new(),
        rules: rules.into(),
    }
}

const NO_AUTO: [(&str, &str); 0] = [];

fn table(routes: &[Route]) -> Table<()> {
    Table::build(routes, NO_AUTO.into_iter(), |_| ())
}

/// A request as the tests write it.
#[derive(Debug)]
struct Sent {
    listener: Listener<'static>,
    host: Option<String>,
    method: Method,
    target: String,
    headers: HeaderMap,
    client: IpAddr,
}

fn sent(host: Option<&str>, method: &str, target: &str, pairs: Pairs<'_>) -> Sent {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Sent {
        listener: ANY,
        host: host.map(str::to_owned),
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: target.to_owned(),
        headers,
        client: CLIENT,
    }
}

impl Sent {
    fn request(&self) -> Request<'_> {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        Request {
            listener: self.listener,
            host: self.host.as_deref(),
            method: &self.method,
            path,
            query,
            headers: &self.headers,
            client: self.client,
        }
    }

    /// The service it goes to, or `"404"`.
    fn to<'t>(&self, table: &'t Table<()>) -> &'t str {
        table.find(&self.request()).map_or("404", |found| &found.target.backends[0].service)
    }
}

fn ask<'t>(table: &'t Table<()>, host: &str, method: &str, target: &str, pairs: Pairs<'_>) -> &'t str {
    sent(Some(host), method, target, pairs).to(table)
}

fn get<'t>(table: &'t Table<()>, target: &str, pairs: Pairs<'_>) -> &'t str {
    ask(table, "example.com", "GET", target, pairs)
}

#[test]
fn port_of_http_route_exact_path_matching() {
    let table = table(&[route(&[], [rule([exact("/one")], "v1"), rule([exact("/two")], "v2")])]);
    for (path, expected) in
        [("/one", "v1"), ("/two", "v2"), ("/", "404"), ("/one/example", "404"), ("/two/", "404"), ("/Two", "404")]
    {
        assert_eq!(get(&table, path, &[]), expected, "{path}");
    }
}

#[test]
fn port_of_http_route_matching() {
    let table = table(&[route(
        &[],
        [
            rule([prefix("/"), headers(&[("version", "one")])], "v1"),
            rule([prefix("/v2"), headers(&[("version", "two")])], "v2"),
        ],
    )]);
    let one: Pairs<'_> = &[("Version", "one")];
    let two: Pairs<'_> = &[("Version", "two")];
    for (path, sent, expected) in [
        ("/", &[][..], "v1"),
        ("/example", &[], "v1"),
        ("/", one, "v1"),
        ("/v2", &[], "v2"),
        ("/v2/", &[], "v2"),
        ("/v2/example", &[], "v2"),
        ("/", two, "v2"),
        ("/v2example", &[], "v1"),
        ("/foo/v2/example", &[], "v1"),
    ] {
        assert_eq!(get(&table, path, sent), expected, "{path} {sent:?}");
    }
}

#[test]
fn port_of_http_route_path_match_order() {
    let table = table(&[route(
        &[],
        [
            rule([exact("/match/exact/one")], "v3"),
            rule([exact("/match/exact")], "v2"),
            rule([exact("/match")], "v1"),
            rule([prefix("/match/prefix/one")], "v2"),
            rule([prefix("/match/prefix/")], "v1"),
            rule([prefix("/match/")], "v3"),
        ],
    )]);
    for (path, expected) in [
        ("/match/exact/one", "v3"),
        ("/match/exact", "v2"),
        ("/match", "v1"),
        ("/match/prefix/one/any", "v2"),
        ("/match/prefix/any", "v1"),
        ("/match/any", "v3"),
    ] {
        assert_eq!(get(&table, path, &[]), expected, "{path}");
    }
}

#[test]
fn port_of_http_route_header_matching() {
    let table = table(&[route(
        &[],
        [
            rule([headers(&[("version", "one")])], "v1"),
            rule([headers(&[("version", "two")])], "v2"),
            rule([headers(&[("version", "two"), ("color", "orange")])], "v1"),
            rule([headers(&[("color", "blue")]), headers(&[("color", "green")])], "v1"),
            rule([headers(&[("color", "red")]), headers(&[("color", "yellow")])], "v2"),
        ],
    )]);
    let cases: [(Pairs<'_>, &str); 11] = [
        (&[("Version", "one")], "v1"),
        (&[("Version", "two")], "v2"),
        (&[("Version", "two"), ("Color", "orange")], "v1"),
        (&[("Color", "blue")], "v1"),
        (&[("Color", "green")], "v1"),
        (&[("Color", "red")], "v2"),
        (&[("Color", "yellow")], "v2"),
        (&[("Version", "two"), ("Color", "blue")], "v2"),
        (&[("Color", "orange")], "404"),
        (&[("Some-Other-Header", "one")], "404"),
        (&[("Color", "purple")], "404"),
    ];
    for (sent, expected) in cases {
        assert_eq!(get(&table, "/", sent), expected, "{sent:?}");
    }
}

#[test]
fn port_of_http_route_query_param_matching() {
    let table = table(&[route(
        &[],
        [
            rule([query(&[("animal", "whale")])], "v1"),
            rule([query(&[("animal", "dolphin")])], "v2"),
            rule([query(&[("animal", "dolphin"), ("color", "blue")]), query(&[("ANIMAL", "Whale")])], "v3"),
            rule(
                [
                    and(prefix("/path1"), query(&[("animal", "whale")])),
                    and(headers(&[("version", "one")]), query(&[("animal", "whale")])),
                ],
                "v1",
            ),
            rule([and(and(prefix("/path2"), headers(&[("version", "two")])), query(&[("animal", "whale")]))], "v3"),
            rule(
                [
                    and(prefix("/path3"), query(&[("animal", "shark")])),
                    and(and(prefix("/path4"), headers(&[("version", "three")])), query(&[("animal", "kraken")])),
                ],
                "v1",
            ),
            rule([and(prefix("/path5"), query(&[("animal", "hydra")]))], "v1"),
            rule([and(headers(&[("version", "four")]), query(&[("animal", "hydra")]))], "v3"),
        ],
    )]);
    let cases: [(&str, Pairs<'_>, &str); 20] = [
        ("/?animal=whale", &[], "v1"),
        ("/?animal=dolphin", &[], "v2"),
        ("/?animal=dolphin&color=blue", &[], "v3"),
        ("/?ANIMAL=Whale", &[], "v3"),
        ("/?animal=whale&otherparam=irrelevant", &[], "v1"),
        ("/?animal=dolphin&color=yellow", &[], "v2"),
        ("/?color=blue", &[], "404"),
        ("/?animal=dog", &[], "404"),
        ("/?animal=whaledolphin", &[], "404"),
        ("/", &[], "404"),
        ("/path1?animal=whale", &[], "v1"),
        ("/?animal=whale", &[("version", "one")], "v1"),
        ("/path2?animal=whale", &[("version", "two")], "v3"),
        ("/path3?animal=shark", &[], "v1"),
        ("/path4?animal=kraken", &[("version", "three")], "v1"),
        ("/?animal=shark", &[], "404"),
        ("/path4?animal=kraken", &[], "404"),
        ("/path5?animal=hydra", &[], "v1"),
        ("/path5?animal=hydra", &[("version", "four")], "v1"),
        ("/?animal=hydra", &[("version", "four")], "v3"),
    ];
    for (target, sent, expected) in cases {
        assert_eq!(get(&table, target, sent), expected, "{target} {sent:?}");
    }
}

#[test]
fn more_headers_beat_more_query_parameters() {
    let table = table(&[route(
        &[],
        [
            rule([query(&[("a", "1"), ("b", "2")])], "query"),
            rule([and(headers(&[("version", "four")]), query(&[("a", "1")]))], "header"),
        ],
    )]);
    assert_eq!(get(&table, "/?a=1&b=2", &[("version", "four")]), "header");
}

#[test]
fn port_of_http_route_method_matching() {
    let table = table(&[route(
        &[],
        [
            rule([method("POST")], "v1"),
            rule([method("GET")], "v2"),
            rule([and(prefix("/path1"), method("GET")), and(headers(&[("version", "one")]), method("PUT"))], "v1"),
            rule([and(and(prefix("/path2"), headers(&[("version", "two")])), method("POST"))], "v3"),
            rule(
                [
                    and(prefix("/path3"), method("PATCH")),
                    and(and(prefix("/path4"), headers(&[("version", "three")])), method("DELETE")),
                ],
                "v1",
            ),
            rule([prefix("/path5")], "v1"),
            rule([method("PATCH")], "v2"),
            rule([headers(&[("version", "four")])], "v3"),
        ],
    )]);
    let two: Pairs<'_> = &[("version", "two")];
    let four: Pairs<'_> = &[("version", "four")];
    for (method, path, sent, expected) in [
        ("POST", "/", &[][..], "v1"),
        ("GET", "/", &[], "v2"),
        ("HEAD", "/", &[], "404"),
        ("GET", "/path1", &[], "v1"),
        ("PUT", "/", &[("version", "one")], "v1"),
        ("POST", "/path2", two, "v3"),
        ("PATCH", "/path3", &[], "v1"),
        ("DELETE", "/path4", &[("version", "three")], "v1"),
        ("PUT", "/", &[], "404"),
        ("DELETE", "/path4", &[], "404"),
        ("PATCH", "/path5", &[], "v1"),
        ("PATCH", "/path5", four, "v1"),
        ("PATCH", "/", four, "v2"),
    ] {
        assert_eq!(ask(&table, "example.com", method, path, sent), expected, "{method} {path} {sent:?}");
    }
}

#[test]
fn port_of_http_route_matching_across_routes() {
    let table = table(&[
        route(&["example.com", "example.net"], [rule([prefix("/"), headers(&[("version", "one")])], "v1")]),
        route(&["example.com"], [rule([prefix("/v2"), headers(&[("version", "two")])], "v2")]),
    ]);
    for (host, path, sent, expected) in [
        ("example.com", "/", &[][..], "v1"),
        ("example.com", "/example", &[], "v1"),
        ("example.net", "/example", &[], "v1"),
        ("example.com", "/", &[("version", "one")], "v1"),
        ("example.com", "/v2", &[], "v2"),
        ("example.com", "/", &[("version", "two")], "v2"),
        ("example.net", "/v2", &[], "v1"),
        ("example.net", "/", &[("version", "two")], "v1"),
        ("example.org", "/", &[], "404"),
    ] {
        assert_eq!(ask(&table, host, "GET", path, sent), expected, "{host}{path} {sent:?}");
    }
}

/// As [`ask`], through the listener of an address that answers for the host.
fn ask_at<'t>(table: &'t Table<()>, listeners: &[Listener<'static>], host: &str, path: &str) -> &'t str {
    let Some(listener) = listener_for(listeners.iter().copied(), Some(host)) else { return "404" };
    Sent { listener, ..sent(Some(host), "GET", path, &[]) }.to(table)
}

fn at(listeners: &[&str], route: Route) -> Route {
    Route { listeners: listeners.iter().map(|name| (*name).into()).collect(), ..route }
}

#[test]
fn port_of_http_route_hostname_intersection() {
    let listeners = ["very.specific.com", "*.wildcard.io", "*.anotherwildcard.io"];
    let listeners = ["listener-1", "listener-2", "listener-3"].into_iter().zip(listeners);
    let listeners: Vec<Listener<'_>> =
        listeners.map(|(name, hostname)| Listener { name, hostname: Some(hostname) }).collect();
    let table = table(&[
        route(&["non.matching.com", "*.nonmatchingwildcard.io", "very.specific.com"], [rule([prefix("/s1")], "v1")]),
        route(
            &["non.matching.com", "wildcard.io", "foo.wildcard.io", "bar.wildcard.io", "foo.bar.wildcard.io"],
            [rule([prefix("/s2")], "v2")],
        ),
        route(&["*.specific.com"], [rule([prefix("/s3")], "v3")]),
        route(&["*.anotherwildcard.io"], [rule([prefix("/s4")], "v1")]),
        route(&["no.intersecting.hosts"], [rule([prefix("/s5")], "v2")]),
    ]);
    for (host, path, expected) in [
        ("very.specific.com", "/s1", "v1"),
        ("very.specific.com:1234", "/s1", "v1"),
        ("VERY.Specific.com.", "/s1", "v1"),
        ("very.specific.com", "/s3", "v3"),
        ("non.matching.com", "/s1", "404"),
        ("foo.nonmatchingwildcard.io", "/s1", "404"),
        ("specific.com", "/s1", "404"),
        ("foo.specific.com", "/s3", "404"),
        ("very.specific.com", "/non-matching-prefix", "404"),
        ("foo.wildcard.io", "/s2", "v2"),
        ("bar.wildcard.io", "/s2", "v2"),
        ("foo.bar.wildcard.io", "/s2", "v2"),
        ("foo.wildcard.io", "/non-matching-prefix", "404"),
        ("wildcard.io", "/s2", "404"),
        ("one.anotherwildcard.io", "/s4", "v1"),
        ("one.two.three.anotherwildcard.io", "/s4", "v1"),
        ("one.two.three.anotherwildcard.io:8080", "/s4", "v1"),
        ("anotherwildcard.io", "/s4", "404"),
        ("xanotherwildcard.io", "/s4", "404"),
        ("no.intersecting.hosts", "/s5", "404"),
    ] {
        assert_eq!(ask_at(&table, &listeners, host, path), expected, "{host}{path}");
    }
}

#[test]
fn port_of_http_route_listener_hostname_matching() {
    let listeners = [("listener-1", "bar.com"), ("listener-2", "foo.bar.com"), ("listener-3", "*.bar.com")];
    let listeners: Vec<Listener<'_>> = listeners
        .into_iter()
        .chain([("listener-4", "*.foo.com")])
        .map(|(name, hostname)| Listener { name, hostname: Some(hostname) })
        .collect();
    let table = table(&[
        at(&["listener-1"], route(&[], [rule([], "v1")])),
        at(&["listener-2"], route(&[], [rule([], "v2")])),
        at(&["listener-3", "listener-4"], route(&[], [rule([], "v3")])),
    ]);
    for (host, expected) in [
        ("bar.com", "v1"),
        ("foo.bar.com", "v2"),
        ("baz.bar.com", "v3"),
        ("boo.bar.com", "v3"),
        ("multiple.prefixes.bar.com", "v3"),
        ("multiple.prefixes.foo.com", "v3"),
        ("foo.com", "404"),
        ("no.matching.host", "404"),
    ] {
        assert_eq!(ask_at(&table, &listeners, host, "/"), expected, "{host}");
    }
}

#[test]
fn port_of_http_route_listener_hostname_matching_with_hosts_of_routes_instead() {
    let table = table(&[
        route(&["bar.com"], [rule([], "v1")]),
        route(&["foo.bar.com"], [rule([], "v2")]),
        route(&["*.bar.com", "*.foo.com"], [rule([], "v3")]),
    ]);
    for (host, expected) in [
        ("bar.com", "v1"),
        ("foo.bar.com", "v2"),
        ("baz.bar.com", "v3"),
        ("multiple.prefixes.bar.com", "v3"),
        ("multiple.prefixes.foo.com", "v3"),
        ("foo.com", "404"),
    ] {
        assert_eq!(ask(&table, host, "GET", "/", &[]), expected, "{host}");
    }
}

#[test]
fn a_longer_wildcard_wins_and_requests_fall_through_to_less_specific_hosts() {
    let table = table(&[
        route(&[], [rule([prefix("/deep/path")], "any")]),
        route(&["*.b.c"], [rule([prefix("/")], "long")]),
        route(&["*.c"], [rule([prefix("/x")], "short")]),
        route(&["a.b.c"], [rule([exact("/only")], "exact")]),
    ]);
    for (host, path, expected) in [
        ("a.b.c", "/only", "exact"),
        ("a.b.c", "/x", "long"),
        ("a.b.c", "/deep/path", "long"),
        ("z.c", "/x", "short"),
        ("z.c", "/deep/path", "any"),
        ("z.c", "/other", "404"),
    ] {
        assert_eq!(ask(&table, host, "GET", path, &[]), expected, "{host}{path}");
    }
}

#[test]
fn without_a_host_only_routes_for_all_hosts_match() {
    let table = table(&[route(&["a.b"], [rule([], "named")]), route(&[], [rule([], "any")])]);
    let find = |host| sent(host, "GET", "/", &[]).to(&table);
    assert_eq!(find(None), "any");
    assert_eq!(find(Some("a.b")), "named");
    assert_eq!(find(Some(&"a".repeat(300))), "any");
}

#[test]
fn addresses_are_hosts_too() {
    let table = table(&[route(&["[::1]"], [rule([], "v6")]), route(&["127.0.0.1"], [rule([], "v4")])]);
    for (host, expected) in [("[::1]", "v6"), ("[::1]:80", "v6"), ("127.0.0.1:80", "v4"), ("[::2]:80", "404")] {
        assert_eq!(ask(&table, host, "GET", "/", &[]), expected, "{host}");
    }
}

#[test]
fn a_prefix_matches_whole_segments_whatever_its_trailing_slash() {
    let table = table(&[route(&[], [rule([prefix("/match/")], "v1")])]);
    for (path, expected) in
        [("/match", "v1"), ("/match/", "v1"), ("/match//x", "v1"), ("/matchx", "404"), ("/Match", "404"), ("*", "404")]
    {
        assert_eq!(get(&table, path, &[]), expected, "{path}");
    }
}

#[test]
fn of_equal_rules_the_first_in_the_file_wins() {
    let table = table(&[
        route(&[], [rule([prefix("/a")], "first"), rule([prefix("/a")], "second")]),
        route(&[], [rule([prefix("/a")], "third"), rule([prefix("/a"), prefix("/b")], "fourth")]),
    ]);
    assert_eq!(get(&table, "/a", &[]), "first");
    assert_eq!(get(&table, "/b", &[]), "fourth");
}

#[test]
fn automatic_routes_know_their_prefix_and_yield_to_configured_ones() {
    let configured = [
        route(&[], [rule([prefix("/orders")], "configured"), rule([prefix("/")], "root")]),
        route(&["shop.local"], [rule([prefix("/api")], "api")]),
    ];
    let table = Table::build(&configured, [("orders", "/orders"), ("users", "/people/")].into_iter(), |_| ());
    assert_eq!(get(&table, "/orders/1", &[]), "configured");
    assert_eq!(get(&table, "/people/1", &[]), "users");
    assert_eq!(get(&table, "/elsewhere", &[]), "root");
    assert_eq!(ask(&table, "shop.local", "GET", "/people", &[]), "users");
    let sent = sent(None, "GET", "/people/1", &[]);
    let found = table.find(&sent.request()).unwrap();
    assert_eq!((&*found.target.route, found.matched_prefix), ("auto:users", Some("/people")));
}

#[test]
fn a_configured_rule_keeps_its_names_timeouts_and_backends() {
    let mut second = rule([prefix("/api")], "orders");
    second.filters = vec![Filter::Rewrite(Rewrite { prefix: Some("/v1".into()), ..Rewrite::default() })];
    second.timeouts.request = Some(crate::config::Duration::millis(250));
    second.timeouts.backend_request = Some(crate::config::Duration::millis(100));
    second.name = Some("second".into());
    second.public = true;
    second.backend_refs.push(BackendRef { version: Some("2".into()), weight: 5, ..backend("orders") });
    let table = table(&[route(&[], [rule([exact("/x")], "x"), second])]);
    let request = sent(None, "GET", "/api/7", &[]);
    let found = table.find(&request.request()).unwrap();
    assert_eq!((found.matched_prefix, found.match_index), (Some("/api"), 0));
    let version = |version: Option<&str>, weight| Backend {
        service: "orders".into(),
        version: version.map(Into::into),
        weight,
        chain: None,
    };
    let expected = Target {
        route: "route".into(),
        automatic: false,
        rule_index: 1,
        rule_name: Some("second".into()),
        priority: 0,
        public: true,
        chain: (),
        backends: vec![version(None, 1), version(Some("2"), 5)],
        split: None,
        request_timeout: Some(Duration::from_millis(250)),
        backend_timeout: Some(Duration::from_millis(100)),
        retry: None,
    };
    assert_eq!(**found.target, expected);
    let request = sent(None, "GET", "/x", &[]);
    let exact = table.find(&request.request()).unwrap();
    assert_eq!((exact.matched_prefix, exact.target.request_timeout), (None, None));
}

#[test]
fn a_header_sent_twice_matches_nothing() {
    let table = table(&[route(&[], [rule([headers(&[("version", "one")])], "v1")])]);
    assert_eq!(get(&table, "/", &[("version", "one"), ("version", "one")]), "404");
}

#[test]
fn a_match_that_nothing_can_satisfy_is_left_out() {
    let table =
        table(&[route(&[], [rule([method("NOT A METHOD")], "v1"), rule([headers(&[("no name", "x")])], "v1")])]);
    assert_eq!(get(&table, "/", &[]), "404");
}

#[test]
fn a_path_of_slashes_costs_no_more_than_the_longest_prefix() {
    let table = table(&[route(&[], [rule([prefix("/a/b")], "v1")])]);
    let slashes = sent(None, "GET", &"/".repeat(1 << 20), &[]);
    let request = slashes.request();
    let begun = std::time::Instant::now();
    for _ in 0..100_000 {
        assert!(table.find(&request).is_none());
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

fn weighted(weights: &[u32]) -> Target<()> {
    let backend = |(index, weight): (usize, &u32)| Backend {
        service: format!("v{}", index + 1).into(),
        version: None,
        weight: *weight,
        chain: None,
    };
    let backends = weights.iter().enumerate().map(backend).collect();
    Target { backends, ..Target::automatic("v", &|_| ()) }
}

/// Where a request goes about which nothing is known.
fn choose<C>(target: &Target<C>, random: u64) -> Option<&Backend<C>> {
    target.choose(Facts { headers: &HeaderMap::new(), client: Some(CLIENT) }, random)
}

#[test]
fn port_of_http_route_weight() {
    let target = weighted(&[70, 30, 0]);
    // SplitMix64: the test needs numbers that look random and are the same every time.
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut hits = BTreeMap::<&str, f64>::new();
    for _ in 0..5000 {
        *hits.entry(&choose(&target, random()).unwrap().service).or_default() += 1.0 / 5000.0;
    }
    assert!((hits["v1"] - 0.7).abs() < 0.05, "{hits:?}");
    assert!((hits["v2"] - 0.3).abs() < 0.05, "{hits:?}");
    assert!(!hits.contains_key("v3"), "{hits:?}");
}

#[test]
fn weights_divide_exactly_and_nothing_with_a_weight_is_nobody() {
    let target = weighted(&[2, 0, 1]);
    let picked: Vec<&str> = (0..6).map(|n| &*choose(&target, n).unwrap().service).collect();
    assert_eq!(picked, ["v1", "v1", "v3", "v1", "v1", "v3"]);
    assert_eq!(choose(&weighted(&[0, 0]), 7), None);
    assert_eq!(choose(&weighted(&[]), 7), None);
    // 2^64 - 1 is an odd multiple of 2^32 - 1, so what remains is exactly the first share.
    assert_eq!(&*choose(&weighted(&[u32::MAX, u32::MAX]), u64::MAX).unwrap().service, "v2");
}
