//! What lies over what.

use super::*;

const ORDERS: &str = "services/orders.yaml";

#[test]
fn nothing_at_all_means_defaults() {
    let missing = Source { dir: "/nowhere/at/all".into(), env: None };
    let config = load(&missing).unwrap();
    assert_eq!(config, Config::default());
    assert!(config.files.is_empty());
    assert_eq!(config.service("anything"), Service::default());
    for empty in ["", "# nothing\n", "---\n", "~"] {
        let config = load_files(&[("gateway.yaml", empty), (ORDERS, empty)], None).unwrap();
        assert_eq!((config.gateway, &config.services["orders"]), (Gateway::default(), &Service::default()));
    }
    let headings = [
        ("gateway.yaml", "routes:\ntrustedProxies:\ndefaults:\n  limits:\n  # memory: 1MiB\ndrain:\n"),
        (ORDERS, "limits:\nhealthCheck:\nconfig:\n"),
    ];
    let config = load_files(&headings, None).unwrap();
    assert_eq!((config.gateway, &config.services["orders"]), (Gateway::default(), &Service::default()));
}

#[test]
fn each_layer_lies_over_the_ones_below() {
    let base = "defaults:\n  limits: { memory: 1MiB, cpuTime: 1s, requestBody: 1KiB, headers: 2KiB }\n";
    let orders = "limits: { cpuTime: 3s, headers: 3KiB }\n";
    let overlay = "
defaults: { limits: { requestBody: 2KiB, headers: 9KiB } }
services: { orders: { limits: { cpuTime: 4s } } }
";
    let files = [("gateway.yaml", base), (ORDERS, orders), ("env/prod.yaml", overlay)];
    let plain = load_files(&files, None).unwrap();
    let limits = &plain.services["orders"].limits;
    assert_eq!(limits.memory, Size::mib(1), "from defaults");
    assert_eq!(limits.cpu_time, Duration::secs(3), "from its own file");
    assert_eq!(limits.request_body, Size::kib(1));
    assert_eq!(limits.resources, Limits::default().resources, "built in");
    assert_eq!(plain.service("other").limits.cpu_time, Duration::secs(1), "no file: defaults");

    let prod = load_files(&files, Some("prod")).unwrap();
    let limits = &prod.services["orders"].limits;
    assert_eq!(limits.memory, Size::mib(1));
    assert_eq!(limits.cpu_time, Duration::secs(4), "from the overlay's service");
    assert_eq!(limits.request_body, Size::kib(2), "from the overlay's defaults");
    assert_eq!(limits.headers, Size::kib(3), "a service's file is above all defaults");
    assert_eq!(prod.service("other").limits.headers, Size::kib(9));
    assert_eq!(prod.files.len(), 3);
    assert_ne!(plain.fingerprint(), prod.fingerprint());
}

#[test]
fn nothing_is_tried_again_unless_somebody_says_so_and_a_service_can_say_no() {
    assert_eq!(load_files(&[(ORDERS, "")], None).unwrap().services["orders"].retry, None);
    let usual = load_files(&[(ORDERS, "retry: {}")], None).unwrap();
    assert_eq!(usual.services["orders"].retry, Some(Retry::default()));
    let base = "defaults: { retry: { backoff: 10ms, budget: { percent: 50 } } }";
    let config = load_files(&[("gateway.yaml", base), (ORDERS, "retry: { attempts: 0 }")], None).unwrap();
    let budget = RetryBudget { percent: 50, ..RetryBudget::default() };
    let all = Retry { backoff: Duration::millis(10), budget, ..Retry::default() };
    assert_eq!(config.service("other").retry, Some(all.clone()));
    assert_eq!(config.services["orders"].retry, Some(Retry { attempts: 0, ..all }));
}

#[test]
fn an_overlay_can_speak_of_a_service_without_a_file() {
    let config = load_files(&[("env/e.yaml", "services: { new: { expose: false }, other: }")], Some("e")).unwrap();
    assert_eq!(config.services["new"].expose, Expose::No);
    assert_eq!(config.services["other"], Service::default());
}

