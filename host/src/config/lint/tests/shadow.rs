//! Matches that can never win, and those that look like it.

use super::{assert_warns, of_gateway};

/// Two routes, each `hostnames, listeners` and one rule; the second is warned about if it is never reached.
fn never_reached((first_route, first): (&str, &str), (second_route, second): (&str, &str)) -> bool {
    let route = |name: &str, fields: &str, rule: &str| {
        format!("  - {{ name: {name}, {fields} rules: [{{ {rule} backendRefs: [{{ service: a }}] }}] }}\n")
    };
    let listeners = "listeners: [{ name: x, address: '127.0.0.1:1' }, { name: y, address: '127.0.0.1:2' }]\n";
    let routes = format!("{listeners}routes:\n{}{}", route("a", first_route, first), route("b", second_route, second));
    let found = of_gateway(&routes);
    assert!(found.len() <= 1, "{found:?}");
    let shown =
        |found: &String| found.contains("never reached: route `a` matches all of this in line 3 and comes first");
    assert!(found.iter().all(|found| found.starts_with("4:") && shown(found)), "{found:?}");
    !found.is_empty()
}

#[test]
fn what_is_narrower_and_comes_later_is_never_reached() {
    for (first, second) in [
        ("headers: { A: { present: true } }", "headers: { a: x }"),
        ("headers: { a: { regex: 'v.*' } }", "headers: { a: v2 }"),
        ("headers: { a: { present: true } }", "headers: { a: { regex: x } }"),
        ("cookies: { a: { present: true } }", "cookies: { a: x }"),
        ("queryParams: { a: { present: true } }", "queryParams: { a: x }"),
        ("clientIps: [10.0.0.0/8, 192.0.2.0/24]", "clientIps: [10.1.0.0/16]"),
        ("path: { regex: '.*' }", "path: { prefix: /api }"),
        ("path: { regex: '/api.*' }", "path: { prefix: /api }"),
        ("path: { regex: '/api/.*' }", "path: { prefix: /api/v1 }, method: GET"),
        ("path: { regex: '/api/long.*' }", "path: { prefix: /api/long }, headers: { a: b }"),
    ] {
        let (wide, narrow) = (format!("matches: [{{ {first} }}],"), format!("matches: [{{ {second} }}],"));
        assert!(never_reached(("", &wide), ("", &narrow)), "{first}  {second}");
    }
}

#[test]
fn what_can_be_reached_is_not_warned_about() {
    for (first, second) in [
        ("path: { prefix: / }", "path: { prefix: /api }"),
        ("path: { prefix: /api }", "path: { exact: /api }"),
        ("path: { prefix: /api }", "path: { regex: '/api/.*' }"),
        ("path: { regex: '/api/.*' }", "path: { prefix: /api }"),
        ("path: { regex: '/api/.*' }", "path: { prefix: /apis }"),
        ("path: { regex: '/api/.*' }", "path: { exact: /api/x }"),
        ("path: { regex: '/a.i.*' }", "path: { prefix: /api }"),
        ("path: { regex: '.*' }, method: GET", "path: { prefix: /api }"),
        ("method: GET", "method: GET, headers: { a: b }"),
        ("headers: { a: x }", "headers: { a: { present: true } }"),
        ("headers: { a: { present: false } }", "headers: { a: x }"),
        ("headers: { a: { regex: 'v.' } }", "headers: { a: v20 }"),
        ("headers: { a: { present: true } }", "headers: { b: x }"),
        ("cookies: { a: { present: true } }", "cookies: { A: x }"),
        ("clientIps: [10.1.0.0/16]", "clientIps: [10.0.0.0/8]"),
        ("clientIps: [10.0.0.0/8]", "clientIps: [10.1.0.0/16, 192.0.2.0/24]"),
        ("clientIps: [10.0.0.0/8]", "clientIps: [10.1.0.0/16], cookies: { a: b }"),
    ] {
        let (one, other) = (format!("matches: [{{ {first} }}],"), format!("matches: [{{ {second} }}],"));
        assert!(!never_reached(("", &one), ("", &other)), "{first}  {second}");
    }
}

#[test]
fn hosts_and_listeners_must_be_covered_too() {
    let (wide, narrow) = ("matches: [{ headers: { a: { present: true } } }],", "matches: [{ headers: { a: x } }],");
    for (first, second, shadowed) in [
        ("hostnames: [a.com],", "hostnames: [a.com],", true),
        ("hostnames: [a.com, b.com],", "hostnames: [b.com],", true),
        ("hostnames: [a.com],", "hostnames: [a.com, b.com],", false),
        // A more specific host comes first, and a less specific one is not covered.
        ("", "hostnames: [a.com],", false),
        ("hostnames: [a.com],", "", false),
        ("hostnames: ['*.com'],", "hostnames: [a.com],", false),
        ("", "listeners: [x],", true),
        ("listeners: [x, y],", "", true),
        ("listeners: [x],", "", false),
        ("listeners: [x],", "listeners: [y],", false),
    ] {
        assert_eq!(never_reached((first, wide), (second, narrow)), shadowed, "{first}  {second}");
    }
}

#[test]
fn a_higher_priority_covers_more() {
    for (first, second, shadowed) in [
        (("", "priority: 1,"), ("hostnames: [a.com],", "matches: [{ path: { exact: /x } }],"), true),
        (("hostnames: ['*.com'],", "priority: 1,"), ("hostnames: [a.com, '*.b.com'],", ""), true),
        (("hostnames: ['*.com'],", "priority: 1,"), ("hostnames: [a.com, b.org],", ""), false),
        (("hostnames: ['*.a.com'],", "priority: 1,"), ("hostnames: ['*.com'],", ""), false),
        (("hostnames: [a.com],", "priority: 1,"), ("", ""), false),
        (("", "priority: 1,"), ("hostnames: [a.com],", "priority: 1,"), false),
        (("", "priority: 1,"), ("hostnames: [a.com],", "priority: 2,"), false),
        (
            ("", "priority: 1, matches: [{ path: { prefix: /a/ } }],"),
            ("", "matches: [{ path: { prefix: /a/b } }],"),
            true,
        ),
        (
            ("", "priority: 1, matches: [{ path: { prefix: /a } }],"),
            ("", "matches: [{ path: { prefix: /ab } }],"),
            false,
        ),
        (("", "priority: 1, matches: [{ path: { exact: /a } }],"), ("", "matches: [{ path: { prefix: /a } }],"), false),
        (
            ("", "priority: 1, matches: [{ path: { regex: '/a.' } }],"),
            ("", "matches: [{ path: { exact: /ab } }],"),
            true,
        ),
        (("", "priority: 1,"), ("", "matches: [{ path: { regex: '/a.' } }],"), true),
    ] {
        assert_eq!(never_reached(first, second), shadowed, "{first:?}  {second:?}");
    }
}

#[test]
fn matches_of_one_rule_do_not_shadow_each_other_and_each_of_another_is_looked_at() {
    let routes = "routes:
  - name: a
    rules:
      - { matches: [{ clientIps: [10.0.0.0/8] }, { clientIps: [10.1.0.0/16] }], backendRefs: [{ service: a }] }
      - { matches: [{ method: GET }, { clientIps: [10.2.0.0/16] }], backendRefs: [{ service: a }] }
";
    assert_warns(routes, &["5:38 never reached: route `a` matches all of this in line 4 and comes first"]);
}
