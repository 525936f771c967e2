//! OpenAPI documents of services: who reads them, what is held against them, and what a new one breaks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use wharf_tests::{Answer, Builder, Wharf, eventually, versioned, with_section};

/// `echo` sends back what it gets: its request's body is its response's.
const ECHO: &str = r#"
openapi: 3.1.0
info: { title: Echo, version: '1' }
servers: [{ url: 'https://internal.example' }]
paths:
  /:
    post:
      operationId: echo
      parameters: [{ name: limit, in: query, schema: { type: integer, maximum: 10 } }]
      requestBody: { required: true, content: { application/json: { schema: { $ref: '#/components/schemas/In' } }, text/plain: {} } }
      responses:
        '200': { description: the same, content: { application/json: { schema: { $ref: '#/components/schemas/Out' } }, text/plain: {} } }
  /request: { get: { responses: { '200': { description: seen, content: { application/json: {} } } } } }
  /sse: { get: { responses: { '200': { description: events, content: { text/event-stream: { schema: { type: string } } } } } } }
  /stream: { get: { responses: { '206': { description: never } } } }
  /info: { get: { responses: { '200': { description: html, content: { text/html: {} } } } } }
components:
  schemas:
    In: { type: object, required: [quantity], properties: { quantity: { type: integer, minimum: 1 } } }
    Out: { type: object, properties: { quantity: { maximum: 100 } } }
"#;

fn echo(settings: &str) -> Builder {
    let builder = Wharf::builder().plugin("echo").service("echo", settings);
    document(&builder, "echo.openapi.yaml", ECHO);
    builder
}

fn document(builder: &Builder, file: &str, text: &str) {
    std::fs::write(builder.dir().join("plugins").join(file), text).unwrap();
}

async fn post(wharf: &Wharf, path: &str, kind: &str, body: &str) -> Answer {
    wharf.client().send("POST", &wharf.url(path), &[("content-type", kind)], body.to_owned()).await
}

async fn counted(wharf: &Wharf, line: &str) -> u64 {
    let page = wharf.admin_get("/metrics").await.text();
    let found = page.lines().find_map(|found| found.strip_prefix("wharf_contract_")?.strip_prefix(line));
    found.unwrap_or_else(|| panic!("{line}")).trim().parse().unwrap()
}

