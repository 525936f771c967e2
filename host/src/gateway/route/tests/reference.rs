//! The table against a reference that is as slow and plain as the rules are written: all matches of all rules, each
//! asked by itself, the best one by a list of criteria.

use std::cmp::Reverse;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/a/b/c", "/b"];
const PATTERNS: &[&str] = &["/a.*", "/[ab]", "/a/[a-z]/?", "/.+/c", "/"];
const HOSTS: &[&str] = &["x.y.z", "*.y.z", "*.z", "y.z", "z"];
const SENT: &[Pairs<'static>] = &[
    &[],
    &[("p", "1")],
    &[("p", "12"), ("q", "2")],
    &[("p", "1"), ("p", "1")],
    &[("cookie", "p=1; q=2")],
    &[("cookie", "p=12"), ("cookie", "p=1"), ("q", "1")],
];
const VALUES: &[&str] = &["1", "2", "12"];

fn value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        select(VALUES).prop_map(|value| ValueMatch::Exact(value.into())),
        select(&["1", "1?2", ".*"][..]).prop_map(|pattern| ValueMatch::Regex(pattern.into())),
        any::<bool>().prop_map(ValueMatch::Present),
    ]
}

fn values() -> impl Strategy<Value = BTreeMap<String, ValueMatch>> {
    btree_map(select(&["p", "q"][..]).prop_map(str::to_owned), value(), 0..2)
}

fn path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        select(PATHS).prop_map(|path| PathMatch::Exact(path.into())),
        select(PATHS).prop_map(|path| PathMatch::Prefix(path.into())),
        select(PATTERNS).prop_map(|path| PathMatch::Regex(path.into())),
    ]
}

fn matches() -> impl Strategy<Value = Match> {
    let ips = select(&["10.0.0.0/8", "10.1.0.0/16"][..]).prop_map(|network| vec![network.parse().unwrap()]);
    let method = option::weighted(0.3, select(&["GET", "PUT"][..]).prop_map(str::to_owned));
    (option::of(path()), method, values(), values(), values(), option::weighted(0.2, ips)).prop_map(
        |(path, method, headers, query_params, cookies, client_ips)| Match {
            path,
            method,
            headers,
            query_params,
            cookies,
            client_ips: client_ips.unwrap_or_default(),
        },
    )
}

pub(super) fn routes() -> impl Strategy<Value = Vec<Route>> {
    let names = |words: &'static [&'static str], most| vec(select(words).prop_map(str::to_owned), 0..most);
    let rule = (vec(matches(), 0..3), select(&[0, 0, 0, 1, -1][..]));
    let route = (names(HOSTS, 3), names(&["web", "tls"], 2), vec(rule, 1..3));
    vec(route, 1..6).prop_map(|routes| {
        let mut number = 0;
        let mut rule = |(matches, priority): (Vec<Match>, i32)| {
            number += 1;
            Rule { priority, ..super::rule(matches, &format!("s{number}")) }
        };
        let mut route = |(hostnames, listeners, rules): (Vec<String>, Vec<String>, Vec<_>)| Route {
            name: "route".into(),
            hostnames,
            listeners,
            rules: rules.into_iter().map(&mut rule).collect(),
        };
        routes.into_iter().map(&mut route).collect()
    })
}

pub(super) fn requests() -> impl Strategy<Value = Sent> {
    let hosts = option::of(select(&["x.y.z", "w.y.z:80", "y.z", "Z", "q.z", "other"][..]));
    let paths = select(&["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b/c", "/a//b", "*"][..]);
    let queries = select(&["", "?p=1", "?q=12&p=2", "?p=%31&p=2", "?p"][..]);
    let headers = select(SENT);
    let clients = select(&["10.0.0.1", "10.1.0.1", "::ffff:10.1.0.1", "::1"][..]);
    let listeners = select(&[("web", None), ("tls", None), ("tls", Some("*.z"))][..]);
    (hosts, select(&["GET", "PUT"][..]), paths, queries, headers, clients, listeners).prop_map(
        |(host, method, path, query, headers, client, (name, hostname))| Sent {
            client: client.parse().unwrap(),
            listener: Listener { name, hostname },
            ..sent(host, method, &format!("{path}{query}"), headers)
        },
    )
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => host.ends_with(&format!(".{suffix}")),
        None => pattern == host,
    }
}

fn value_matches(wanted: &ValueMatch, sent: Option<&str>) -> bool {
    match (wanted, sent) {
        (ValueMatch::Present(present), sent) => sent.is_some() == *present,
        (ValueMatch::Exact(value), Some(sent)) => value == sent,
        (ValueMatch::Regex(pattern), Some(sent)) => {
            regex::Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(sent)
        }
        (_, None) => false,
    }
}

fn path_matches(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(wanted) => wanted == path,
        PathMatch::Regex(pattern) => regex::Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(path),
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            path == prefix || path.starts_with(&format!("{prefix}/"))
        }
    }
}

