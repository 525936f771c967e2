//! Guards on one way to a service, and none on the other.

use super::{assert_warns, warnings_of};

const KEY: &str = "{ apiKey: { keys: { file: k } } }";
const IPS: &str = "{ ipRules: { allow: [10.0.0.0/8] } }";

fn route(fields: &str, rule: &str) -> String {
    format!("routes:\n  - name: r\n{fields}    rules:\n      - {{ {rule} backendRefs: [{{ service: orders }}] }}\n")
}

/// Whether a rule with these filters is warned about with this `gateway.yaml` around it and this file of the service.
fn has_way_around(gateway: &str, route: &str, service: &str) -> bool {
    let found = warnings_of(&[("gateway.yaml", &format!("{gateway}{route}")), ("services/orders.yaml", service)]);
    assert!(found.len() <= 1 && found.iter().all(|found| found.contains("there is a way around it: `/")), "{found:?}");
    !found.is_empty()
}

#[test]
fn an_automatic_route_without_the_guards_of_a_rule_is_warned_about() {
    assert_warns(
        &route("", &format!("filters: [{KEY}],")),
        &["4:23 there is a way around it: `/orders/` leads to service `orders` without `apiKey`, so write"],
    );
    let key = route("", &format!("filters: [{KEY}],"));
    for (gateway, service, way) in [
        ("", "", true),
        ("", "expose: /o", true),
        ("", "expose: false", false),
        ("", "filters: [{ basicAuth: { users: { file: u } } }]", false),
        ("", "filters: [{ cors: { allowOrigins: ['*'] } }]", true),
        ("filters: [{ basicAuth: { users: { file: u } } }]\n", "", false),
        ("filters: [{ basicAuth: { users: { file: u } } }]\n", "public: true", true),
        ("filters: [{ basicAuth: { users: { file: u }, optional: true, forward: true } }]\n", "", true),
    ] {
        assert_eq!(has_way_around(gateway, &key, service), way, "{gateway} {service}");
    }
    // To ask for a proof is not to ask for an address.
    let gateway = "filters: [{ basicAuth: { users: { file: u } } }]\n";
    assert!(has_way_around(gateway, &route("", &format!("filters: [{IPS}],")), ""));
    assert!(!has_way_around("", &route("", "filters: [{ bodyLimit: { max: 1KiB } }],"), ""));
}

#[test]
fn a_rule_that_gets_all_requests_of_the_automatic_route_leaves_no_way_around() {
    let rule = |matches: &str| format!("matches: [{{ {matches} }}], filters: [{KEY}],");
    let orders = rule("path: { prefix: /orders }");
    assert!(!has_way_around("", &route("", &orders), ""));
    assert!(!has_way_around("", &route("", &rule("path: { prefix: /orders/ }")), ""));
    assert!(!has_way_around("", &route("", &rule("path: { regex: '.*' }")), ""));
    assert!(!has_way_around("", &route("", &format!("priority: 1, {}", rule("path: { prefix: / }"))), ""));
    assert!(has_way_around("", &route("", &orders), "expose: /o"));
    assert!(has_way_around("", &route("", &rule("path: { prefix: / }")), ""));
    assert!(has_way_around("", &route("", &format!("priority: -1, {orders}")), ""));
    assert!(has_way_around("", &route("", &rule("path: { prefix: /orders }, method: GET")), ""));
    assert!(has_way_around("", &route("    hostnames: [a.com]\n", &orders), ""));
}

#[test]
fn a_way_around_is_told_of_once_for_each_service() {
    let rules = format!(
        "routes:
  - name: r
    rules:
      - {{ matches: [{{ method: GET }}], backendRefs: [{{ service: a }}] }}
      - {{ filters: [{KEY}], backendRefs: [{{ service: a, weight: 0 }}, {{ service: b }}] }}
      - {{ matches: [{{ method: PUT }}], filters: [{IPS}], backendRefs: [{{ service: a }}, {{ service: b }}] }}
"
    );
    assert_warns(
        &rules,
        &["5:23 there is a way around it: `/b/` leads to", "6:51 there is a way around it: `/a/` leads to"],
    );
}

#[test]
fn a_rule_without_the_guards_of_a_service_is_warned_about() {
    let found = |gateway: &str, rule: &str, service: &str| {
        let gateway = format!("{gateway}{}", route("", rule));
        warnings_of(&[("gateway.yaml", &gateway), ("services/orders.yaml", service)])
    };
    let guarded = format!("filters: [{KEY}]");
    let warned = found("", "", &guarded);
    let want = "gateway.yaml:4:37 reached here without `apiKey` of services/orders.yaml: filters of a service hold for";
    assert!(warned.len() == 1 && warned[0].starts_with(want), "{warned:?}");
    assert_eq!(found("", "public: true,", &guarded), [""; 0]);
    assert_eq!(found("", &format!("filters: [{IPS}],"), &guarded), [""; 0]);
    assert_eq!(found("filters: [{ basicAuth: { users: { file: u } } }]\n", "", &guarded), [""; 0]);
    assert_eq!(found("", "", "filters: [{ compression: {} }]"), [""; 0]);
}

#[test]
fn filters_of_a_service_without_automatic_route_are_warned_about() {
    let file = format!("expose: false\nfilters: [{KEY}]\n");
    let found = warnings_of(&[("services/orders.yaml", &file)]);
    assert!(found.len() == 1 && found[0].starts_with("services/orders.yaml:2:1 never used"), "{found:?}");
    assert_eq!(warnings_of(&[("services/orders.yaml", &file.replace("false", "/o"))]), [""; 0]);
}