#[tokio::test]
async fn an_enforced_contract_lets_nothing_in_that_it_does_not_describe() {
    let wharf = echo("contract: { requests: enforce, maxBody: 2KiB }").start().await;
    let json = "application/json; charset=utf-8";
    post(&wharf, "/echo/", json, r#"{"quantity":1}"#).await.assert_status(200);
    post(&wharf, "/echo/?limit=10", json, r#"{"quantity":1}"#).await.assert_status(200);
    let refused = post(&wharf, "/echo/?limit=11", json, r#"{"quantity":0}"#).await;
    refused.assert_problem(400, "contract_request");
    assert_eq!(
        refused.json()["errors"],
        json!([{ "detail": "must be at most 10", "in": "query", "parameter": "limit" }])
    );
    let refused = post(&wharf, "/echo/", json, r#"{"quantity":0}"#).await;
    refused.assert_problem(400, "contract_request");
    assert_eq!(
        refused.json()["errors"],
        json!([{ "detail": "must be at least 1", "pointer": "#/quantity", "in": "body" }])
    );
    post(&wharf, "/echo/", json, r#"{"quantity":"#).await.assert_problem(400, "contract_request");
    post(&wharf, "/echo/", json, "").await.assert_problem(400, "contract_request");
    post(&wharf, "/echo/", "text/html", "x").await.assert_problem(415, "contract_request");
    post(&wharf, "/echo/nothing", json, "{}").await.assert_problem(404, "contract_request");
    let refused = wharf.send("DELETE", "/echo/", "").await;
    refused.assert_problem(405, "contract_request");
    assert_eq!(refused.header("allow"), "POST");
    // What the document leaves open is the service's matter, and so is what it does not describe as JSON.
    post(&wharf, "/echo/", "text/plain", "anything").await.assert_status(200);
    let long = format!(r#"{{"quantity":1,"text":"{}"}}"#, "x".repeat(3000));
    post(&wharf, "/echo/", json, &long).await.assert_problem(413, "payload_too_large");
    assert_eq!(counted(&wharf, r#"violations_total{service="echo",direction="request",kind="body"}"#).await, 3);
    assert_eq!(counted(&wharf, r#"violations_total{service="echo",direction="request",kind="path"}"#).await, 1);

    // It follows the configuration.
    wharf.configure("services/echo.yaml", "contract: { requests: enforce, maxBody: 16KiB }");
    eventually("a larger body is read", async || {
        (post(&wharf, "/echo/", json, &long).await.status == 200).then_some(())
    })
    .await;
    wharf.configure("services/echo.yaml", "contract: { requests: off }");
    eventually("nobody looks", async || {
        (post(&wharf, "/echo/", json, r#"{"quantity":0}"#).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_observed_contract_changes_nothing_and_counts() {
    let wharf = echo("contract: { requests: observe, responses: observe }").start().await;
    let wrong = post(&wharf, "/echo/?limit=11", "application/json", r#"{"quantity":101.5}"#).await;
    wrong.assert_status(200);
    assert_eq!(wrong.text(), r#"{"quantity":101.5}"#);
    for (direction, kind) in [("request", "parameter"), ("request", "body"), ("response", "body")] {
        let line = format!(r#"violations_total{{service="echo",direction="{direction}",kind="{kind}"}}"#);
        eventually(&line, async || (counted(&wharf, &line).await == 1).then_some(())).await;
    }
    let line = wharf.logged("contract broken").await;
    assert!(line.contains("POST /") && line.contains(r#""service":"echo"#), "{line}");
    post(&wharf, "/echo/nothing", "text/plain", "x").await.assert_status(404);
    assert_eq!(counted(&wharf, r#"violations_total{service="echo",direction="request",kind="path"}"#).await, 1);
    // A body that is too long to be kept goes by all the same, and is counted.
    let long = format!(r#"{{"quantity":1,"text":"{}"}}"#, "x".repeat(2 << 20));
    assert_eq!(post(&wharf, "/echo/", "application/json", &long).await.text(), long);
    assert_eq!(
        counted(&wharf, r#"unchecked_bodies_total{service="echo",direction="request",reason="too_large"}"#).await,
        1
    );
    assert_eq!(
        counted(&wharf, r#"unchecked_bodies_total{service="echo",direction="response",reason="too_large"}"#).await,
        1
    );
}

#[tokio::test]
async fn an_enforced_contract_lets_no_response_out_that_it_does_not_describe() {
    let wharf = echo("contract: { responses: enforce, maxBody: 2KiB }").start().await;
    post(&wharf, "/echo/", "application/json", r#"{"quantity":100}"#).await.assert_status(200);
    let secret = post(&wharf, "/echo/", "application/json", r#"{"quantity":101,"password":"s3cret"}"#).await;
    secret.assert_problem(502, "contract_response");
    assert!(!secret.text().contains("s3cret") && !secret.text().contains("quantity"), "{}", secret.text());
    let line = wharf.logged("contract broken").await;
    assert!(line.contains("/quantity must be at most 100"), "{line}");
    wharf.get("/echo/stream?bytes=10").await.assert_problem(502, "contract_response");
    wharf.get("/echo/info").await.assert_problem(502, "contract_response");
    wharf.get("/echo/request").await.assert_status(200);
    // Paths that are not described promise nothing.
    wharf.get("/echo/health").await.assert_status(200);
    let long = format!(r#"{{"quantity":1000,"text":"{}"}}"#, "x".repeat(3000));
    assert_eq!(post(&wharf, "/echo/", "application/json", &long).await.text(), long);
    assert_eq!(
        counted(&wharf, r#"unchecked_bodies_total{service="echo",direction="response",reason="too_large"}"#).await,
        1
    );
    assert_eq!(counted(&wharf, r#"violations_total{service="echo",direction="response",kind="status"}"#).await, 1);
}

#[tokio::test]
async fn streams_and_codings_go_by_as_they_come() {
    let wharf = echo("contract: { requests: enforce, responses: enforce }").start().await;
    // The second event is a minute away; the first is here.
    let mut events = wharf.client().stream("GET", &wharf.url("/echo/sse?count=2&ms=60000"), "").await;
    assert_eq!(events.status(), 200);
    let first = tokio::time::timeout(Duration::from_secs(10), events.body_mut().frame()).await.unwrap();
    assert!(!first.unwrap().unwrap().into_data().unwrap().is_empty());
    drop(events);
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let coded = wharf.client().send("POST", &wharf.url("/echo/"), &headers, "no JSON").await;
    assert_eq!((coded.status.as_u16(), coded.text().as_str()), (200, "no JSON"));
    for (direction, reason) in [("response", "not_json"), ("request", "encoded"), ("response", "encoded")] {
        let line = format!(r#"unchecked_bodies_total{{service="echo",direction="{direction}",reason="{reason}"}}"#);
        assert_eq!(counted(&wharf, &line).await, 1, "{line}");
    }
}

#[tokio::test]
async fn calls_between_services_are_held_to_it_too() {
    let builder =
        echo("contract: { requests: enforce }").plugin("caller").service("caller", "grants: { calls: [echo] }");
    let wharf = builder.start().await;
    wharf.get("/caller/call?url=http://echo.internal/request").await.assert_status(200);
    wharf.get("/caller/call?url=http://echo.internal/nothing").await.assert_problem(404, "contract_request");
    wharf
        .get("/caller/call?url=http://echo.internal/?limit=1&method=POST")
        .await
        .assert_problem(400, "contract_request");
}

#[tokio::test]
async fn clients_read_the_documents_that_are_theirs_to_read() {
    let greeter = "openapi: 3.0.3\ninfo: { title: Greeter, version: '1' }\npaths: { /: { get: { operationId: hello, responses: { '200': { description: x } } } } }";
    let builder = echo("{}").plugin("greeter").service("greeter", "expose: /hello");
    document(&builder, "greeter.openapi.yaml", greeter);
    let wharf = builder.start().await;
    let document = wharf.get("/echo/openapi.json").await;
    document.assert_status(200);
    assert_eq!(document.header("content-type"), "application/json");
    assert_eq!(document.json()["servers"], json!([{ "url": "/echo" }]));
    assert!(!document.text().contains("internal.example"));
    assert_eq!(wharf.get("/hello/openapi.json").await.json()["servers"], json!([{ "url": "/hello" }]));
    let paths = |document: &Value| -> Vec<String> {
        let mut paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
        paths.sort();
        paths
    };
    let all = ["/echo/", "/echo/info", "/echo/request", "/echo/sse", "/echo/stream", "/hello/"];
    let document = wharf.get("/api/openapi.json").await.json();
    assert_eq!(paths(&document), all);
    assert_eq!(document["paths"]["/hello/"]["get"]["operationId"], "greeter.hello");
    assert_eq!(paths(&wharf.admin_get("/api/openapi.json").await.json()), all);
    let wrong = wharf.send("POST", "/api/openapi.json", "").await;
    assert_eq!((wrong.status.as_u16(), wrong.header("allow")), (405, "GET, HEAD"));

    // What strangers may not use, they do not read; operators do.
    wharf.configure("services/echo.yaml", "filters: [{ ipRules: { deny: [127.0.0.0/8] } }]");
    eventually("only one is left", async || {
        (paths(&wharf.get("/api/openapi.json").await.json()) == ["/hello/"]).then_some(())
    })
    .await;
    wharf.get("/echo/openapi.json").await.assert_problem(403, "forbidden");
    assert_eq!(paths(&wharf.admin_get("/api/openapi.json").await.json()), all);
    wharf.configure("services/echo.yaml", "contract: { publish: false }");
    eventually("the service is asked itself", async || {
        (wharf.get("/echo/openapi.json").await.status == 404).then_some(())
    })
    .await;
    assert_eq!(paths(&wharf.get("/api/openapi.json").await.json()), ["/hello/"]);
    wharf.configure("gateway.yaml", "openapi: { path: /docs.json }");
    eventually("it is elsewhere", async || (wharf.get("/docs.json").await.status == 200).then_some(())).await;
    wharf.get("/api/openapi.json").await.assert_problem(404, "no_route");
    wharf.configure("gateway.yaml", "openapi: { enabled: false }");
    eventually("it is nowhere", async || (wharf.get("/docs.json").await.status == 404).then_some(())).await;
}

#[tokio::test]
async fn a_service_that_describes_the_path_of_its_document_answers_there_itself() {
    let builder = Wharf::builder().plugin("echo");
    document(&builder, "echo.openapi.yaml", "openapi: 3.1.0\npaths: { /openapi.json: { get: {} } }");
    let wharf = builder.start().await;
    // The service's own 404 and not the gateway's answer.
    wharf.get("/echo/openapi.json").await.assert_status(404);
    assert!(wharf.get("/api/openapi.json").await.text().contains("/echo/openapi.json"));
}

#[tokio::test]
async fn a_broken_document_rejects_its_version_and_the_old_one_serves_on() {
    let builder = Wharf::builder().file("orders", &versioned("version-marker-000000001"));
    let wharf = builder.start().await;
    let broken = "openapi: 3.1.0\npaths:\n  /:\n    get: { parameters: [{ name: a, in: body }] }\n";
    let two = versioned("version-marker-000000002");
    wharf.install("orders.wasm", &with_section(two.clone(), "wharf:openapi", broken));
    let reason = wharf.rejection("orders").await;
    assert!(reason.contains("wharf:openapi:4:25") && reason.contains("`in` is path"), "{reason}");
    assert!(wharf.get("/orders/").await.text().contains("000000001"));
    // Beside the component it can be mended without touching that.
    std::fs::write(wharf.plugin_path("orders.openapi.yaml"), broken).unwrap();
    wharf.install("orders.wasm", &two);
    eventually("it is rejected for the file", async || {
        wharf.rejection("orders").await.contains("orders.openapi.yaml:4:25").then_some(())
    })
    .await;
    assert!(wharf.get("/orders/").await.text().contains("000000001"));
    std::fs::write(wharf.plugin_path("orders.openapi.yaml"), broken.replace("body", "query")).unwrap();
    eventually("it serves", async || wharf.get("/orders/").await.text().contains("000000002").then_some(())).await;
    wharf.get("/orders/openapi.json").await.assert_status(200);
    // What breaks later is told, and the last good one stays.
    std::fs::write(wharf.plugin_path("orders.openapi.yaml"), "openapi: 3.1.0\npaths: 5\n").unwrap();
    let line = wharf.logged("orders.openapi.yaml:2:1").await;
    assert!(line.contains("the contract is kept as it was"), "{line}");
    wharf.get("/orders/openapi.json").await.assert_status(200);
    assert!(wharf.get("/orders/").await.text().contains("000000002"));
}

#[tokio::test]
async fn a_version_that_breaks_clients_is_told_of_or_rejected() {
    let document = |paths: &str| format!("openapi: 3.1.0\npaths: {{ {paths} }}");
    let component = |number: u32, paths: &str| {
        with_section(versioned(&format!("version-marker-{number:09}")), "wharf:openapi", &document(paths))
    };
    let both = "/: { get: {} }, /b: { get: {} }";
    let wharf = Wharf::builder().file("orders", &component(1, both)).start().await;
    wharf.install("orders.wasm", &component(2, "/: { get: {} }"));
    eventually("it serves", async || wharf.get("/orders/").await.text().contains("000000002").then_some(())).await;
    let line = wharf.logged("it breaks clients of").await;
    assert!(line.contains("/b: the path is gone"), "{line}");
    let versions = wharf.versions("orders").await;
    let serving = versions.iter().find(|version| version["state"] == "serving").unwrap();
    assert!(serving["notes"][0].as_str().unwrap().contains("the path is gone"), "{serving}");

    wharf.configure("services/orders.yaml", "contract: { breaking: reject }");
    wharf.logged("configuration in force").await;
    wharf.install("orders.wasm", &component(3, "/c: { get: {} }"));
    let reason = wharf.rejection("orders").await;
    assert!(reason.contains("/: the path is gone") && reason.contains("contract.breaking"), "{reason}");
    assert!(wharf.get("/orders/").await.text().contains("000000002"));
    // Another first number may break what it likes.
    wharf.install("orders@2.0.0.wasm", &component(4, "/c: { get: {} }"));
    eventually("both serve", async || {
        wharf
            .versions("orders")
            .await
            .iter()
            .any(|version| version["label"] == "2.0.0" && version["state"] == "serving")
            .then_some(())
    })
    .await;
    // The configuration changes, and it is tried again.
    wharf.configure("services/orders.yaml", "contract: { breaking: warn }");
    eventually("it serves", async || wharf.get("/orders/").await.text().contains("000000003").then_some(())).await;
}

#[tokio::test]
async fn events_are_no_part_of_what_clients_are_promised() {
    let settings = "contract: { requests: enforce }\nsubscriptions: [{ topic: order.created }]\n";
    let builder = Wharf::builder().plugin("subscriber-http").service("subscriber-http", settings);
    document(&builder, "subscriber-http.openapi.yaml", "openapi: 3.1.0\npaths: { /handled: { get: {} } }");
    let wharf = builder.start().await;
    wharf.get("/subscriber-http/other").await.assert_problem(404, "contract_request");
    let url = format!("http://{}/api/events", wharf.admin());
    let event = json!({ "topic": "order.created", "data": r#"{"do":"handle"}"# }).to_string();
    let json = [("content-type", "application/json")];
    wharf.client().send("POST", &url, &json, event).await.assert_status(201);
    eventually("it is delivered", async || {
        let handled = wharf.get("/subscriber-http/handled").await;
        (handled.status == 200 && handled.json().as_array().is_some_and(|all| all.len() == 1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_name_the_version_that_they_want_by_header_or_path() {
    let marker = |number: u32| versioned(&format!("version-marker-{number:09}"));
    let builder = Wharf::builder()
        .file("orders@1.2.0", &marker(12))
        .file("orders@1.10.0", &marker(110))
        .file("orders@2.0.0", &marker(200))
        .plugin("caller")
        .service("caller", "grants: { calls: [orders] }")
        .service("orders", "versioning: { header: accept-version, path: true }");
    document(&builder, "orders@1.10.0.openapi.yaml", "openapi: 3.1.0\npaths: { /: { get: {} } }");
    let wharf = builder.start().await;
    let asked = async |version: &str| {
        wharf.client().send("GET", &wharf.url("/orders/"), &[("accept-version", version)], "").await
    };
    let default = wharf.get("/orders/").await;
    assert!(default.text().contains("000000200"), "{}", default.text());
    assert_eq!(default.header("vary"), "accept-version");
    for (version, marker) in [("1", "000000110"), ("v1.2", "000000012"), ("1.2.0", "000000012"), ("2", "000000200")] {
        let answer = asked(version).await;
        assert!(answer.text().contains(marker), "{version}: {}", answer.text());
    }
    for version in ["3", "1.3", "latest", ""] {
        let refused = asked(version).await;
        refused.assert_problem(406, "no_version");
        assert!(refused.text().contains("1, 2"), "{}", refused.text());
    }
    assert!(wharf.get("/orders/v1/").await.text().contains("000000110"));
    assert!(wharf.get("/orders/v2").await.text().contains("000000200"));
    wharf.get("/orders/v3/").await.assert_problem(404, "no_version");
    assert_eq!(wharf.get("/orders/v1/openapi.json").await.json()["servers"][0]["url"], "/orders/v1");
    assert!(wharf.get("/caller/call?url=http://orders.internal/v1/").await.text().contains("000000110"));
    let call = "/caller/call?url=http://orders.internal/&h=accept-version:7";
    wharf.get(call).await.assert_problem(406, "no_version");
    // Only what is configured names a version.
    wharf.configure("services/orders.yaml", "versioning: { path: true }");
    eventually("the header says nothing", async || asked("1").await.text().contains("000000200").then_some(())).await;
    wharf.configure("services/orders.yaml", "versioning: { header: x-api }");
    eventually("the path says nothing", async || {
        (wharf.get("/orders/v3/").await.header("content-type") != "application/problem+json").then_some(())
    })
    .await;
}

#[tokio::test]
async fn hostile_documents_cost_their_version_and_nobody_else() {
    let yaml = |tail: &str| format!("openapi: 3.1.0\npaths:\n  /:\n{tail}\n");
    let schema = |schema: &str| {
        yaml(&format!(
            "    get: {{ responses: {{ '200': {{ content: {{ application/json: {{ schema: {schema} }} }} }} }} }}"
        ))
    };
    let laughs: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))).collect();
    let hostile = [
        (schema("{ $ref: 'http://169.254.169.254/latest' }"), "is not in this document"),
        (schema("{ $ref: 'file:///etc/passwd' }"), "is not in this document"),
        (schema("{ $ref: '#/paths/~1/get/responses/200/content/application~1json/schema' }"), "defined by itself"),
        (schema("{ pattern: '(?=(a+)+$)a' }"), "the pattern cannot be used"),
        (schema("{ pattern: '((a{1,1000}){1,1000}){1,1000}' }"), "the pattern is too large"),
        (format!("a0: &a0 [x]\n{laughs}"), "copy more than"),
        (format!("{{\"openapi\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000)), "deep"),
        (" ".repeat(3 << 20), "more than"),
    ];
    let builder = Wharf::builder().plugin("echo").plugin("greeter");
    document(&builder, "echo.openapi.yaml", "a: 1");
    let wharf = builder.start().await;
    for (document, said) in hostile {
        std::fs::write(wharf.plugin_path("echo.openapi.yaml"), document).unwrap();
        eventually(said, async || wharf.rejection("echo").await.contains(said).then_some(())).await;
        wharf.get("/greeter/").await.assert_status(200);
    }
    assert!(wharf.memory() < 1 << 30, "{}", wharf.memory());
    std::fs::write(wharf.plugin_path("echo.openapi.yaml"), "openapi: 3.1.0").unwrap();
    eventually("it serves", async || (wharf.get("/echo/health").await.status == 200).then_some(())).await;
}
