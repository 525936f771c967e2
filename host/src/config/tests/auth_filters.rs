//! Typical mistakes in `ipRules`, `apiKey`, `basicAuth` and `authorization`: where they are found and what is said.

use super::*;

/// The list of filters on one line of `gateway.yaml`, and what must be complained about.
fn said(filters: &str) -> Vec<String> {
    complaints(&[("gateway.yaml", &format!("filters:\n{filters}\n"))], None)
}

#[test]
fn mistakes_are_found_where_they_are() {
    for (filter, place, message) in [
        ("- ipRules: {}", "2:12", "neither `allow` nor `deny`"),
        ("- ipRules: { allow: [10.1] }", "2:22", "`10.1` is no network"),
        ("- ipRules: { deny: [10.0.0.0/8], allow: [10.1.0.0/16] }", "2:42", "`10.1.0.0/16` is never let in"),
        ("- apiKey: {}", "2:11", "`keys` is missing"),
        ("- apiKey: { keys: secret }", "2:19", "unknown value `secret`"),
        ("- apiKey: { keys: { text: k } }", "2:21", "unknown key `text`"),
        ("- apiKey: { keys: { file: '' } }", "2:27", "an empty path"),
        ("- apiKey: { keys: { env: A=B } }", "2:26", "`A=B` cannot be the name of a variable"),
        ("- apiKey: { keys: { file: k }, from: { header: 'x y' } }", "2:48", "`x y` is no header name"),
        ("- apiKey: { keys: { file: k }, from: { header: Cookie } }", "2:48", "`Cookie` carries more than a key"),
        ("- apiKey: { keys: { file: k }, from: { query: 'a&b' } }", "2:47", "a parameter's name has letters"),
        ("- apiKey: { keys: { file: k }, subjectHeader: Host }", "2:47", "`Host` has a meaning of its own"),
        ("- apiKey: { keys: { file: k }, subjectHeader: x_forwarded_for }", "2:47", "has a meaning of its own"),
        ("- apiKey: { keys: { file: k }, subjectHeader: X_Api_Key }", "2:47", "is where the key comes from"),
        ("- basicAuth: { users: { file: u }, realm: 'a\"b' }", "2:43", "a realm is made of printable ASCII"),
        ("- basicAuth: { users: { file: u }, subjectHeader: 'x y' }", "2:51", "`x y` is no header name"),
        ("- basicAuth: { user: { file: u } }", "2:16", "unknown field `user`"),
        ("- authorization: { default: ask }", "2:29", "unknown value `ask`"),
        ("- authorization: { rules: [{ permit: {} }] }", "2:30", "unknown key `permit`"),
        ("- authorization: { rules: [{ allow: {}, deny: {} }] }", "2:41", "expected only one key"),
        ("- authorization: { rules: [{ allow: { methods: [get] } }] }", "2:49", "`get` is no method"),
        ("- authorization: { rules: [{ allow: { paths: [{ prefix: a }] } }] }", "2:57", "`a` is no path"),
        ("- authorization: { rules: [{ allow: { scopes: ['a b'] } }] }", "2:48", "`a b` can never be there"),
        ("- authorization: { rules: [{ allow: { claims: { role: [] } } }] }", "2:49", "`role` has no values"),
        (
            "- authorization: { rules: [{ deny: { subjects: [a], authenticated: false } }] }",
            "2:68",
            "never holds: who has scopes",
        ),
    ] {
        let said = said(filter);
        let [only] = said.as_slice() else { panic!("{filter}: {said:#?}") };
        assert!(only.starts_with(&format!("gateway.yaml:{place} ")) && only.contains(message), "{filter}: {only}");
    }
}

#[test]
fn a_rule_that_never_decides_is_a_mistake() {
    for (earlier, later, covered) in [
        ("{}", "{ methods: [GET] }", true),
        ("{}", "{}", true),
        ("{ methods: [GET] }", "{}", false),
        ("{ methods: [GET, PUT] }", "{ methods: [HEAD] }", true),
        ("{ methods: [HEAD] }", "{ methods: [GET] }", false),
        ("{ paths: [{ prefix: /a }] }", "{ paths: [{ exact: /a/b }, { prefix: /a/ }] }", true),
        ("{ paths: [{ prefix: /a }] }", "{ paths: [{ exact: /a/b }, { prefix: /ab }] }", false),
        ("{ paths: [{ exact: /a }] }", "{ paths: [{ prefix: /a }] }", false),
        ("{ paths: [{ prefix: / }] }", "{ paths: [{ prefix: /a }] }", true),
        ("{ scopes: [a] }", "{ scopes: [b, a] }", true),
        ("{ scopes: [a, b] }", "{ scopes: [a] }", false),
        ("{ anyScope: [a, b] }", "{ anyScope: [b] }", true),
        ("{ anyScope: [a, b] }", "{ scopes: [c, b] }", true),
        ("{ anyScope: [a] }", "{ anyScope: [a, b] }", false),
        ("{ claims: { r: [a, b] } }", "{ claims: { r: [a], s: [x] } }", true),
        ("{ claims: { r: [a] } }", "{ claims: { r: [a, b] } }", false),
        ("{ subjects: [a, b] }", "{ subjects: [b] }", true),
        ("{ subjects: [a] }", "{ authenticated: true }", false),
        ("{ authenticated: true }", "{ subjects: [a] }", true),
        ("{ authenticated: false }", "{ authenticated: false, methods: [GET] }", true),
        ("{ authenticated: false }", "{ authenticated: true }", false),
    ] {
        let rules = format!("- authorization:\n    rules:\n      - allow: {earlier}\n      - deny: {later}");
        let said = said(&rules);
        let found = said.iter().any(|line| {
            line.starts_with("gateway.yaml:5:") && line.contains("never decides: the rule in line 4 holds whenever")
        });
        assert_eq!((said.len(), found), (usize::from(covered), covered), "{earlier} {later}: {said:?}");
    }
}