#[test]
fn routes_merge_by_name_and_other_lists_are_replaced() {
    let base = "
trustedProxies: [10.0.0.0/8, 192.168.0.0/16]
routes:
  - { name: a, hostnames: [a.x, b.x], rules: [{ backendRefs: [{ service: one }] }] }
  - { name: b, rules: [{ backendRefs: [{ service: two }] }] }
";
    let overlay = "
trustedProxies: [172.16.0.0/12]
routes:
  - { name: c, hostnames: [c.x], rules: [{ backendRefs: [{ service: three }] }] }
  - { name: a, hostnames: [c.y] }
";
    let files = [
        ("gateway.yaml", base),
        ("env/e.yaml", overlay),
        ("env/none.yaml", "routes: []"),
        ("env/null.yaml", "routes:"),
    ];
    let gateway = load_files(&files, Some("e")).unwrap().gateway;
    assert_eq!(gateway.trusted_proxies, ["172.16.0.0/12".parse().unwrap()]);
    let names: Vec<&str> = gateway.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(gateway.routes[0].hostnames, ["c.y"]);
    assert_eq!(gateway.routes[0].rules[0].backend_refs[0].service, "one", "what the overlay leaves out stays");
    assert_eq!(load_files(&files, Some("none")).unwrap().gateway.routes, []);
    assert_eq!(load_files(&files, Some("null")).unwrap().gateway.routes.len(), 2);
}

#[test]
fn an_overlay_can_take_an_optional_value_away() {
    let files = [
        (ORDERS, "healthCheck: { path: /health }\nslots: { reuse: { idle: 1s } }"),
        ("env/e.yaml", "services: { orders: { healthCheck: { path: null }, slots: fresh } }"),
    ];
    assert_eq!(load_files(&files, None).unwrap().services["orders"].health_check.path.as_deref(), Some("/health"));
    let config = load_files(&files, Some("e")).unwrap();
    assert_eq!(config.services["orders"].health_check.path, None);
    assert_eq!(config.services["orders"].slots, Slots::Fresh);
}

#[test]
fn a_mistake_is_blamed_on_the_file_that_made_it() {
    let gateway =
        "defaults: { bulkhead: { maxPending: 1 } }\nroutes: [{ name: a, rules: [{ backendRefs: [{ service: x }] }] }]";
    let found =
        |overlay| complaints(&[("gateway.yaml", gateway), (ORDERS, "expose: /o"), ("env/e.yaml", overlay)], Some("e"));
    let rows = [
        ("defaults:\n  bulkhead: { maxConcurrent: 0 }", "env/e.yaml:2:30 `0` is out of bounds"),
        ("admin:\n  listen: 1.1.1.1:1", "env/e.yaml:2:11 the admin API cannot listen"),
        ("services:\n  orders:\n    expose: x", "env/e.yaml:3:13 `x` is no path"),
        ("services:\n  orders: 5", "env/e.yaml:2:11 expected a map of settings"),
        ("services: 5", "env/e.yaml:1:11 expected a map from service names"),
        ("routes:\n  - { name: a, hostnames: [A] }", "env/e.yaml:2:28 `A` is no host name"),
        ("routes:\n  - { name: b }", "env/e.yaml:2:5 `rules` is missing"),
        (
            "routes:\n  - { name: b, rules: [{ backendRefs: [{ service: y }] }] }",
            "env/e.yaml:2:24 never reached: route `a` matches the same in line 2 of gateway.yaml",
        ),
        ("defaults: {", "env/e.yaml:1:11 not valid YAML"),
    ];
    for (overlay, want) in rows {
        let found = found(overlay);
        assert!(found.len() == 1 && found[0].starts_with(want), "{overlay}\nwant {want}\nhave {found:#?}");
    }
}

#[test]
fn a_mistake_under_an_overlay_is_still_one() {
    let files = [("gateway.yaml", "drain: { timeout: soon }"), ("env/e.yaml", "drain: { timeout: 1s }")];
    assert_eq!(complaints(&files, Some("e")).len(), 1);
}

#[test]
fn a_broken_file_below_does_not_spoil_the_overlay() {
    let files = [("gateway.yaml", "routes: ["), ("env/e.yaml", "routes: [{ name: a, hostnames: [x] }]\nlistn: 1")];
    let found = complaints(&files, Some("e"));
    assert_eq!(found.len(), 2, "the route's rules are in the broken file: {found:#?}");
    assert!(found[0].starts_with("env/e.yaml:2:1 unknown field `listn`"), "{found:#?}");
    assert!(found[1].starts_with("gateway.yaml:1:9 not valid YAML"), "{found:#?}");
}

