//! What is warned about, where, and what is not. Each warning has a neighbour that is fine.

mod shadow;
mod way_around;

use super::super::{Source, load};

/// `file:line:column message` of all warnings about files that have no errors.
fn warnings_of(files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let config = load(&Source { dir: dir.path().to_owned(), env: None }).unwrap_or_else(|errors| panic!("{errors}"));
    let lines = config.warnings.iter().flatten().map(|warning| {
        let file = warning.file().strip_prefix(dir.path()).unwrap().display();
        let (line, column) = warning.position().unwrap();
        format!("{file}:{line}:{column} {}", warning.message())
    });
    lines.collect()
}

/// The same for a `gateway.yaml` alone, without its name.
fn of_gateway(text: &str) -> Vec<String> {
    let warnings = warnings_of(&[("gateway.yaml", text)]);
    warnings.into_iter().map(|line| line.strip_prefix("gateway.yaml:").unwrap().to_owned()).collect()
}

/// What is warned about begins with what is wanted, one for one.
#[track_caller]
fn assert_warns(gateway: &str, wanted: &[&str]) {
    let found = of_gateway(gateway);
    let same = found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, want)| found.starts_with(want));
    assert!(same, "{gateway}\nwant {wanted:#?}\nhave {found:#?}");
}

#[test]
fn an_ordinary_configuration_is_not_warned_about() {
    assert_warns("", &[]);
    assert_warns(include_str!("../../../../gateway-config/gateway.yaml"), &[]);
    assert_warns("trustedProxies: [10.0.0.0/8, 192.0.2.1/32, 'fd00::/8']", &[]);
}

#[test]
fn believing_every_peer_is_warned_about() {
    assert_warns(
        "trustedProxies: [0.0.0.0/0, 10.0.0.0/8, '::/0']",
        &["1:18 `0.0.0.0/0` believes everybody", "1:41 `::/0` believes everybody"],
    );
}

#[test]
fn trying_again_after_a_timeout_without_a_timeout_for_one_try_is_warned_about() {
    let rule = |timeouts: &str, retry: &str| format!("{timeouts}retry: {retry}, backendRefs: [{{ service: a }}]");
    let warning = "a try that takes too long is not made again: `timeouts.request` ends all tries together, so give \
                   `timeouts.backendRequest` too";
    assert_rule_warns("", &rule("", "{ codes: [503, 504] }"), &[&format!("22 {warning}")]);
    assert_rule_warns("", &rule("timeouts: { backendRequest: 1s }, ", "{ codes: [503, 504] }"), &[]);
    assert_rule_warns("defaults: { timeouts: { backendRequest: 1s } }\n", &rule("", "{ codes: [504] }"), &[]);
    assert_rule_warns("", &rule("", "{ codes: [502, 503] }"), &[]);
    // Of the usual codes 504 is one, and nobody has chosen it.
    assert_rule_warns("", &rule("", "{}"), &[]);
    let of_service = |file: &str| warnings_of(&[("services/a.yaml", file)]);
    assert_eq!(of_service("retry: { codes: [504] }"), [format!("services/a.yaml:1:18 {warning}")]);
    assert!(of_service("retry: { codes: [504] }\ntimeouts: { backendRequest: 5s }").is_empty());
}

const PLAIN: &str =
    "auth: { providers: [{ name: idp, issuer: i, audiences: any, algorithms: [ES256], jwks: { file: k } }] }\n";

/// The same for `routes: [{ name: r, rules: [{ <rule> }] }]` after other lines; columns count from where it begins.
#[track_caller]
fn assert_rule_warns(before: &str, rule: &str, wanted: &[&str]) {
    const BEFORE: &str = "routes: [{ name: r, rules: [{ ";
    let found = of_gateway(&format!("{before}{BEFORE}{rule} }}] }}]"));
    let line = format!("{}:", before.lines().count() + 1);
    let shorten = |found: &String| {
        let (column, message) = found.strip_prefix(&line).unwrap().split_once(' ').unwrap();
        format!("{} {message}", column.parse::<usize>().unwrap() - BEFORE.len() - 1)
    };
    let found: Vec<String> = found.iter().map(shorten).collect();
    let same = found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, want)| found.starts_with(want));
    assert!(same, "{rule}\nwant {wanted:#?}\nhave {found:#?}");
}

