//! What the Gateway API leaves to the implementation, and what is ours: regular expressions, `priority`, cookies,
//! client addresses, filters of a backend.

use super::*;

fn regex(pattern: &str) -> Match {
    Match { path: Some(PathMatch::Regex(pattern.into())), ..Match::default() }
}

fn header(name: &str, value: ValueMatch) -> Match {
    Match { headers: BTreeMap::from([(name.into(), value)]), ..Match::default() }
}

fn cookie(name: &str, value: ValueMatch) -> Match {
    Match { cookies: BTreeMap::from([(name.into(), value)]), ..Match::default() }
}

fn clients(networks: &[&str]) -> Match {
    Match { client_ips: networks.iter().map(|network| network.parse().unwrap()).collect(), ..Match::default() }
}

fn pattern(pattern: &str) -> ValueMatch {
    ValueMatch::Regex(pattern.into())
}

fn prioritised(priority: i32, rule: Rule) -> Rule {
    Rule { priority, ..rule }
}

#[test]
fn a_regular_expression_matches_the_whole_path() {
    let table = table(&[route(&[], [rule([regex("/v[0-9]+/users/[^/]+")], "v1")])]);
    for (path, expected) in [
        ("/v1/users/ann", "v1"),
        ("/v12/users/ann", "v1"),
        ("/v1/users/ann/", "404"),
        ("/x/v1/users/ann", "404"),
        ("/v/users/ann", "404"),
        ("/V1/users/ann", "404"),
    ] {
        assert_eq!(get(&table, path, &[]), expected, "{path}");
    }
}

#[test]
fn regular_expressions_stand_between_exact_paths_and_prefixes_longer_ones_first() {
    let table = table(&[route(
        &[],
        [
            rule([prefix("/a/b/c/d/e/f")], "prefix"),
            rule([regex("/a/.*")], "short"),
            rule([regex("/a/b/.*")], "long"),
            rule([exact("/a/b/c")], "exact"),
            rule([and(regex("/a/b/.*"), method("PUT"))], "method"),
        ],
    )]);
    for (method, path, expected) in [
        ("GET", "/a/b/c", "exact"),
        ("GET", "/a/b/c/d/e/f", "long"),
        ("PUT", "/a/b/x", "method"),
        ("GET", "/a/x", "short"),
    ] {
        assert_eq!(ask(&table, "h", method, path, &[]), expected, "{method} {path}");
    }
}

