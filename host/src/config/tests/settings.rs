//! What services read about themselves, and secrets.

use super::super::{ConfigValue, SecretRef};
use super::*;

const ORDERS: &str = "services/orders.yaml";
const SECRETS: &str = "secrets: { stripe: { file: stripe.key }, mail: { env: MAIL_KEY } }";

fn complaints(gateway: &str, orders: &str) -> Vec<String> {
    super::complaints(&[("gateway.yaml", gateway), (ORDERS, orders)], None)
}

#[test]
fn a_value_is_text_or_the_name_of_a_secret() {
    let text = "grants: { secrets: [stripe] }\nconfig: { a: 1.10, key: { secret: stripe } }\n\
                versions: { 2: { config: { a: x, key: { secret: stripe } } } }";
    let config = load_files(&[("gateway.yaml", SECRETS), (ORDERS, text)], None).unwrap();
    let orders = &config.services["orders"];
    let secret = ConfigValue::Secret("stripe".to_owned());
    assert_eq!((&orders.config["a"], &orders.config["key"]), (&"1.10".into(), &secret));
    assert_eq!((&orders.versions["2"].config["a"], &orders.versions["2"].config["key"]), (&"x".into(), &secret));
    assert_eq!(config.gateway.secrets["mail"], SecretRef::Env("MAIL_KEY".to_owned()));
    assert_eq!(Vec::from_iter(orders.secrets()), ["stripe"]);
}

#[test]
fn overlays_change_values_of_versions_and_whether_they_are_secrets() {
    let orders = "grants: { secrets: [stripe] }\nconfig: { a: { secret: stripe }, b: text }\n\
                  versions: { 2: { config: { c: one, d: two } } }";
    let overlay = format!(
        "{SECRETS}\nservices: {{ orders: {{ config: {{ a: text, b: {{ secret: stripe }} }}, \
         versions: {{ 2: {{ config: {{ c: uno }} }} }} }} }}"
    );
    let files = [("gateway.yaml", SECRETS), (ORDERS, orders), ("env/e.yaml", overlay.as_str())];
    let service = load_files(&files, Some("e")).unwrap().services["orders"].clone();
    assert_eq!((&service.config["a"], &service.config["b"]), (&"text".into(), &ConfigValue::Secret("stripe".into())));
    let of_version = &service.versions["2"].config;
    assert_eq!((&of_version["c"], &of_version["d"]), (&"uno".into(), &"two".into()));
}

#[test]
fn a_secret_must_be_there_and_be_granted() {
    let not_there = "services/orders.yaml:2:16 there is no secret `strip` in gateway.yaml; did you mean `stripe`?";
    assert_eq!(complaints(SECRETS, "grants: { secrets: [stripe] }\nconfig: { key: { secret: strip } }"), [not_there]);
    let found = complaints(SECRETS, "grants: { secrets: [mail] }\nconfig: { key: { secret: stripe } }");
    let not_granted = "the secret `stripe` is not granted to this service: add it to grants.secrets";
    assert_eq!(found, [format!("services/orders.yaml:2:16 {not_granted}")]);
    let found = complaints(SECRETS, "versions:\n  2:\n    config: { key: { secret: stripe } }");
    assert_eq!(found, [format!("services/orders.yaml:3:20 {not_granted}")]);
    let found = complaints("", "grants: { secrets: [other] }");
    let unknown = "there is no secret `other` in gateway.yaml: say under `secrets` where it is";
    assert_eq!(found, [format!("services/orders.yaml:1:21 {unknown}")]);
    let found = complaints(SECRETS, "grants: { secrets: [mail, mail] }");
    assert_eq!(found, ["services/orders.yaml:1:27 `mail` is granted already: name each secret once"]);
}

#[test]
fn a_mistake_in_the_secrets_is_not_held_against_those_who_name_them() {
    let found = complaints("secrets: { stripe: { fil: x } }", "grants: { secrets: [stripe] }");
    assert!(found.len() == 1 && found[0].starts_with("gateway.yaml:1:22 unknown"), "{found:?}");
}

#[test]
fn what_is_no_value_no_secret_and_no_label_is_named() {
    for (gateway, orders, expected) in [
        ("", "config: { a: [1] }", "expected text or a map such as { secret: name }, found a list"),
        ("", "config: { a: { secre: x } }", "unknown field `secre`"),
        ("", "config: { a: {} }", "`secret` is missing"),
        ("", "config: { '': x }", "`x` needs a key"),
        ("", "versions: { 'a b': { config: {} } }", "something else than letters"),
        ("", "versions: { 2: { confg: {} } }", "unknown field `confg`"),
        ("secrets: { 'a b': { env: X } }", "", "something else than letters"),
        ("secrets: { a: { file: '' } }", "", "an empty path"),
        ("secrets: { a: { env: 'A=B' } }", "", "cannot be the name of a variable"),
        ("secrets: { a: plain-text }", "", "unknown value `plain-text`"),
    ] {
        let found = complaints(gateway, orders);
        assert!(found.len() == 1 && found[0].contains(expected), "{gateway}{orders}: {found:?}");
    }
}