#[test]
fn a_bound_that_cannot_apply_is_warned_about() {
    let rule = "timeouts: { request: 20s, backendRequest: 16s }, backendRefs: [{ service: a }]";
    let longest = "has no effect: a rule only shortens `timeouts.request` of its services, which is 15s at most";
    assert_rule_warns("", rule, &[&format!("21 `20s` {longest}"), &format!("42 `16s` {longest}")]);
    assert_rule_warns("", "timeouts: { request: 15s, backendRequest: 14s }, backendRefs: [{ service: a }]", &[]);
    let more =
        "27 `257` has no effect: it never allows more than `bulkhead.maxConcurrent` of its services, which is 256";
    assert_rule_warns("", "bulkhead: { maxConcurrent: 257 }, backendRefs: [{ service: a }]", &[more]);
    assert_rule_warns("", "bulkhead: { maxConcurrent: 256 }, backendRefs: [{ service: a }]", &[]);
    assert_rule_warns("", "bulkhead: { maxConcurrent: 512 }, backendRefs: [{ service: a }, { service: b }]", &[]);
    let two =
        "routes: [{ name: r, rules: [{ timeouts: { request: 20s }, backendRefs: [{ service: a }, { service: b }] }] }]";
    for (of_b, warned) in [("10s", true), ("20s", false), ("30s", false), ("0s", false)] {
        let file = format!("timeouts: {{ request: {of_b} }}");
        let found = warnings_of(&[("gateway.yaml", two), ("services/b.yaml", &file)]);
        assert_eq!(found.len(), usize::from(warned), "{of_b} {found:?}");
    }
    let limit = |max: &str| format!("filters: [{{ bodyLimit: {{ max: {max} }} }}], backendRefs: [{{ service: a }}]");
    let warning = "30 `11MiB` has no effect: it never allows more than `limits.requestBody`, which is 10MiB";
    assert_rule_warns("", &limit("11MiB"), &[warning]);
    assert_rule_warns("", &limit("10MiB"), &[]);
    assert_eq!(
        warnings_of(&[("services/a.yaml", "limits: { requestBody: 1KiB }\nfilters: [{ bodyLimit: { max: 2KiB } }]")]),
        ["services/a.yaml:2:31 `2KiB` has no effect: it never allows more than `limits.requestBody`, which is 1KiB"]
    );
}

#[test]
fn what_stands_beside_an_answer_is_warned_about() {
    let redirect = "filters: [{ redirect: { path: /b } }]";
    assert_rule_warns("", redirect, &[]);
    let warning = "39 never gets a request: `redirect` answers all of them";
    assert_rule_warns("", &format!("{redirect}, backendRefs: [{{ service: a }}]"), &[warning]);
    assert_rule_warns(
        "",
        "filters: [{ redirect: { path: /b } }, { rewrite: { path: /c } }, { staticResponse: {} }, { compression: {} }]",
        &[
            "12 has no effect: `staticResponse` answers all requests",
            "40 has no effect: `staticResponse` answers all requests",
        ],
    );
    assert_rule_warns(
        "",
        "filters: [{ mirror: { service: b } }, { staticResponse: {} }, { fault: { abort: { status: 500, percent: 5 } } }]",
        &[
            "12 has no effect: `staticResponse` answers all requests",
            "64 has no effect: `staticResponse` answers all requests",
        ],
    );
}

