//! Reasons, one for each way in which a match can lose.

use super::*;

/// `<service>: <reason>` of everything that does not win; the winner comes first, with its host and path.
fn explained(table: &Table<()>, sent: &Sent) -> Vec<String> {
    let (_, verdicts) = table.explain(&sent.request());
    let line = |verdict: Verdict<'_, ()>| {
        let service = &verdict.target.backends[0].service;
        match verdict.outcome {
            Outcome::Wins { host, path } => format!("{service} wins: {host}, {path}"),
            Outcome::ComesAfter(reason) => format!("{service}: {reason}"),
            Outcome::DoesNotHold(reasons) => format!("{service} not: {}", reasons.join("; ")),
        }
    };
    verdicts.into_iter().map(line).collect()
}

#[test]
fn whatever_comes_after_the_winner_is_told_by_which_criterion() {
    let api = |more: Match, service: &str| rule([and(prefix("/api"), more)], service);
    let cookie = Match { cookies: map(&[("c", "1")]), ..Match::default() };
    let client = Match { client_ips: vec!["192.0.2.0/24".parse().unwrap()], ..Match::default() };
    let best = [method("GET"), headers(&[("h", "1")]), query(&[("q", "1")]), cookie.clone(), client.clone()];
    let table = table(&[
        route(&[], [rule([], "any")]),
        route(&["*.b"], [rule([], "wild")]),
        route(
            &["a.b"],
            [
                rule([prefix("/")], "root"),
                api(Match::default(), "plain"),
                api(method("GET"), "method"),
                api(and(method("GET"), headers(&[("h", "1")])), "header"),
                api(and(and(method("GET"), headers(&[("h", "1")])), query(&[("q", "1")])), "query"),
                api(best[..4].iter().cloned().fold(Match::default(), and), "cookie"),
                api(best.iter().cloned().fold(Match::default(), and), "winner"),
                api(best.iter().cloned().fold(Match::default(), and), "again"),
            ],
        ),
        route(&[], [Rule { priority: -1, ..rule([exact("/api/x")], "low") }]),
    ]);
    let sent = sent(Some("A.b:80"), "GET", "/api/x?q=1", &[("h", "1"), ("cookie", "c=1")]);
    assert_eq!(
        explained(&table, &sent),
        [
            "winner wins: a.b, prefix /api",
            "again: equal, but comes later",
            "cookie: asks for no address of the client",
            "query: asks for fewer cookies: 0, the winner for 1",
            "header: asks for fewer query parameters: 0, the winner for 1",
            "method: asks for fewer headers: 0, the winner for 1",
            "plain: asks for no method",
            "root: prefix / is less specific than prefix /api",
            "wild: *.b is less specific than a.b",
            "any: any host is less specific than a.b",
            "low: priority -1 is below 0",
        ]
    );
}

#[test]
fn whatever_does_not_hold_is_told_why_the_closest_first() {
    let regex = |pattern: &str| ValueMatch::Regex(pattern.into());
    let wanted = Match {
        method: Some("PUT".into()),
        headers: BTreeMap::from([
            ("a".into(), ValueMatch::Exact("x".into())),
            ("b".into(), regex("y+")),
            ("c".into(), ValueMatch::Present(true)),
            ("d".into(), ValueMatch::Present(false)),
            ("e".into(), ValueMatch::Exact("x".into())),
        ]),
        query_params: BTreeMap::from([("q".into(), ValueMatch::Exact("1".into())), ("r".into(), regex("1|2"))]),
        cookies: BTreeMap::from([("s".into(), ValueMatch::Exact("1".into()))]),
        client_ips: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        ..prefix("/api")
    };
    let table = table(&[
        route(&["x.y", "*.z"], [rule([], "host")]),
        at(&["tls", "web2"], route(&[], [rule([], "listener")])),
        route(
            &[],
            [
                rule(
                    [exact("/x"), Match { path: Some(PathMatch::Regex("/v[12]".into())), ..Match::default() }],
                    "path",
                ),
                rule([wanted], "conditions"),
            ],
        ),
    ]);
    let headers: Pairs<'_> = &[("a", "secret"), ("b", "z"), ("d", ""), ("e", "x"), ("e", "x"), ("cookie", "s=2")];
    let got = explained(&table, &sent(Some("a.b"), "GET", "/api?q=2", headers));
    assert_eq!(
        got,
        [
            "conditions not: the method is not PUT; header `a` is not `x`; header `b` does not match `y+`; \
             header `c` is missing; header `d` is there; header `e` is not `x` (it is sent more than once); \
             query parameter `q` is not `1`; query parameter `r` is missing; cookie `s` is not `1`; \
             the client is not in 10.0.0.0/8, fd00::/8",
            "path not: the path does not match exact /x",
            "path not: the path does not match regex /v[12]",
            "host not: the host is not x.y; the host is not *.z",
            "listener not: only for listener tls, web2",
        ]
    );
    assert!(!got.join("").contains("secret"), "what was sent may be a secret");
    let narrow = Listener { name: "web", hostname: Some("*.q") };
    let sent = Sent { listener: narrow, ..sent(Some("x.y"), "GET", "/", &[]) };
    assert!(explained(&table, &sent).iter().all(|line| line.ends_with("not: listener `web` answers only for *.q")));
}
