//! What may stand in routes, and what is said of what may not.

use super::*;

/// What is said about `routes: [{ name: r, rules: [{ <rule> }] }]`, from where the rule begins.
fn of_rule(rule: &str) -> Vec<String> {
    const BEFORE: &str = "routes: [{ name: r, rules: [{ ";
    let found = complaints(&[("gateway.yaml", &format!("{BEFORE}{rule} }}] }}]"))], None);
    let shorten = |line: String| {
        let (column, message) = line.strip_prefix("gateway.yaml:1:").unwrap().split_once(' ').unwrap();
        format!("{} {message}", column.parse::<usize>().unwrap() as isize - BEFORE.len() as isize - 1)
    };
    found.into_iter().map(shorten).collect()
}

#[test]
fn mistakes_in_matches_are_found_where_they_are() {
    for (rule, want) in [
        ("matches: [{ path: { regex: 'a(' } }]", "27 not a regular expression: unclosed group"),
        ("matches: [{ path: { regex: '' } }]", "27 an empty pattern"),
        ("matches: [{ headers: { a: { regex: '[' } } }]", "35 not a regular expression: unclosed character class"),
        ("matches: [{ headers: { a: { regx: a } } }]", "28 unknown field `regx`"),
        ("matches: [{ headers: { a: {} } }]", "26 `regex` is missing"),
        ("matches: [{ headers: { a: { regex: a, present: true } } }]", "26 `regex` and `present` exclude each other"),
        ("matches: [{ headers: { a: { present: yes } } }]", "37 expected true or false, found text `yes`"),
        ("matches: [{ headers: { a: [b] } }]", "26 expected text, { regex: … } or { present: … }, found a list"),
        ("matches: [{ queryParams: { a: { regex: '*' } } }]", "39 not a regular expression: repetition operator"),
        ("matches: [{ cookies: { a: { regex: '*' } } }]", "35 not a regular expression: repetition operator"),
        ("matches: [{ cookies: { 'a b': c } }]", "23 `a b` is no name of a cookie"),
        ("matches: [{ clientIps: [10.0.0.0/8, 10.0.0.1] }]", "36 `10.0.0.1` is no network"),
        ("matches: [{ clientIps: 10.0.0.0/8 }]", "23 expected a list"),
        ("priority: high", "10 expected i32, found text `high`"),
        ("name: ''", "6 an empty name"),
    ] {
        let found = of_rule(&format!("{rule}, backendRefs: [{{ service: a }}]"));
        assert!(found.len() == 1 && found[0].starts_with(want), "{rule}\nwant {want}\nhave {found:#?}");
    }
}

#[test]
fn mistakes_in_timeouts_and_backends_are_found_where_they_are() {
    for (rule, want) in [
        ("timeouts: { backendRequest: 0s }, backendRefs: [{ service: a }]", "28 `0s` would end every request"),
        (
            "timeouts: { request: 1s, backendRequest: 2s }, backendRefs: [{ service: a }]",
            "41 `2s` is longer than `request` (1s)",
        ),
        (
            "backendRefs: [{ service: a, filters: [{ compression: {} }] }]",
            "40 `compression` works before a backend is chosen: move it to the rule's own `filters`",
        ),
        ("backendRefs: [{ service: a, filters: [{ rewrite: { prefix: x } }] }]", "59 `x` is no path"),
        ("filters: [{ compression: {} }]", "-2 no backend: name at least one service in `backendRefs`"),
        (
            "filters: [{ compression: {} }], backendRefs: []",
            "32 no backend: name at least one service in `backendRefs`",
        ),
        (
            "matches: [{ path: { regex: /a } }], filters: [{ rewrite: { prefix: / } }], backendRefs: [{ service: a }]",
            "48 `rewrite` replaces a matched prefix, but the match in line 1 is `regex`",
        ),
    ] {
        let found = of_rule(rule);
        assert!(found.len() == 1 && found[0].starts_with(want), "{rule}\nwant {want}\nhave {found:#?}");
    }
}

#[test]
fn a_rule_whose_filter_answers_needs_no_backend() {
    for answer in ["{ redirect: {} }", "{ staticResponse: {} }"] {
        let found = of_rule(&format!("filters: [{{ compression: {{}} }}, {answer}]"));
        // Whatever the filter itself lacks.
        assert!(!found.iter().any(|line| line.contains("backend")), "{found:#?}");
    }
}