#[test]
fn letting_everybody_in_is_warned_about() {
    let cors = |origins: &str, credentials: bool| {
        format!("filters: [{{ cors: {{ allowOrigins: ['{origins}'], allowCredentials: {credentials} }} }}]")
    };
    assert_warns(&cors("*", true), &["1:60 together with `allowOrigins: [\"*\"]` any page may act"]);
    assert_warns(&cors("*", false), &[]);
    assert_warns(&cors("https://*.example.com", true), &[]);
    assert_warns(
        "filters: [{ ipRules: { allow: [10.0.0.0/8, 0.0.0.0/0, '::/0'], deny: [10.6.6.6/32] } }]",
        &["1:44 lets in every IPv4 address", "1:55 lets in every IPv6 address"],
    );
    assert_warns("filters: [{ ipRules: { deny: [0.0.0.0/0] } }]", &[]);
}

#[test]
fn rate_limits_that_cannot_be_told_apart_are_warned_about() {
    let limit = |fields: &str| format!("  - rateLimit: {{ requests: 1, per: 1s{fields} }}\n");
    let two = |one: &str, other: &str| format!("filters:\n{}{}", limit(one), limit(other));
    assert_warns(&two("", ""), &["3:5 clients cannot tell this limit from the one in line 2: name both"]);
    assert_warns(&two(", name: a", ", name: b"), &[]);
    assert_warns(&two("", ", name: b"), &[]);
    assert_warns(&two("", ", headers: none"), &[]);
}

#[test]
fn questions_of_identity_that_nobody_answers_are_warned_about() {
    let rule = |filters: &str| format!("filters: [{filters}], backendRefs: [{{ service: a }}]");
    let scopes = "authorization: { rules: [{ allow: { scopes: [x] } }] }";
    let claims = "authorization: { rules: [{ allow: { claims: { t: [x] } } }] }";
    let (key, basic) = ("{ apiKey: { keys: { file: k } } }", "{ basicAuth: { users: { file: u } } }");
    let exposed = "defaults: {}\n";
    let nobody = "never holds: there is no `jwt`, `apiKey` or `basicAuth` here";
    // The rule has guards of its own, and so the service must have no other way.
    let around = "there is a way around it";
    assert_rule_warns(exposed, &rule(&format!("{{ {scopes} }}")), &[&format!("12 {around}"), &format!("39 {nobody}")]);
    assert_rule_warns(exposed, &rule(&format!("{key}, {{ {scopes} }}")), &[&format!("12 {around}")]);
    assert_rule_warns(
        exposed,
        &rule(&format!("{key}, {{ {claims} }}")),
        &[&format!("12 {around}"), "74 never holds: claims come with tokens"],
    );
    assert_rule_warns(
        exposed,
        &rule(&format!("{basic}, {{ {scopes} }}")),
        &[&format!("12 {around}"), "78 never holds: scopes come with tokens and API keys"],
    );
    let anonymous = "{ authorization: { rules: [{ allow: { methods: [GET], authenticated: false } }] } }";
    assert_rule_warns(exposed, &rule(anonymous), &[&format!("12 {around}")]);

    let limit = |key: &str| rule(&format!("{{ rateLimit: {{ requests: 1, per: 1s, key: {key} }} }}"));
    assert_rule_warns("", &limit("subject"), &["47 there is no `jwt`, `apiKey` or `basicAuth` here, so this key"]);
    assert_rule_warns("", &limit("clientIp"), &[]);
    let jwt = format!("{PLAIN}filters: [{{ jwt: {{ provider: idp }} }}]\n");
    assert_rule_warns(&jwt, &limit("{ claim: t }"), &[]);
    assert_rule_warns(
        &jwt,
        &format!("public: true, {}", limit("{ claim: t }")),
        &["61 there is no `jwt`, `apiKey` or `basicAuth` here (`public` takes away those of gateway.yaml)"],
    );
    let keys = format!("filters: [{key}]\n");
    assert_rule_warns(&keys, &limit("subject"), &[]);
    assert_rule_warns(&keys, &limit("{ claim: t }"), &["47 claims come with tokens, and there is no `jwt` here"]);
}

#[test]
fn what_the_gateway_asks_may_be_answered_by_a_route() {
    let gateway = "filters: [{ authorization: { rules: [{ allow: { scopes: [x] } }] } }]\n";
    assert_warns(gateway, &["1:40 never holds: there is no `jwt`, `apiKey` or `basicAuth` here"]);
    assert_rule_warns(
        gateway,
        "filters: [{ apiKey: { keys: { file: k } } }], backendRefs: [{ service: a }]",
        &["12 there is a way around it"],
    );
}