#[test]
fn values_match_by_regular_expression_or_by_being_there() {
    let table = table(&[route(
        &[],
        [
            rule([and(prefix("/h"), header("version", pattern("v[12]")))], "header"),
            rule([and(prefix("/t"), header("trace", ValueMatch::Present(true)))], "there"),
            rule([and(prefix("/n"), header("trace", ValueMatch::Present(false)))], "not-there"),
            rule(
                [Match { query_params: BTreeMap::from([("q".into(), pattern("blue w[a-z]+"))]), ..prefix("/q") }],
                "query",
            ),
            rule(
                [Match { query_params: BTreeMap::from([("q".into(), ValueMatch::Present(true))]), ..prefix("/p") }],
                "parameter",
            ),
        ],
    )]);
    let cases: [(&str, Pairs<'_>, &str); 17] = [
        ("/h", &[("Version", "v1")], "header"),
        ("/h", &[("Version", "v1x")], "404"),
        ("/h", &[("Version", "xv1")], "404"),
        ("/h", &[("Version", "v1"), ("Version", "v2")], "404"),
        ("/h", &[], "404"),
        ("/t", &[("trace", "")], "there"),
        ("/t", &[("trace", "1"), ("trace", "2")], "there"),
        ("/t", &[], "404"),
        ("/n", &[], "not-there"),
        ("/n", &[("trace", "1")], "404"),
        ("/q?q=blue+whale", &[], "query"),
        ("/q?q=blue%20w%68ale", &[], "query"),
        ("/q?q=blue+w1", &[], "404"),
        ("/q?q=x&q=blue+whale", &[], "404"),
        ("/p?q", &[], "parameter"),
        ("/p?x", &[], "404"),
        ("/p", &[], "404"),
    ];
    for (target, sent, expected) in cases {
        assert_eq!(get(&table, target, sent), expected, "{target} {sent:?}");
    }
}

#[test]
fn a_priority_stands_above_hosts_and_paths_and_below_none_are_the_automatic_routes() {
    let table = Table::build(
        &[
            route(&["a.b"], [rule([exact("/x")], "exact")]),
            route(
                &[],
                [
                    prioritised(-1, rule([exact("/orders")], "last")),
                    prioritised(5, rule([and(prefix("/"), headers(&[("maintenance", "1")]))], "first")),
                    prioritised(4, rule([and(exact("/x"), headers(&[("maintenance", "1")]))], "second")),
                ],
            ),
        ],
        [("orders", "/orders")].into_iter(),
        |_| (),
    );
    assert_eq!(ask(&table, "a.b", "GET", "/x", &[]), "exact");
    assert_eq!(ask(&table, "a.b", "GET", "/x", &[("maintenance", "1")]), "first");
    assert_eq!(ask(&table, "a.b", "GET", "/orders", &[]), "orders");
}

#[test]
fn cookies_and_addresses_of_clients_are_matched_and_count_after_query_parameters() {
    let table = table(&[route(
        &[],
        [
            rule([prefix("/")], "all"),
            rule([clients(&["192.0.2.0/24", "2001:db8::/32"])], "office"),
            rule([cookie("beta", ValueMatch::Exact("1".into()))], "beta"),
            rule([cookie("beta", pattern("1|2")), cookie("gone", ValueMatch::Present(true))], "some-beta"),
            rule([and(query(&[("q", "1")]), cookie("beta", ValueMatch::Exact("3".into())))], "both"),
            rule([query(&[("q", "1")])], "query"),
        ],
    )]);
    let from = |client: &str, target: &str, cookie: &str| {
        Sent { client: client.parse().unwrap(), ..sent(None, "GET", target, &[("cookie", cookie)]) }.to(&table)
    };
    assert_eq!(from("198.51.100.1", "/", ""), "all");
    assert_eq!(from("192.0.2.77", "/", ""), "office");
    assert_eq!(from("::ffff:192.0.2.77", "/", ""), "office");
    assert_eq!(from("2001:db8::1", "/", ""), "office");
    assert_eq!(from("192.0.2.77", "/", "a=b; beta=1"), "beta");
    assert_eq!(from("192.0.2.77", "/", "beta=2"), "some-beta");
    assert_eq!(from("198.51.100.1", "/", "gone="), "some-beta");
    assert_eq!(from("198.51.100.1", "/", "BETA=1"), "all");
    assert_eq!(from("198.51.100.1", "/?q=1", "beta=1"), "query");
    assert_eq!(from("198.51.100.1", "/?q=1", "beta=3"), "both");
}

#[test]
fn a_listener_with_a_host_name_answers_for_no_other() {
    let table = table(&[at(&["tls"], route(&["*.b"], [rule([], "tls")])), route(&[], [rule([], "any")])]);
    let by = |name, hostname, host| Sent { listener: Listener { name, hostname }, ..sent(host, "GET", "/", &[]) };
    assert_eq!(by("tls", Some("a.b"), Some("a.b:8443")).to(&table), "tls");
    assert_eq!(by("tls", Some("a.b"), Some("c.b")).to(&table), "404");
    assert_eq!(by("tls", Some("a.b"), None).to(&table), "404");
    assert_eq!(by("web", None, Some("a.b")).to(&table), "any");
}

#[test]
fn filters_are_asked_for_once_for_each_rule_backend_with_filters_and_automatic_route() {
    let mut first = rule([], "a");
    first.backend_refs.push(BackendRef {
        filters: vec![Filter::Rewrite(Rewrite { prefix: Some("/".into()), ..Rewrite::default() })],
        ..backend("b")
    });
    let routes = [route(&[], [first, rule([prefix("/x")], "c")])];
    let table = Table::build(&routes, [("d", "/d")].into_iter(), |scope| match scope {
        Scope::Rule { route, index, rule } => format!("{} {index} {}", route.name, rule.backend_refs.len()),
        Scope::Backend { route, rule, backend } => {
            format!("{} {} {}", route.name, rule.backend_refs.len(), backend.service)
        }
        Scope::Automatic { service } => format!("auto {service}"),
    });
    let found = |path: &str| {
        let sent = sent(None, "GET", path, &[]);
        let target = Arc::clone(table.find(&sent.request()).unwrap().target);
        (target.chain.clone(), target.backends.iter().map(|backend| backend.chain.clone()).collect::<Vec<_>>())
    };
    assert_eq!(found("/"), ("route 0 2".into(), vec![None, Some("route 2 b".into())]));
    assert_eq!(found("/x"), ("route 1 1".into(), vec![None]));
    assert_eq!(found("/d"), ("auto d".into(), vec![None]));
}

#[test]
fn port_of_http_route_invalid_backend_refs_a_backend_that_does_not_exist_keeps_its_share() {
    let mut half = rule([], "v1");
    half.backend_refs.push(backend("nobody-knows-it"));
    let table = table(&[route(&[], [half, Rule { backend_refs: Vec::new(), ..rule([prefix("/none")], "") }])]);
    let request = sent(None, "GET", "/", &[]);
    let found = table.find(&request.request()).unwrap();
    let picked: Vec<&str> = (0..4).map(|n| &*choose(found.target, n).unwrap().service).collect();
    assert_eq!(picked, ["v1", "nobody-knows-it", "v1", "nobody-knows-it"]);
    let request = sent(None, "GET", "/none", &[]);
    assert_eq!(choose(table.find(&request.request()).unwrap().target, 0), None, "answered 500, not 404");
}
