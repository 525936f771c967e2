use super::*;

const GATEWAY: &str = "
filters:
  - compression: {}
routes:
  - name: shop
    hostnames: ['*.shop.example']
    rules:
      - name: orders
        matches:
          - path: { prefix: /api/orders }
            method: GET
          - path: { prefix: /api/orders }
            headers: { x-group: { regex: 'test.*' } }
        filters: [{ rewrite: { prefix: /v1 } }]
        timeouts: { request: 5s, backendRequest: 2s }
        backendRefs:
          - { service: orders, version: '1', weight: 95 }
          - { service: orders, version: '2', weight: 5, filters: [{ rewrite: { prefix: /v2 } }] }
      - matches: [{ path: { prefix: /api } }]
        backendRefs: [{ service: fallback }]
  - name: old
    rules:
      - matches: [{ path: { exact: /old } }]
        priority: 7
        public: true
        filters: [{ staticResponse: {} }]
";

/// A folder with a configuration whose plugins folder lies in it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    for folder in ["services", "plugins"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    std::fs::write(dir.path().join("gateway.yaml"), format!("plugins: {{ dir: {} }}{GATEWAY}", plugins.display()))
        .unwrap();
    std::fs::write(dir.path().join("services/users.yaml"), "expose: /people\ntimeouts: { request: 0s }\n").unwrap();
    let elsewhere =
        "timeouts: { backendRequest: 3s }\ninstances: [{ name: a, url: 'http://a' }, { name: b, url: 'http://b' }]\n";
    std::fs::write(dir.path().join("services/elsewhere.yaml"), elsewhere).unwrap();
    std::fs::write(dir.path().join("services/hidden.yaml"), "expose: false\n").unwrap();
    for file in ["orders@1.wasm", "users.wasm", "notes.txt", "Bad.wasm"] {
        std::fs::write(plugins.join(file), "").unwrap();
    }
    dir
}

fn asked(request: &str, headers: &[&str]) -> Asked {
    Asked {
        request: request.to_owned(),
        headers: headers.iter().map(|header| (*header).to_owned()).collect(),
        client: "192.0.2.1".parse().unwrap(),
        listener: None,
    }
}

fn explain(asked: &Asked, format: OutputFormat) -> Result<(bool, String), ExplainError> {
    let dir = folder();
    let mut out = Vec::new();
    let found = run(&Source { dir: dir.path().to_owned(), env: None }, asked, format, &mut out)?;
    Ok((found, String::from_utf8(out).unwrap()))
}

fn text_of(request: &str, headers: &[&str]) -> (bool, String) {
    explain(&asked(request, headers), OutputFormat::Text).unwrap()
}

#[test]
fn a_request_with_a_route_is_followed_to_its_backends_and_the_others_are_told_why_not() {
    let (found, text) = text_of("GET https://eu.shop.example/api/orders/7?x=1", &["x-group: staff"]);
    assert!(found);
    assert_eq!(
        text,
        "GET eu.shop.example/api/orders/7?x=1
from 192.0.2.1 by listener default (127.0.0.1:8080)

route shop, rule 1 (orders), match 1
  matched   *.shop.example, prefix /api/orders
  filters   rewrite → compression (of the gateway)
  path      /api/orders/7 becomes /v1/7
  goes to   orders@1 95 %, within 5s, 2s a try
            orders@2 5 %, within 5s, 2s a try, after rewrite (no file of it in the plugins folder)

others:
  route shop, rule 2, match 1: matches, but prefix /api is less specific than prefix /api/orders
  route shop, rule 1 (orders), match 2: does not match: header `x-group` does not match `test.*`
  route old, rule 1, match 1: does not match: the path does not match exact /old
  automatic route of elsewhere: does not match: the path does not match prefix /elsewhere
  automatic route of orders: does not match: the path does not match prefix /orders
  automatic route of users: does not match: the path does not match prefix /people
"
    );
}

#[test]
fn a_service_without_a_file_says_that_others_answer_for_it() {
    let (found, text) = text_of("/elsewhere/", &[]);
    assert!(found);
    let goes = text.lines().find(|line| line.contains("goes to")).unwrap();
    assert_eq!(goes, "  goes to   elsewhere 100 %, within 15s, 3s a try (2 instances elsewhere)");
}