#[test]
fn a_rule_is_never_reached_when_an_equal_match_comes_first_or_has_a_higher_priority() {
    let rule = |more: &str| format!("{{ {more} backendRefs: [{{ service: a }}] }}");
    let found = |first: &str, second: &str| {
        let listeners = "listeners: [{ name: web, address: '127.0.0.1:1' }, { name: other, address: '127.0.0.1:2' }]";
        let text = format!("routes:\n  - {{ name: a, {first} }}\n  - {{ name: b, {second} }}\n{listeners}\n");
        complaints(&[("gateway.yaml", &text)], None)
    };
    let with = |hosts: &str, more: &str| format!("hostnames: [{hosts}], rules: [{}]", rule(more));
    let shadowed = |lines: Vec<String>, line: usize, by: &str| {
        let [only] = lines.as_slice() else { panic!("{lines:#?}") };
        assert!(only.starts_with(&format!("gateway.yaml:{line}:")), "{only}");
        assert!(only.contains(&format!("never reached: route `{by}`")), "{only}");
    };
    shadowed(found(&with("x.y", ""), &with("x.y", "")), 3, "a");
    shadowed(found(&with("x.y", ""), &with("x.y", "priority: 1,")), 2, "b");
    shadowed(found(&with("x.y", "priority: 1,"), &with("x.y", "")), 3, "a");
    shadowed(found(&with("x.y, z.y", ""), &with("z.y", "")), 3, "a");
    let fine = |first: &str, second: &str| assert_eq!(found(first, second), [""; 0], "{first}\n{second}");
    fine(&with("x.y", ""), &with("x.y, z.y", ""));
    fine(&with("x.y", "priority: 1,"), &with("x.y, z.y", ""));
    fine(&with("x.y", "matches: [{ cookies: { a: b } }],"), &with("x.y", ""));
    fine(
        &with("x.y", "matches: [{ headers: { a: b } }],"),
        &with("x.y", "matches: [{ headers: { a: { regex: b } } }],"),
    );
    fine(&with("x.y", "matches: [{ clientIps: [10.0.0.0/8] }],"), &with("x.y", ""));
    fine(&format!("listeners: [web], {}", with("x.y", "")), &with("x.y", ""));
    shadowed(
        found(
            &with("x.y", "matches: [{ clientIps: [10.0.0.1/8] }],"),
            &with("x.y", "matches: [{ clientIps: [10.0.0.0/8] }],"),
        ),
        3,
        "a",
    );
}

#[test]
fn names_of_rules_are_unique_in_their_route_and_merge_in_an_overlay() {
    let base = "routes:
  - name: a
    rules:
      - { name: x, matches: [{ path: { prefix: /x } }], backendRefs: [{ service: one }] }
      - { name: y, matches: [{ path: { prefix: /y } }], backendRefs: [{ service: two }] }
";
    let twice = base.replace("name: y", "name: x");
    assert_eq!(
        complaints(&[("gateway.yaml", &twice)], None),
        ["gateway.yaml:5:17 the rule in line 4 is named `x` too"]
    );
    let overlay = "routes: [{ name: a, rules: [{ name: y, timeouts: { request: 1s } }] }]";
    let gateway = load_files(&[("gateway.yaml", base), ("env/e.yaml", overlay)], Some("e")).unwrap().gateway;
    let [x, y] = gateway.routes[0].rules.as_slice() else { panic!() };
    assert_eq!((x.timeouts.request, y.timeouts.request), (None, Some(Duration::secs(1))));
    assert_eq!(y.backend_refs[0].service, "two");
}

#[test]
fn values_are_read_as_written() {
    let text =
        "routes: [{ name: r, rules: [{ matches: [{ headers: { a: 1.10, b: { regex: '1.*' }, c: { present: false } } }],
      backendRefs: [{ service: a }] }] }]";
    let gateway = load_files(&[("gateway.yaml", text)], None).unwrap().gateway;
    let headers = &gateway.routes[0].rules[0].matches[0].headers;
    assert_eq!(headers["a"], ValueMatch::Exact("1.10".into()));
    assert_eq!(headers["b"], ValueMatch::Regex("1.*".into()));
    assert_eq!(headers["c"], ValueMatch::Present(false));
}
