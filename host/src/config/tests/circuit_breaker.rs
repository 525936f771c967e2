//! `circuitBreaker` and `outlierDetection`: what is refused and where, and whom a fallback may name.

use super::agreement::{as_json, refused_by_schema};
use super::*;

/// What stands in `services/users.yaml`, the column, the message, and whether the schema sees it, too.
const REFUSED: &[(&str, usize, &str, bool)] = &[
    ("circuitBreaker: { slidingWindow: 500ms }", 34, "`500ms` is out of bounds: 1s to 10m", false),
    ("circuitBreaker: { slidingWindow: 11m }", 34, "`11m` is out of bounds: 1s to 10m", false),
    ("circuitBreaker: { failureRateThreshold: 101 }", 41, "`101` is out of bounds: 0 to 100", true),
    ("circuitBreaker: { minimumNumberOfCalls: 0 }", 41, "`0` is out of bounds: 1 to 1000000", true),
    ("circuitBreaker: { consecutiveFailures: 10001 }", 40, "`10001` is out of bounds: 0 to 10000", true),
    ("circuitBreaker: { slowCallRateThreshold: 0 }", 42, "`0` is out of bounds: 1 to 100", true),
    ("circuitBreaker: { waitDurationInOpenState: 0s }", 44, "`0s` is out of bounds: 10ms to 1h", false),
    ("circuitBreaker: { maxWaitDurationInOpenState: 2h }", 47, "`2h` is out of bounds: 10ms to 1h", false),
    (
        "circuitBreaker: { maxWaitDurationInOpenState: 4s }",
        47,
        "`4s` is less than waitDurationInOpenState (5s): at least as much",
        false,
    ),
    ("circuitBreaker: { permittedNumberOfCallsInHalfOpenState: 0 }", 58, "`0` is out of bounds: 1 to 1000", true),
    ("circuitBreaker: { maxWaitDurationInHalfOpenState: 0s }", 51, "`0s` is out of bounds: 10ms to 1h", false),
    (
        "circuitBreaker: { enabled: true, failureRateThreshold: 0, consecutiveFailures: 0 }",
        19,
        "nothing would ever open this breaker: write `enabled: false`",
        false,
    ),
    ("circuitBreaker: { fallback: { service: Stock } }", 40, "`Stock` is no service name: use", true),
    ("circuitBreaker: { fallback: { service: stock, version: '' } }", 56, "an empty version: remove it", true),
    ("circuitBreaker: { fallback: { service: users } }", 40, "`users` cannot be its own fallback: name another", false),
    ("circuitBreaker: { fallback: { response: { status: 101 } } }", 51, "`101` is out of bounds: 200 to 599", true),
    (
        "circuitBreaker: { fallback: { response: { status: 204, body: a } } }",
        56,
        "a response with status 204 has no body: remove it",
        false,
    ),
    ("outlierDetection: { consecutiveFailures: 10001 }", 42, "`10001` is out of bounds: 0 to 10000", true),
    ("outlierDetection: { interval: 0s }", 31, "`0s` is out of bounds: 1s to 10m", false),
    ("outlierDetection: { baseEjectionTime: 0s }", 39, "`0s` is out of bounds: 10ms to 24h", false),
    ("outlierDetection: { maxEjectionTime: 25h }", 38, "`25h` is out of bounds: 10ms to 24h", false),
    (
        "outlierDetection: { maxEjectionTime: 10s }",
        38,
        "`10s` is less than baseEjectionTime (30s): at least as much",
        false,
    ),
    ("outlierDetection: { maxEjectionPercent: 101 }", 41, "`101` is out of bounds: 0 to 100", true),
    ("outlierDetection: { failureRateThreshold: 101 }", 43, "`101` is out of bounds: 0 to 100", true),
    ("outlierDetection: { minimumNumberOfCalls: 0 }", 43, "`0` is out of bounds: 1 to 1000000", true),
];

#[test]
fn every_bad_value_is_found_where_it_is() {
    for (text, column, message, by_schema) in REFUSED {
        let found = complaints(&[("services/users.yaml", text)], None);
        let want = format!("services/users.yaml:1:{column} {message}");
        assert!(found.len() == 1 && found[0].starts_with(&want), "{text}\n{found:#?}\n{want}");
        assert_eq!(refused_by_schema(SchemaKind::Service, &as_json(text).unwrap()), *by_schema, "{text}");
    }
}

#[test]
fn defaults_are_checked_as_services_are() {
    let text = "defaults: { circuitBreaker: { slidingWindow: 0s }, outlierDetection: { interval: 0s } }";
    let found = complaints(&[("gateway.yaml", text)], None);
    let want = ["gateway.yaml:1:46 `0s` is out of bounds", "gateway.yaml:1:82 `0s` is out of bounds"];
    assert!(found.len() == 2 && found.iter().zip(want).all(|(found, want)| found.starts_with(want)), "{found:#?}");
}

#[test]
fn a_long_fallback_body_is_refused() {
    let text = |bytes| format!("circuitBreaker: {{ fallback: {{ response: {{ body: '{}' }} }} }}", "a".repeat(bytes));
    assert_eq!(complaints(&[("services/users.yaml", &text(64 << 10))], None), Vec::<String>::new());
    let found = complaints(&[("services/users.yaml", &text((64 << 10) + 1))], None);
    assert!(found.len() == 1 && found[0].ends_with("too long: at most 64KiB"), "{found:?}");
}

#[test]
fn a_service_may_fall_back_to_a_version_of_itself_or_inherit_itself() {
    let files = [
        ("gateway.yaml", "defaults: { circuitBreaker: { fallback: { service: sorry } } }"),
        ("services/sorry.yaml", "expose: false"),
        ("services/users.yaml", "circuitBreaker: { fallback: { service: , version: '1' } }"),
        ("services/stock.yaml", "circuitBreaker: { fallback: { service: , response: { status: 200 } } }"),
    ];
    let config = load_files(&files, None).unwrap_or_else(|problems| panic!("{problems}"));
    let fallback = |service: &str, version: &str| {
        let fallback = config.service(service).circuit_breaker.fallback;
        fallback
            .service_for(service, version)
            .map(|(service, version)| (service.to_owned(), version.map(str::to_owned)))
    };
    assert_eq!(fallback("sorry", "1"), None);
    assert_eq!(fallback("other", "1"), Some(("sorry".to_owned(), None)));
    assert_eq!(fallback("users", "2"), Some(("users".to_owned(), Some("1".to_owned()))));
    assert_eq!(fallback("users", "1"), None);
    assert_eq!(fallback("stock", "1"), None, "nothing behind the key takes the inherited one away");
}