#[test]
fn places_of_a_rule_are_told_beside_those_of_its_services() {
    let dir = folder();
    std::fs::write(dir.path().join("services/busy.yaml"), "bulkhead: { maxConcurrent: 9 }\nexpose: false\n").unwrap();
    let rule = "bulkhead: { maxConcurrent: 3 }, backendRefs: [{ service: busy }]";
    let gateway = format!("routes: [{{ name: busy, rules: [{{ {rule} }}] }}]");
    std::fs::write(dir.path().join("gateway.yaml"), gateway).unwrap();
    let mut out = Vec::new();
    let source = Source { dir: dir.path().to_owned(), env: None };
    assert!(run(&source, &asked("/", &[]), OutputFormat::Text, &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\n  bulkhead  3 requests of this rule at once\n"), "{text}");
    assert!(text.contains("\n  goes to   busy 100 %, within 15s, 9 at once (no file"), "{text}");
}

#[test]
fn the_path_that_the_gateway_answers_itself_is_no_404() {
    for method in ["", "POST "] {
        let (found, text) = text_of(&format!("{method}/api/health"), &[]);
        assert!(found, "{text}");
        assert!(text.contains("no route: the gateway itself answers how all services are"), "{text}");
    }
    // A rule has that path.
    let (_, text) = text_of("GET http://eu.shop.example/api/health", &[]);
    assert!(text.contains("route shop, rule 2, match 1"), "{text}");
    let (found, text) = text_of("/api/health/x", &[]);
    assert!(!found && text.contains("404 no_route"), "{text}");
    let (_, json) = explain(&asked("/api/health", &[]), OutputFormat::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["found"], &json["isHealth"]), (&serde_json::Value::Null, &true.into()));
}

#[test]
fn a_request_that_a_filter_answers_asks_no_service() {
    let (found, text) = text_of("/old", &["Host: a.b"]);
    assert!(found);
    let answer = text.split("\nothers:").next().unwrap();
    assert_eq!(
        answer,
        "GET a.b/old
from 192.0.2.1 by listener default (127.0.0.1:8080)

route old, rule 1, match 1
  matched   any host, exact /old
  priority  7
  public    identity filters of the gateway do not hold
  filters   staticResponse → compression (of the gateway)
  answered  by staticResponse; no service is asked
"
    );
}

#[test]
fn an_automatic_route_strips_its_prefix_and_a_service_without_a_limit_has_none() {
    let (found, text) = text_of("POST http://localhost:8080/people/ann", &[]);
    assert!(found);
    let answer = text.split("\nothers:").next().unwrap();
    assert_eq!(
        answer,
        "POST localhost:8080/people/ann
from 192.0.2.1 by listener default (127.0.0.1:8080)

automatic route of users
  matched   any host, prefix /people
  filters   compression (of the gateway)
  path      /people/ann becomes /ann
  goes to   users 100 %
"
    );
}

#[test]
fn a_request_without_a_route_is_told_so_and_what_came_closest() {
    let (found, text) = text_of("PUT https://shop.example/api/orders", &[]);
    assert!(!found);
    assert_eq!(
        text,
        "PUT shop.example/api/orders
from 192.0.2.1 by listener default (127.0.0.1:8080)

no route: it is answered 404 no_route

others:
  route old, rule 1, match 1: does not match: the path does not match exact /old
  automatic route of elsewhere: does not match: the path does not match prefix /elsewhere
  automatic route of orders: does not match: the path does not match prefix /orders
  automatic route of users: does not match: the path does not match prefix /people
  route shop, rule 1 (orders), match 1: does not match: the host is not *.shop.example
  route shop, rule 1 (orders), match 2: does not match: the host is not *.shop.example
  route shop, rule 2, match 1: does not match: the host is not *.shop.example
"
    );
}

#[test]
fn the_answer_as_json_says_the_same() {
    let asked = asked("https://eu.shop.example/api/orders", &[]);
    let (found, json) = explain(&asked, OutputFormat::Json).unwrap();
    assert!(found && json.ends_with('\n'));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["listener"],
        serde_json::json!({
            "name": "default", "address": "127.0.0.1:8080", "hostname": null, "tls": false, "redirectsToHttps": null
        })
    );
    assert_eq!(
        json["found"],
        serde_json::json!({
            "route": "shop", "rule": 1, "ruleName": "orders", "match": 1,
            "host": "*.shop.example", "path": "prefix /api/orders", "priority": 0, "public": false,
            "filters": [{ "name": "rewrite", "of": "rule" }, { "name": "compression", "of": "gateway" }],
            "answeredBy": null, "rewritten": "/v1", "maxConcurrent": null, "split": null,
            "backends": [
                {
                    "service": "orders", "version": "1", "percent": 95.0, "hasFile": true, "instances": 0,
                    "requestTimeout": "5s", "backendTimeout": "2s", "maxConcurrent": 256, "filters": [],
                },
                {
                    "service": "orders", "version": "2", "percent": 5.0, "hasFile": false, "instances": 0,
                    "requestTimeout": "5s", "backendTimeout": "2s", "maxConcurrent": 256,
                    "filters": [{ "name": "rewrite", "of": "backend" }],
                },
            ],
        })
    );
    assert_eq!(
        json["others"][1],
        serde_json::json!({
            "route": "shop", "rule": 1, "ruleName": "orders", "match": 2, "holds": false,
            "reasons": ["header `x-group` is missing"],
        })
    );
}