#[test]
fn rules_that_refuse_nobody_are_warned_about() {
    let gateway = |rule: &str, default: &str| {
        format!(
            "filters: [{{ authorization: {{ rules: [{rule}], default: {default} }} }}, \
             {{ apiKey: {{ keys: {{ file: k }} }} }}]"
        )
    };
    let warning = "1:13 refuses nobody: all that no rule speaks of is allowed";
    assert_warns(&gateway("{ allow: { scopes: [x] } }", "allow"), &[warning]);
    assert_warns(&gateway("{ allow: { scopes: [x] } }", "deny"), &[]);
    assert_warns(&gateway("{ deny: { methods: [DELETE] } }", "allow"), &[]);
}

#[test]
fn proof_that_may_be_left_out_and_that_nobody_looks_at_is_warned_about() {
    let gateway = |more: &str, after: &str| {
        format!("filters: [{{ apiKey: {{ keys: {{ file: k }}, optional: true{more} }} }}{after}]")
    };
    assert_warns(&gateway("", ""), &["1:52 protects nothing: whoever sends no credentials passes"]);
    assert_warns(&gateway(", subjectHeader: x-who", ""), &[]);
    assert_warns(&gateway("", ", { rateLimit: { requests: 1, per: 1s, key: subject } }"), &[]);
    assert_warns(
        &gateway("", ", { basicAuth: { users: { file: u } } }"),
        &["1:52 has no effect: `basicAuth` beside it may not be left out"],
    );
}

#[test]
fn being_public_without_effect_is_warned_about() {
    let rule = "public: true, filters: [{ apiKey: { keys: { file: k } } }], backendRefs: [{ service: a }]";
    let (public, around) =
        ("8 does not let anybody come: it takes away filters of gateway.yaml only", "26 there is a way");
    assert_rule_warns("", rule, &[public, around]);
    // Here it takes away something.
    let gateway = "filters: [{ authorization: { rules: [{ deny: { methods: [DELETE] } }], default: allow } }]\n";
    assert_rule_warns(gateway, rule, &[around]);
}

#[test]
fn credentials_in_the_clear_are_warned_about() {
    let filters = "filters: [{ apiKey: { keys: { file: k } } }]\n";
    for (listen, warned) in [
        ("127.0.0.1:80", false),
        ("'[::1]:80'", false),
        ("10.1.2.3:80", false),
        ("'[fd00::1]:80'", false),
        ("0.0.0.0:80", true),
        ("'[::]:80'", true),
        ("192.0.2.1:80", true),
    ] {
        let gateway = format!("{filters}listen: {listen}\n");
        let warning = ["2:9 `apiKey` takes credentials, and here they come in the clear"];
        assert_warns(&gateway, if warned { &warning } else { &[] });
        assert_warns(&gateway.replace(filters, ""), &[]);
        assert_warns(&format!("{gateway}trustedProxies: [10.0.0.0/8]\n"), &[]);
    }
    let listeners = "listeners:
  - { name: sends-on, address: '0.0.0.0:80', redirectToHttps: true }
  - { name: tls, address: '0.0.0.0:443', tls: { certificates: [{ cert: c, key: k }] } }
  - { name: plain, address: '0.0.0.0:81' }
";
    assert_warns(&format!("{listeners}{filters}"), &["4:29 `apiKey` takes credentials"]);
}

