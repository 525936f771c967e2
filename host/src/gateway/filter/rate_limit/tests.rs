use serde_json::json;

use super::*;
use crate::config::Scheme;
use crate::gateway::identity::Method;

fn limit(json: serde_json::Value) -> RateLimit {
    let mut config = json!({ "requests": 1, "per": "1m" });
    config.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
    RateLimit::new(&serde_json::from_value(config).unwrap(), "test", 1, &Limiters::default())
}

fn asking(client: &str) -> Asking<'_> {
    Asking {
        client: client.parse().unwrap(),
        scheme: Scheme::Http,
        host: "a.test",
        port: 80,
        matched_prefix: None,
        service: "orders",
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn passes(limit: &RateLimit, client: &str, sent: &HeaderMap) -> bool {
    limit.check(asking(client), sent, None, Instant::now()).is_none_or(|limited| limited.refused().is_none())
}

#[test]
fn a_customer_is_an_ipv4_address_or_a_64_of_ipv6() {
    for (one, other, same) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
    ] {
        let limit = limit(json!({}));
        assert!(passes(&limit, one, &HeaderMap::new()));
        assert_eq!(passes(&limit, other, &HeaderMap::new()), !same, "{one} {other}");
    }
}

#[test]
fn leaving_the_key_out_is_no_way_around_the_limit_unless_that_is_allowed() {
    let by_header = limit(json!({ "key": { "header": "x-tenant" } }));
    assert!(passes(&by_header, "192.0.2.1", &headers(&[("x-tenant", "a")])));
    assert!(!passes(&by_header, "192.0.2.9", &headers(&[("x-tenant", "a")])));
    assert!(passes(&by_header, "192.0.2.1", &headers(&[("x-tenant", "b")])));
    assert!(passes(&by_header, "192.0.2.1", &HeaderMap::new()));
    assert!(!passes(&by_header, "192.0.2.1", &HeaderMap::new()));
    let lax = limit(json!({ "key": { "cookie": "s" }, "onMissingKey": "allow" }));
    assert!((0..5).all(|_| passes(&lax, "192.0.2.1", &HeaderMap::new())));
    assert!(passes(&lax, "192.0.2.1", &headers(&[("cookie", "a=b; s=1")])));
    assert!(!passes(&lax, "192.0.2.1", &headers(&[("cookie", "s=1")])));
}

#[test]
fn an_identity_counts_by_its_subject_or_a_claim() {
    let identity = |subject: &str, team: &str| Identity {
        method: Method::Jwt,
        provider: "idp".into(),
        subject: subject.to_owned(),
        scopes: Vec::new(),
        claims: json!({ "team": team }).as_object().unwrap().clone(),
    };
    let admitted = |limit: &RateLimit, identity: &Identity| {
        let limited = limit.check(asking("192.0.2.1"), &HeaderMap::new(), Some(identity), Instant::now());
        limited.unwrap().refused().is_none()
    };
    let by_subject = limit(json!({ "key": "subject" }));
    assert!(by_subject.needs_identity());
    assert!(admitted(&by_subject, &identity("ann", "x")) && admitted(&by_subject, &identity("bob", "x")));
    assert!(!admitted(&by_subject, &identity("ann", "y")));
    let by_team = limit(json!({ "key": { "claim": "team" } }));
    assert!(admitted(&by_team, &identity("ann", "x")) && !admitted(&by_team, &identity("bob", "x")));
}

#[test]
fn what_is_left_is_told_in_the_form_that_was_chosen() {
    let told = |form: &str| {
        let limit = limit(json!({ "requests": 2, "name": "shop", "headers": form }));
        let now = Instant::now();
        let check = || limit.check(asking("192.0.2.1"), &HeaderMap::new(), None, now).unwrap();
        let (first, _, third) = (check(), check(), check());
        assert_eq!(third.refused(), Some(30));
        let mut headers = HeaderMap::new();
        first.tell(&mut headers);
        let mut all: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        all.sort();
        all
    };
    assert_eq!(told("draft11"), [r#"ratelimit-policy: "shop";q=2;w=60"#, r#"ratelimit: "shop";r=1;t=30"#]);
    assert_eq!(told("xRateLimit"), ["x-ratelimit-limit: 2", "x-ratelimit-remaining: 1", "x-ratelimit-reset: 30"]);
    assert_eq!(told("none"), [""; 0]);
}

#[test]
fn several_limits_are_one_list_and_the_older_trio_tells_of_the_tightest() {
    let mut headers = HeaderMap::new();
    for (name, requests) in [("a", 9), ("b", 2), ("c", 5)] {
        for form in ["draft11", "xRateLimit"] {
            let limit = limit(json!({ "requests": requests, "name": name, "headers": form }));
            limit.check(asking("192.0.2.1"), &HeaderMap::new(), None, Instant::now()).unwrap().tell(&mut headers);
        }
    }
    assert_eq!(headers.get_all("ratelimit").iter().count(), 3);
    assert_eq!((&headers["x-ratelimit-limit"], &headers["x-ratelimit-remaining"]), (&2.into(), &1.into()));
}

#[test]
fn observing_refuses_nobody() {
    let limit = limit(json!({ "mode": "observe" }));
    assert!((0..5).all(|_| passes(&limit, "192.0.2.1", &HeaderMap::new())));
    assert_eq!(limit.would_refuse.load(Ordering::Relaxed), 4);
}