#[test]
fn what_is_no_request_is_refused_with_an_example() {
    for (request, headers, want) in [
        (
            "GET shop.example",
            &[][..],
            "`GET shop.example` is no request: write it like 'GET https://shop.example/orders",
        ),
        ("G(T /x", &[], "`G(T` is no method"),
        ("GET /a b", &[], "is no request"),
        ("", &[], "is no request"),
        ("/x", &["nothing"], "`nothing` is no header: write it like 'name: value'"),
        ("/x", &["a b: c"], "`a b: c` is no header"),
    ] {
        let error = explain(&asked(request, headers), OutputFormat::Text).unwrap_err().to_string();
        assert!(error.contains(want), "{request}: {error}");
    }
    let asked = Asked { listener: Some("tls".into()), ..asked("/x", &[]) };
    let error = explain(&asked, OutputFormat::Text).unwrap_err().to_string();
    assert_eq!(error, "there is no listener `tls`: there is default");
}

#[test]
fn the_listener_the_spelling_of_the_path_and_a_redirect_to_https_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "
listeners:
  - { name: web, address: 127.0.0.1:8080, redirectToHttps: 8443 }
  - { name: tls, address: 127.0.0.1:8443, tls: { certificates: [{ cert: a, key: b }] } }
routes:
  - { name: api, rules: [{ matches: [{ path: { prefix: /api } }], filters: [{ staticResponse: { status: 204 } }] }] }
";
    std::fs::write(dir.path().join("gateway.yaml"), yaml).unwrap();
    let source = Source { dir: dir.path().to_owned(), env: None };
    let ask = |request: &str| {
        let asked = Asked {
            request: request.to_owned(),
            headers: vec![],
            client: "192.0.2.1".parse().unwrap(),
            listener: None,
        };
        let mut out = Vec::new();
        run(&source, &asked, OutputFormat::Text, &mut out).map(|found| (found, String::from_utf8(out).unwrap()))
    };
    let (found, text) = ask("https://a.test/%61pi//x/../y").unwrap();
    assert!(found && text.contains("by listener tls") && text.contains("its path is read as /api/y"), "{text}");
    let (found, text) = ask("http://a.test/api").unwrap();
    assert!(found && text.contains("by listener web") && text.contains("port 8443: 308"), "{text}");
    assert!(ask("https://a.test/api%2fx").unwrap_err().to_string().contains("400 bad_request"));
}

#[test]
fn faults_mirrors_and_who_gets_which_version_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "
filters: [{ mirror: { service: shadow } }]
routes:
  - name: shop
    rules:
      - matches: [{ path: { prefix: /all } }]
        filters:
          - mirror: { service: orders, version: '3', percent: 12.5 }
          - fault: { delay: { duration: 2s, percent: 10 }, abort: { status: 503, percent: 0.5 }, header: x-fault }
        split: { header: x-version, cookie: version, stickyBy: { cookie: session } }
        backendRefs: [{ service: orders, weight: 95 }, { service: orders, version: '2', weight: 5 }]
      - matches: [{ path: { prefix: /sticky } }]
        filters: [{ fault: { abort: { status: 500, percent: 1 } } }]
        split: { stickyBy: clientIp }
        backendRefs: [{ service: orders, weight: 0 }, { service: orders, version: '2' }]
";
    std::fs::write(dir.path().join("gateway.yaml"), yaml).unwrap();
    let source = Source { dir: dir.path().to_owned(), env: None };
    let ask = |request: &str, headers: &[&str], format| {
        let mut out = Vec::new();
        run(&source, &asked(request, headers), format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let line =
        |text: &str, label: &str| text.lines().find(|line| line.trim_start().starts_with(label)).unwrap().to_owned();
    let text = ask("/all", &["cookie: version=2"], OutputFormat::Text);
    assert_eq!(
        line(&text, "filters"),
        "  filters   fault (2s for 10 %, 503 for 0.5 %, with header x-fault) → mirror (100 % to shadow; of the gateway) → \
         mirror (12.5 % to orders@3)"
    );
    let by = "  split     by header x-version or cookie version, sticky by cookie session: ";
    assert_eq!(line(&text, "split"), format!("{by}this request goes to orders@2 (named)"));
    let text = ask("/all", &["x-version: 7"], OutputFormat::Text);
    assert_eq!(line(&text, "split"), format!("{by}weights draw for this request"));
    let text = ask("/sticky", &[], OutputFormat::Text);
    assert_eq!(line(&text, "split"), "  split     sticky by clientIp: this request goes to orders@2 (sticky)");
    let json: serde_json::Value = serde_json::from_str(&ask("/sticky", &[], OutputFormat::Json)).unwrap();
    assert_eq!(
        json["found"]["split"],
        serde_json::json!({ "namedBy": [], "stickyBy": "clientIp", "chosen": 2, "because": "sticky" })
    );
    assert_eq!(
        json["found"]["filters"][0],
        serde_json::json!({ "name": "fault", "of": "rule", "detail": "500 for 1 %" })
    );
}