fn holds(wanted: &Match, sent: &Sent) -> bool {
    let request = sent.request();
    let path = wanted.path.clone().unwrap_or(PathMatch::Prefix("/".into()));
    let header = |(name, wanted): (&String, &ValueMatch)| {
        let all: Vec<&str> = request.headers.get_all(name.as_str()).iter().map(|v| v.to_str().unwrap()).collect();
        match wanted {
            ValueMatch::Present(present) => all.is_empty() != *present,
            _ => all.len() == 1 && value_matches(wanted, all.first().copied()),
        }
    };
    let query = |(name, wanted): (&String, &ValueMatch)| {
        let query = request.query.unwrap_or_default().replace("%31", "1");
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        value_matches(wanted, pairs.find(|(sent, _)| sent == name).map(|(_, value)| value))
    };
    let cookie = |(name, wanted): (&String, &ValueMatch)| {
        let all: Vec<&str> = request.headers.get_all("cookie").iter().map(|v| v.to_str().unwrap()).collect();
        let all = all.join("; ");
        let mut pairs = all.split("; ").filter_map(|pair| pair.split_once('='));
        value_matches(wanted, pairs.find(|(sent, _)| sent == name).map(|(_, value)| value))
    };
    path_matches(&path, request.path)
        && wanted.method.as_ref().is_none_or(|method| method == request.method.as_str())
        && wanted.headers.iter().all(header)
        && wanted.query_params.iter().all(query)
        && wanted.cookies.iter().all(cookie)
        && (wanted.client_ips.is_empty()
            || wanted.client_ips.iter().any(|network| network.contains(&request.client.to_canonical())))
}

/// The service a request goes to.
fn reference(routes: &[Route], sent: &Sent) -> String {
    let host = sent.host.as_deref().map(|host| host.split(':').next().unwrap().to_lowercase());
    if let Some(pattern) = sent.listener.hostname
        && !host.as_deref().is_some_and(|host| host_matches(pattern, host))
    {
        return "404".into();
    }
    let mut candidates = Vec::new();
    for route in routes {
        if !route.listeners.is_empty() && !route.listeners.iter().any(|name| name == sent.listener.name) {
            continue;
        }
        let hosts: Vec<Option<&str>> = match route.hostnames.as_slice() {
            [] => vec![None],
            hosts => hosts.iter().map(|host| Some(host.as_str())).collect(),
        };
        for rule in &route.rules {
            let everything = [Match::default()];
            let matches = if rule.matches.is_empty() { &everything[..] } else { &rule.matches };
            for wanted in matches {
                for pattern in &hosts {
                    let here = match (pattern, &host) {
                        (None, _) => true,
                        (Some(pattern), Some(host)) => host_matches(pattern, host),
                        (Some(_), None) => false,
                    };
                    if !here || !holds(wanted, sent) {
                        continue;
                    }
                    let of_host =
                        pattern.map_or((0, 0), |host| (if host.starts_with('*') { 1 } else { 2 }, host.len()));
                    let of_path = match &wanted.path {
                        Some(PathMatch::Exact(path)) => (2, path.len(), 0),
                        Some(PathMatch::Regex(path)) => (1, path.len(), 0),
                        Some(PathMatch::Prefix(path)) => (0, path.trim_end_matches('/').len(), path.len()),
                        None => (0, 0, 1),
                    };
                    let rank = (
                        (rule.priority, of_host, of_path),
                        wanted.method.is_some(),
                        (wanted.headers.len(), wanted.query_params.len(), wanted.cookies.len()),
                        !wanted.client_ips.is_empty(),
                    );
                    candidates.push((rank, rule.backend_refs[0].service.clone()));
                }
            }
        }
    }
    // Stable: of equal ones the first.
    candidates.sort_by_key(|(rank, _)| Reverse(*rank));
    candidates.into_iter().next().map_or("404".into(), |(_, service)| service)
}

/// What is explained agrees with what is found, and says something about every match.
fn explained(table: &Table<()>, sent: &Sent) {
    let (found, verdicts) = table.explain(&sent.request());
    let wins = |verdict: &Verdict<'_, ()>| matches!(verdict.outcome, Outcome::Wins { .. });
    assert_eq!(verdicts.iter().filter(|verdict| wins(verdict)).count(), usize::from(found.is_some()));
    for (index, verdict) in verdicts.iter().enumerate() {
        match &verdict.outcome {
            Outcome::Wins { .. } => {
                let found = found.as_ref().unwrap();
                assert!(index == 0 && Arc::ptr_eq(verdict.target, found.target));
            }
            Outcome::ComesAfter(reason) => assert!(found.is_some() && !reason.is_empty()),
            Outcome::DoesNotHold(reasons) => assert!(!reasons.is_empty(), "{verdict:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_finds_what_a_plain_search_finds(routes in routes(), requests in vec(requests(), 1..40)) {
        let table = table(&routes);
        for sent in &requests {
            let at = (&sent.host, sent.method.as_str(), &sent.target, &sent.headers, sent.client, sent.listener);
            prop_assert_eq!(sent.to(&table), reference(&routes, sent), "{:?}", at);
            explained(&table, sent);
        }
    }
}
