//! The registry through the admin API of a real process: instances come, keep a lease, go, and are watched.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use wharf_tests::{Answer, Wharf, binary, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A request to the admin API with a JSON body.
async fn api(wharf: &Wharf, method: &str, path: &str, body: Value) -> Answer {
    let url = format!("http://{}{path}", wharf.admin());
    wharf.client().send(method, &url, &[JSON], body.to_string()).await
}

/// Registers an instance that must be accepted.
async fn register(wharf: &Wharf, service: &str, id: &str) -> Value {
    let body = json!({ "service": service, "url": "http://127.0.0.1:9001", "id": id });
    let answer = api(wharf, "POST", "/api/services", body).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    answer.json()
}

async fn beat(wharf: &Wharf, service: &str, id: &str, body: Value) -> Answer {
    api(wharf, "PUT", &format!("/api/services/{service}/instances/{id}/heartbeat"), body).await
}

/// `id health` of the instances that are asked for.
async fn found(wharf: &Wharf, query: &str) -> Vec<String> {
    let list = wharf.admin_get(&format!("/api/instances{query}")).await.json();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let instances = list["instances"].as_array().unwrap();
    instances.iter().map(|it| format!("{} {}", word(&it["id"]), word(&it["health"]))).collect()
}

/// Fails unless it is a problem document; the fields that are wrong.
fn problem(answer: &Answer, status: u16, reason: &str) -> Vec<String> {
    answer.assert_status(status);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let document = answer.json();
    assert_eq!((&document["status"], &document["reason"]), (&json!(status), &json!(reason)), "{document}");
    assert!(!document["title"].as_str().unwrap().is_empty() && !document["detail"].as_str().unwrap().is_empty());
    let errors = document["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

/// Server-sent events as they come.
struct Events {
    body: Incoming,
    pending: String,
}

impl Events {
    async fn open(wharf: &Wharf, query: &str) -> Self {
        let url = format!("http://{}/api/watch{query}", wharf.admin());
        let response = wharf.client().stream("GET", &url, "").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), pending: String::new() }
    }

    /// The name and data of the next event; nothing when the stream ends in order.
    async fn next(&mut self) -> Option<(String, Value)> {
        let next = async {
            loop {
                if let Some((block, rest)) = self.pending.split_once("\n\n") {
                    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                    let event = field("event: ").zip(field("data: "));
                    assert!(event.is_none() || field("id: ").unwrap().parse::<u64>().is_ok(), "{block}");
                    self.pending = rest.to_owned();
                    if let Some((name, data)) = event {
                        return Some((name, serde_json::from_str(&data).unwrap()));
                    }
                    continue;
                }
                let frame = self.body.frame().await?.unwrap().into_data().unwrap();
                self.pending.push_str(std::str::from_utf8(&frame).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_secs(20), next).await.expect("an event comes")
    }
}

#[tokio::test]
async fn an_instance_registers_keeps_its_lease_and_fades_without_it() {
    let clocks = "registry: { heartbeatInterval: 300ms, unhealthyAfter: 1s, removeAfter: 2s }";
    let wharf = Wharf::builder().gateway(clocks).start().await;
    let body = json!({
        "service": "orders", "url": "http://127.0.0.1:9001", "id": "b", "version": "2", "weight": 5, "tags": ["eu"],
        "metadata": { "zone": "a" }, "healthCheck": { "path": "/healthz" },
    });
    let answer = api(&wharf, "POST", "/api/services", body.clone()).await;
    answer.assert_status(201);
    assert_eq!(answer.header("location"), "/api/services/orders/instances/b");
    let told = answer.json();
    let expected = json!({ "url": "/api/services/orders/instances/b/heartbeat", "interval": "300ms" });
    assert_eq!(told["heartbeat"], expected, "{told}");
    let instance = wharf.admin_get(answer.header("location")).await.json();
    for (field, value) in [
        ("service", json!("orders")),
        ("url", json!("http://127.0.0.1:9001")),
        ("version", json!("2")),
        ("weight", json!(5)),
        ("tags", json!(["eu"])),
        ("metadata", json!({ "zone": "a" })),
        ("source", json!("lease")),
        ("health", json!("starting")),
    ] {
        assert_eq!(instance[field], value, "{instance}");
    }
    assert_eq!(instance["healthCheck"]["interval"], "10s", "{instance}");
    assert_eq!(instance["lease"]["removeAfter"], "2s", "{instance}");
    api(&wharf, "POST", "/api/services", body).await.assert_status(200);

    register(&wharf, "orders", "c").await;
    let began = Instant::now();
    let mut beats = 0;
    while began.elapsed() < Duration::from_millis(2500) {
        beat(&wharf, "orders", "c", json!({})).await.assert_status(204);
        beats += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(beats > 5, "the machine is too slow for this test");
    assert_eq!(found(&wharf, "").await, ["c healthy"], "b is forgotten, c has beaten");
    eventually("c is unhealthy", async || (found(&wharf, "?health=unhealthy").await.len() == 1).then_some(())).await;
    eventually("c is forgotten", async || found(&wharf, "").await.is_empty().then_some(())).await;
    problem(&beat(&wharf, "orders", "c", json!({})).await, 404, "unknown_instance");
    wharf.admin_get("/api/services/orders").await.assert_status(404);
}

#[tokio::test]
async fn what_is_registered_is_found_and_goes() {
    let wharf =
        Wharf::builder().plugin("greeter").service("greeter", "tags: [demo]\nmetadata: { team: shop }").start().await;
    register(&wharf, "greeter", "remote").await;
    let made =
        api(&wharf, "POST", "/api/services", json!({ "service": "users", "url": "https://users.example" })).await;
    let made = made.assert_status(201).json();
    let id = made["instance"]["id"].as_str().unwrap();
    assert_eq!(id.len(), 36, "an id is made: {made}");

    let service = wharf.admin_get("/api/services/greeter").await.json();
    assert_eq!((&service["tags"], &service["metadata"]), (&json!(["demo"]), &json!({ "team": "shop" })), "{service}");
    let instances = service["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 2, "the file's and the other one are one service: {service}");
    let local = instances.iter().find(|it| it["source"] == "folder").unwrap();
    let digest = &service["versions"][0]["digest"].as_str().unwrap()[..8];
    let label = service["versions"][0]["label"].as_str().unwrap();
    assert_eq!(local["id"], format!("greeter/{label}@{digest}"), "{service}");
    assert_eq!(found(&wharf, "?service=users").await, [format!("{id} healthy")]);
    assert_eq!(found(&wharf, "?tag=demo").await.len(), 2);
    assert_eq!(found(&wharf, &format!("?version={label}&health=healthy")).await.len(), 1);
    assert_eq!(found(&wharf, "?tag=nothing").await, [""; 0]);
    assert_eq!(problem(&wharf.admin_get("/api/instances?servce=x").await, 400, "bad_request"), ["servce"]);

    beat(&wharf, "greeter", "remote", json!({ "health": "degraded", "reason": "slow disk" })).await.assert_status(204);
    let remote = wharf.admin_get("/api/services/greeter/instances/remote").await.json();
    assert_eq!((&remote["health"], &remote["reason"]), (&json!("degraded"), &json!("slow disk")));

    let graph = wharf.admin_get("/api/graph").await.json();
    assert_eq!(graph["services"], json!(["greeter", "users"]), "{graph}");

    let taken = json!({ "service": "users", "url": "http://127.0.0.1:1", "id": "remote" });
    problem(&api(&wharf, "POST", "/api/services", taken).await, 409, "id_taken");
    let local_path = format!("/api/services/greeter/instances/greeter%2F{label}%40{digest}");
    wharf.admin_get(&local_path).await.assert_status(200);
    problem(&api(&wharf, "DELETE", &local_path, json!({})).await, 409, "not_leased");
    problem(&api(&wharf, "DELETE", "/api/services/users/instances/remote", json!({})).await, 404, "unknown_instance");
    api(&wharf, "DELETE", "/api/services/greeter/instances/remote", json!({})).await.assert_status(204);
    assert_eq!(found(&wharf, "?id=remote").await, ["remote stopping"]);
}

#[tokio::test]
async fn configured_instances_follow_the_configuration() {
    let yaml = |weight: u32| {
        format!(
            "healthCheck: {{ path: /up, interval: 1h, unhealthyThreshold: 5, healthyThreshold: 1, \
             expectedStatuses: [204, 200-299] }}\n\
             instances: [{{ name: a, url: \"http://127.0.0.1:9001\", weight: {weight}, version: \"1\" }}]\n"
        )
    };
    let wharf = Wharf::builder().service("orders", &yaml(3)).start().await;
    let instance = wharf.admin_get("/api/services/orders/instances/orders%2Fa").await.json();
    assert_eq!((&instance["source"], &instance["weight"]), (&json!("config"), &json!(3)), "{instance}");
    assert_eq!(
        instance["healthCheck"]["expectedStatuses"],
        json!(["204", "200-299"]),
        "as the service says: {instance}"
    );
    let mut events = Events::open(&wharf, "?service=orders").await;
    assert_eq!(events.next().await.unwrap().0, "snapshot");
    wharf.configure("services/orders.yaml", &yaml(4));
    let (name, data) = events.next().await.unwrap();
    assert_eq!((&*name, &data["old"]["weight"], &data["new"]["weight"]), ("instance.updated", &json!(3), &json!(4)));
    assert_eq!(data["new"]["registeredAt"], instance["registeredAt"], "it is the same instance");
    wharf.configure("services/orders.yaml", "");
    let (name, data) = events.next().await.unwrap();
    assert_eq!((&*name, &data["new"]), ("instance.deregistered", &Value::Null));
}

#[tokio::test]
async fn a_watcher_sees_versions_and_instances_until_the_host_stops() {
    let mut wharf = Wharf::builder().start().await;
    let mut all = Events::open(&wharf, "").await;
    let mut orders = Events::open(&wharf, "?service=orders").await;
    for events in [&mut all, &mut orders] {
        assert_eq!(events.next().await.unwrap(), ("snapshot".to_owned(), json!({ "missed": 0, "services": [] })));
    }
    register(&wharf, "orders", "b").await;
    beat(&wharf, "orders", "b", json!({ "health": "unhealthy" })).await.assert_status(204);
    for events in [&mut all, &mut orders] {
        let (name, data) = events.next().await.unwrap();
        assert_eq!((&*name, &data["old"], &data["new"]["id"]), ("instance.registered", &Value::Null, &json!("b")));
        let (name, data) = events.next().await.unwrap();
        assert_eq!((&*name, &data["old"]["health"]), ("instance.health", &json!("healthy")));
        assert_eq!(data["new"]["health"], "unhealthy", "{data}");
    }
    wharf.install("greeter.wasm", &wharf_tests::guest("greeter"));
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "version.changed serving") {
        let (name, data) = all.next().await.unwrap();
        let state = data["new"]["state"].as_str().or(data["new"]["health"].as_str()).unwrap();
        states.push(format!("{name} {state}"));
    }
    let expected = [
        "version.changed compiling",
        "version.changed probing",
        "instance.registered healthy",
        "version.changed serving",
    ];
    assert_eq!(states, expected);
    wharf.signal(Signal::TERM);
    assert_eq!((all.next().await, orders.next().await), (None, None), "both end in order");
    assert_eq!(wharf.ended().await.code(), Some(0));
}

#[tokio::test]
async fn nonsense_is_refused_with_everything_that_is_wrong() {
    let wharf = Wharf::builder().start().await;
    let url = format!("http://{}/api/services", wharf.admin());
    let body = json!({
        "service": "Orders!", "url": "http://user:hunter2@host/", "id": "a\u{1b}[2J", "version": "", "weight": 1_000_001,
        "tags": ["a\nb"], "metadata": { "k\n": "v", "z": "\u{0}" }, "ttl": "1ms", "colour": "red",
    });
    let answer = api(&wharf, "POST", "/api/services", body).await;
    let mut fields = problem(&answer, 400, "bad_request");
    fields.sort();
    let expected =
        ["colour", "id", "metadata.k\\n", "metadata.z", "service", "tags[0]", "ttl", "url", "version", "weight"];
    assert_eq!(fields, expected);
    let text = answer.text();
    assert!(!text.contains("hunter2") && !text.contains('\u{1b}') && !text.contains("\\u001b"), "{text}");

    for bad in ["{", "[]", "null", "\"x\"", "{} {}", "{\"service\":\"\\ud800\"}", &"[".repeat(10_000)] {
        problem(&wharf.client().send("POST", &url, &[JSON], bad.to_owned()).await, 400, "bad_request");
    }
    problem(&wharf.client().send("POST", &url, &[], "{}").await, 415, "unsupported_media_type");
    for size in [65 << 10, 1 << 20] {
        let huge = format!("{{\"service\":\"{}\"}}", "x".repeat(size));
        problem(&wharf.client().send("POST", &url, &[JSON], huge).await, 413, "payload_too_large");
    }
    // Far too much: whether the answer is seen is the network's business, but nobody keeps it.
    let _ = wharf.client().try_send("POST", &url, &[JSON], vec![b'x'; 64 << 20]).await;
    assert!(wharf.memory() < 200 << 20, "{} bytes", wharf.memory());
    assert_eq!(found(&wharf, "").await, [""; 0]);
}

#[tokio::test]
async fn web_pages_and_names_of_other_places_are_refused() {
    let wharf = Wharf::builder().start().await;
    let url = format!("http://{}/api/services", wharf.admin());
    let body = || json!({ "service": "orders", "url": "http://127.0.0.1:9001", "id": "x" }).to_string();
    for header in [("host", "evil.example"), ("origin", "https://evil.example"), ("origin", "null")] {
        for (method, path) in
            [("POST", ""), ("GET", ""), ("PUT", "/orders/instances/x/heartbeat"), ("DELETE", "/orders/instances/x")]
        {
            let answer = wharf.client().send(method, &format!("{url}{path}"), &[JSON, header], body()).await;
            problem(&answer, 403, "forbidden");
        }
    }
    let answer = wharf.client().send("POST", &url, &[JSON, ("origin", "http://localhost:9090")], body()).await;
    answer.assert_status(201);
}

#[tokio::test]
async fn ten_thousand_registrations_are_bounded_and_cost_nobody_else_anything() {
    let wharf = Wharf::builder().plugin("greeter").gateway("registry: { maxInstances: 100 }").start().await;
    // Connected, and never reading.
    let mut silent = Vec::new();
    for _ in 0..10 {
        let mut socket = TcpStream::connect(wharf.admin()).await.unwrap();
        socket.write_all(b"GET /api/watch HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        silent.push(socket);
    }
    let mut slow = Events::open(&wharf, "").await;
    let mut full = 0;
    for number in 0..10_000 {
        let body = json!({ "service": "orders", "url": "http://127.0.0.1:9001", "id": format!("i{number}") });
        let answer = api(&wharf, "POST", "/api/services", body).await;
        if answer.status != 201 {
            problem(&answer, 507, "registry_full");
            full += 1;
        }
    }
    assert_eq!(full, 9_900);
    for round in 0..2_000 {
        let body = json!({ "service": "orders", "url": "http://127.0.0.1:9001", "id": "i0", "weight": round % 2 });
        api(&wharf, "POST", "/api/services", body).await.assert_status(200);
    }
    assert!(wharf.memory() < 300 << 20, "{} bytes", wharf.memory());
    wharf.get("/greeter/").await.assert_status(200);
    // Whoever reads again, reads the truth: at last the newest weight, by an event or by a snapshot.
    let mut last = None;
    let mut snapshots = 0;
    while last != Some(json!(7)) {
        if last == Some(json!(1)) || last.is_none() {
            let body = json!({ "service": "orders", "url": "http://127.0.0.1:9001", "id": "i0", "weight": 7 });
            api(&wharf, "POST", "/api/services", body).await.assert_status(200);
        }
        let (name, data) = slow.next().await.unwrap();
        if name == "snapshot" {
            snapshots += 1;
            let orders = data["services"].as_array().unwrap().iter().find(|it| it["name"] == "orders");
            let first = orders.and_then(|it| it["instances"].as_array()?.iter().find(|it| it["id"] == "i0"));
            last = first.map(|it| it["weight"].clone());
        } else if data["new"]["id"] == "i0" {
            last = Some(data["new"]["weight"].clone());
        }
    }
    assert!(snapshots >= 1);
    drop(silent);
}

#[tokio::test]
async fn watchers_are_bounded() {
    let wharf = Wharf::builder().start().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::open(&wharf, "").await);
    }
    let answer = wharf.admin_get("/api/watch").await;
    problem(&answer, 503, "too_many_watchers");
    assert_eq!(answer.header("retry-after"), "5");
    open.pop();
    let url = format!("http://{}/api/watch", wharf.admin());
    eventually("a place is free again", async || {
        (wharf.client().stream("GET", &url, "").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let wharf = Wharf::builder().start().await;
    let mut socket = TcpStream::connect(wharf.admin()).await.unwrap();
    let head = "POST /api/services HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(15), socket.read_to_end(&mut answer));
    read.await.expect("the connection is closed").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("client_timeout"), "{answer}");
}

#[tokio::test]
async fn wharf_services_watch_prints_a_line_for_every_change() {
    let wharf = Wharf::builder().start().await;
    for (flags, word) in [(&["--watch"][..], "b: healthy → degraded (slow)"), (&["--watch", "--json"], "\"degraded\"")]
    {
        let mut child = tokio::process::Command::new(binary())
            .args(["services", "--admin", &wharf.admin().to_string()])
            .args(flags)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
        assert!(first.contains("no services") || first.contains("snapshot") || first.is_empty(), "{first}");
        register(&wharf, "orders", "b").await;
        beat(&wharf, "orders", "b", json!({ "health": "degraded", "reason": "slow" })).await.assert_status(204);
        let seen = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(word) {
                    return;
                }
            }
            panic!("it ended without {word}");
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the change is shown");
        beat(&wharf, "orders", "b", json!({})).await.assert_status(204);
    }
}