#[test]
fn hosts_that_no_listener_answers_for_are_warned_about() {
    let gateway = |hosts: &str, listeners: &str| {
        format!(
            "listeners:
  - {{ name: sends-on, address: '127.0.0.1:80', redirectToHttps: true }}
  - {{ name: one, address: '127.0.0.1:81', hostname: a.example.com }}
  - {{ name: many, address: '127.0.0.1:82', hostname: '*.shop.example.com' }}
routes: [{{ name: r, hostnames: [{hosts}], listeners: [{listeners}], rules: [{{ backendRefs: [{{ service: a }}] }}] }}]"
        )
    };
    for fine in ["a.example.com", "b.shop.example.com", "'*.eu.shop.example.com'", "'*.example.com'", "'*.com'"] {
        assert_warns(&gateway(fine, ""), &[]);
    }
    let none = "never reached: no listener answers for";
    for wrong in ["shop.example.com", "b.example.com", "'*.example.org'", "'*.a.example.com'"] {
        let shown = wrong.trim_matches('\'');
        let warning = format!("5:33 {none} `{shown}`, there is a.example.com, *.shop.example.com");
        assert_warns(&gateway(wrong, ""), &[&warning]);
    }
    let warning = format!("5:48 {none} `b.shop.example.com`, there is a.example.com");
    assert_warns(&gateway("a.example.com, b.shop.example.com", "one"), &[&warning]);
    assert_warns(&gateway("", "sends-on"), &["5:36 never reached: every listener here sends all requests on to https"]);
    assert_warns(&gateway("", "sends-on, one"), &[]);
}

#[test]
fn a_path_that_no_request_has_is_warned_about() {
    const BACKEND: &str = "backendRefs: [{ service: a }]";
    let rule =
        |path: &str| format!("routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ {path} }} }}], {BACKEND} }}] }}]");
    let warns = |text: &str, path: &str| {
        let column = text.find(path).unwrap() + 1;
        let path = path.trim_matches('\'');
        assert_warns(text, &[&format!("1:{column} no request ever has the path `{path}`")]);
    };
    for (path, setting) in [
        ("'/a//b'", "mergeSlashes: false"),
        ("'/a;b'", "pathParameters: forward"),
        ("'/a%2Fb'", "encodedSlashes: forward"),
        ("'/a%5Cb'", "encodedSlashes: forward"),
    ] {
        for kind in ["exact", "prefix"] {
            let text = rule(&format!("{kind}: {path}"));
            warns(&text, path);
            assert_warns(&format!("{text}\nrequests: {{ {setting} }}"), &[]);
        }
    }
    assert_warns(&rule("prefix: /a//"), &[]);
    assert_warns(&rule("regex: '/a;b//'"), &[]);
    let denied = "filters: [{ authorization: { rules: [{ deny: { paths: [{ prefix: '/a;b' }, { exact: /b }] } }] } }]";
    warns(denied, "'/a;b'");
    let of_rule = format!("routes: [{{ name: r, rules: [{{ {denied}, {BACKEND} }}] }}]");
    assert!(of_gateway(&of_rule).iter().any(|warning| warning.starts_with("1:96 no request ever has")));
    let of_service = warnings_of(&[("services/a.yaml", denied)]);
    assert!(matches!(&of_service[..], [one] if one.starts_with("services/a.yaml:1:66 no request")), "{of_service:?}");
}

#[test]
fn a_subscription_to_what_nobody_may_publish_is_warned_about() {
    let mail = "subscriptions: [{ topic: order.* }, { name: x, topics: [user.created, '#.failed'] }]";
    let orders = "grants: { publish: [order.created, payment.#] }";
    let warnings = warnings_of(&[("services/mail.yaml", mail), ("services/orders.yaml", orders)]);
    assert_eq!(
        warnings,
        ["services/mail.yaml:1:57 nobody may publish `user.created`: `grants.publish` of no service has it"]
    );
}

#[test]
fn a_schedule_whose_topic_is_not_granted_is_warned_about() {
    let schedule = "schedules: [{ name: n, cron: 0 0 * * *, topic: order.close }]";
    let granted = format!("{schedule}\ngrants: {{ publish: [order.*] }}");
    assert_eq!(warnings_of(&[("services/orders.yaml", &granted)]), [""; 0]);
    let warnings = warnings_of(&[("services/orders.yaml", schedule)]);
    assert!(warnings.len() == 1 && warnings[0].contains("`order.close` is never published"), "{warnings:?}");
}