#[test]
fn an_environment_that_is_asked_for_must_exist() {
    let files = [("env/prod.yaml", ""), ("env/test.yaml", "")];
    let problems = load_files(&files, Some("pord")).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.message(), "environment `pord` has no file");
    assert_eq!(problem.help().as_deref(), Some("there is prod, test"));
    assert!(load_files(&[], Some("prod")).unwrap_err().to_string().contains("leave out --env"));
    for odd in ["", "../gateway", "a/b", ".hidden"] {
        let text = load_files(&[("gateway.yaml", "")], Some(odd)).unwrap_err().to_string();
        assert!(text.contains("is no name of an environment"), "{text}");
    }
}

#[test]
fn notes_and_editors_copies_are_left_alone() {
    let files = [("services/README.md", "# [not yaml"), ("services/.users.yaml", "["), ("services/users.yaml~", "[")];
    assert_eq!(load_files(&files, None).unwrap(), Config::default());
}

#[test]
fn gateway_yml_is_not_overlooked() {
    let found = complaints(&[("gateway.yml", "")], None);
    assert_eq!(found, ["gateway.yml files here end in .yaml"]);
}

#[test]
fn prefixes_have_one_form_and_one_owner() {
    let expose = |text| load_files(&[(ORDERS, text)], None).unwrap().services["orders"].expose.clone();
    assert_eq!(expose("expose: /a/b/"), Expose::Prefix("/a/b".to_owned()));
    assert_eq!(expose("expose: /"), Expose::Prefix("/".to_owned()));
    assert_eq!(expose("expose: true").prefix("orders").as_deref(), Some("/orders"));
    assert_eq!(expose("expose: false").prefix("orders"), None);

    let found = complaints(&[(ORDERS, "expose: /x/"), ("services/users.yaml", "expose: /x")], None);
    assert_eq!(found, ["services/users.yaml:1:9 service `orders` is exposed under `/x` already"]);
    let found = complaints(&[(ORDERS, "expose: /users"), ("services/users.yaml", "")], None);
    assert_eq!(found, ["services/orders.yaml:1:9 service `users` is exposed under `/users` already"]);
}

#[test]
fn slots_have_a_short_form() {
    let slots = |text| load_files(&[("gateway.yaml", text)], None).unwrap().gateway.defaults.slots;
    assert_eq!(slots("defaults: { slots: auto }"), Slots::Auto);
    assert_eq!(slots("defaults: { slots: fresh }"), Slots::Fresh);
    assert_eq!(slots("defaults: { slots: reuse }"), Slots::Reuse(SlotReuse::default()));
    assert_eq!(slots("defaults: { slots: { reuse: } }"), Slots::Reuse(SlotReuse::default()));
    let reuse = SlotReuse { max_requests: 5, ..SlotReuse::default() };
    assert_eq!(slots("defaults: { slots: { reuse: { maxRequests: 5 } } }"), Slots::Reuse(reuse));
    for slots in [Slots::Auto, Slots::Fresh, Slots::Reuse(reuse)] {
        let json = serde_json::to_string(&slots).unwrap();
        assert_eq!(serde_json::from_str::<Slots>(&json).unwrap(), slots, "{json}");
    }
}

#[test]
fn text_stays_as_it_is_written() {
    let text = "config: { a: no, b: 1.10, c: 0x10, d: 'true', e: true, f: 007, g: '', h: \"a\\nb\" }";
    let config = load_files(&[(ORDERS, text)], None).unwrap().services["orders"].config.clone();
    let expected = ["no", "1.10", "0x10", "true", "true", "007", "", "a\nb"].map(ConfigValue::from);
    assert!(config.values().eq(&expected), "{config:?}");
    let text = "routes: [{ name: r, rules: [{ backendRefs: [{ service: a, version: 1.10 }] }] }]";
    let gateway = load_files(&[("gateway.yaml", text)], None).unwrap().gateway;
    assert_eq!(gateway.routes[0].rules[0].backend_refs[0].version.as_deref(), Some("1.10"));
}

#[test]
fn equal_configurations_have_equal_fingerprints_wherever_they_stand() {
    let one = load_files(&[("gateway.yaml", "defaults: { drainTimeout: 90s }")], None).unwrap();
    let two =
        load_files(&[("gateway.yaml", "# moved\n"), ("env/e.yaml", "defaults:\n  drainTimeout: 1m30s\n")], Some("e"))
            .unwrap();
    assert_eq!(one.fingerprint(), two.fingerprint());
    assert_eq!(one.fingerprint().len(), 16);
    assert_ne!(one.fingerprint(), Config::default().fingerprint());
    let named = load_files(&[(ORDERS, "config: { a: b }")], None).unwrap();
    assert_ne!(named.fingerprint(), Config::default().fingerprint());
}
