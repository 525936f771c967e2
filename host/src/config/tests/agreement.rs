//! Files, structs, schema, samples and documentation say the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::super::problem::File;
use super::super::read::{Expect, read};
use super::super::tree::parse;
use super::*;

/// The folder of the project.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a file says, as JSON; nothing when it has mistakes that JSON cannot have.
pub(super) fn as_json(text: &str) -> Option<Value> {
    let mut problems = Vec::new();
    let tree = parse(&Arc::new(File { path: "a.yaml".into(), text: text.to_owned() }), &mut problems)?;
    problems.is_empty().then(|| read(&tree, Expect::default(), &mut problems))
}

fn validator(kind: SchemaKind) -> &'static Validator {
    static VALIDATORS: LazyLock<[Validator; 3]> = LazyLock::new(|| {
        [SchemaKind::Gateway, SchemaKind::Service, SchemaKind::Overlay]
            .map(|kind| jsonschema::draft202012::new(&schema(kind)).unwrap())
    });
    &VALIDATORS[kind as usize]
}

pub(super) fn refused_by_schema(kind: SchemaKind, value: &Value) -> bool {
    !validator(kind).is_valid(value)
}

fn kind_of(file: &str) -> SchemaKind {
    match file.split('/').next() {
        Some("services") => SchemaKind::Service,
        Some("env") => SchemaKind::Overlay,
        _ => SchemaKind::Gateway,
    }
}

fn assert_schema_accepts(file: &str, text: &str) {
    let value = as_json(text).unwrap();
    let errors: Vec<String> = validator(kind_of(file)).iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{file}: {errors:#?}\n{text}");
}

/// One of each kind of filter that may hold for many routes.
fn shared_filters() -> Vec<Value> {
    let of_a_rule =
        |filter: &Value| ["rewrite", "redirect", "staticResponse"].iter().any(|name| filter.get(name).is_some());
    super::super::filter::examples().into_iter().filter(|filter| !of_a_rule(filter)).collect()
}

/// Every field there is, with a value that is right, in the form of an overlay that lies over nothing.
fn complete() -> Value {
    let policies = json!({
        "limits": {
            "memory": "64MiB", "cpuTime": "2s", "requestBody": 1024, "responseBody": "1GiB", "headers": "8KiB",
            "resources": 100, "calls": 5, "openCalls": 2, "publishRate": 50, "logRate": "1KiB",
        },
        "timeouts": {
            "request": "1s", "backendRequest": "1s", "connect": "1s", "streamIdle": "1s", "idle": "1s",
        },
        "retry": serde_json::from_str::<Value>(super::super::retry::EXAMPLE).unwrap(),
        "bulkhead": serde_json::from_str::<Value>(super::super::bulkhead::EXAMPLE).unwrap(),
        "loadBalancer": serde_json::from_str::<Value>(super::super::load_balancer::EXAMPLE).unwrap(),
        "slots": { "reuse": { "maxRequests": 5, "idle": "1s" } },
        "healthCheck": serde_json::from_str::<Value>(super::super::health_check::EXAMPLE).unwrap(),
        "keyValue": { "quota": "0B" },
        "sql": serde_json::from_str::<Value>(super::super::sql::EXAMPLE).unwrap(),
        "drainTimeout": "1s",
        "rollout": serde_json::from_str::<Value>(super::super::rollout::EXAMPLE).unwrap(),
        "versioning": serde_json::from_str::<Value>(super::super::versioning::EXAMPLE).unwrap(),
        "contract": serde_json::from_str::<Value>(super::super::contract::EXAMPLE).unwrap(),
        "circuitBreaker": serde_json::from_str::<Value>(super::super::circuit_breaker::EXAMPLE).unwrap(),
        "outlierDetection": serde_json::from_str::<Value>(super::super::outlier_detection::EXAMPLE).unwrap(),
    });
    let mut service = policies.clone();
    service["expose"] = json!("/orders");
    service["config"] = json!({ "currency": "EUR", "key": { "secret": "payments" } });
    service["versions"] = json!({ "2": { "config": { "currency": "CHF", "key": { "secret": "payments" } } } });
    service["public"] = json!(true);
    service["grants"] = serde_json::from_str::<Value>(super::super::grants::EXAMPLE).unwrap();
    service["tags"] = json!(["commerce"]);
    service["metadata"] = json!({ "team": "shop" });
    service["instances"] = serde_json::from_str(super::super::instances::EXAMPLE).unwrap();
    service["filters"] = json!(shared_filters());
    service["subscriptions"] = serde_json::from_str(super::super::subscription::EXAMPLE).unwrap();
    service["schedules"] = serde_json::from_str(super::super::schedule::EXAMPLE).unwrap();
    let mut of_a_rule = policies["retry"].clone();
    of_a_rule.as_object_mut().unwrap().remove("budget");
    let routes = json!([{
        "name": "shop",
        "hostnames": ["shop.example.com"],
        "listeners": ["public"],
        "rules": [
            {
                "name": "first",
                "priority": -1,
                "public": true,
                "matches": [{
                    "path": { "prefix": "/a" }, "method": "GET",
                    "headers": { "a": "b", "b": { "regex": "c" } }, "queryParams": { "c": { "present": true } },
                    "cookies": { "d": "e" }, "clientIps": ["10.0.0.0/8"],
                }],
                "filters": super::super::filter::examples(),
                "timeouts": { "request": "1s", "backendRequest": "1s" },
                "split": { "header": "x-version", "cookie": "version", "stickyBy": { "header": "x-user" } },
                "retry": of_a_rule,
                "bulkhead": { "maxConcurrent": 5, "maxPending": 0, "maxWait": "0s" },
                "backendRefs": [{
                    "service": "orders", "version": "1", "weight": 5, "filters": [],
                }],
            },
            { "matches": [{ "path": { "exact": "/b" } }], "backendRefs": [{ "service": "orders" }] },
            { "matches": [{ "path": { "regex": "/c" } }], "backendRefs": [{ "service": "orders" }] },
        ],
    }]);
    json!({
        "listen": "127.0.0.1:8080",
        "admin": { "listen": "127.0.0.1:9090" },
        "plugins": { "dir": "plugins", "pollInterval": "1s" },
        "state": { "path": "state", "backups": "backups" },
        "engine": { "maxSlots": 5, "compileConcurrency": 1, "compileTimeout": "1m", "compileCache": false },
        "trustedProxies": ["10.0.0.0/8"],
        "listeners": [serde_json::from_str::<Value>(super::super::listener::EXAMPLE).unwrap()],
        "auth": serde_json::from_str::<Value>(super::super::auth::EXAMPLE).unwrap(),
        "connections": serde_json::from_str::<Value>(super::super::connections::EXAMPLE).unwrap(),
        "requests": serde_json::from_str::<Value>(super::super::requests::EXAMPLE).unwrap(),
        "calls": { "maxDepth": 5 },
        "events": serde_json::from_str::<Value>(super::super::events::EXAMPLE).unwrap(),
        "queues": serde_json::from_str::<Value>(super::super::events::QUEUES).unwrap(),
        "secrets": { "payments": { "file": "secrets/payments" }, "other": { "env": "OTHER" } },
        "health": serde_json::from_str::<Value>(super::super::health::EXAMPLE).unwrap(),
        "openapi": serde_json::from_str::<Value>(super::super::contract::OPENAPI).unwrap(),
        "filters": shared_filters(),
        "registry": serde_json::from_str::<Value>(super::super::registry::EXAMPLE).unwrap(),
        "accessLog": { "enabled": false, "format": "json" },
        "drain": { "preStopDelay": "1s", "timeout": "1s" },
        "defaults": policies,
        "routes": routes,
        "services": { "orders": service },
    })
}

/// Maps whose keys are free.
const FREE: [&str; 12] = [
    "/secrets",
    "/versions",
    "/metadata",
    "/headers",
    "/queryParams",
    "/cookies",
    "/config",
    "/set",
    "/setIfAbsent",
    "/add",
    "/claims",
    "/claimsToHeaders",
];

fn refused_by_loader(value: &Value) -> bool {
    load_files(&[("env/all.yaml", &serde_json::to_string_pretty(value).unwrap())], Some("all")).is_err()
}

/// The places of everything in a value, as JSON pointers.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    if !at.is_empty() {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn the_complete_configuration_is_accepted_by_both() {
    let complete = complete();
    assert!(!refused_by_schema(SchemaKind::Overlay, &complete));
    let text = serde_json::to_string_pretty(&complete).unwrap();
    load_files(&[("env/all.yaml", &text)], Some("all")).unwrap();
}

#[test]
fn loader_and_schema_refuse_the_same_when_a_value_has_the_wrong_shape() {
    let complete = complete();
    let mut places = Vec::new();
    pointers(&complete, "", &mut places);
    assert!(places.len() > 80, "{}", places.len());
    // Free words that take any map of text.
    let free = |place: &str| FREE.iter().any(|end| place.ends_with(end));
    for place in &places {
        for wrong in [json!([[1]]), json!({ "zzz": [1] }), json!({ "zzz": "x" }), json!("?!"), json!(-1.5), json!(true)]
        {
            let mut value = complete.clone();
            *value.pointer_mut(place).unwrap() = wrong.clone();
            let (loader, schema) = (refused_by_loader(&value), refused_by_schema(SchemaKind::Overlay, &value));
            // What the schema lets pass may still be wrong; what it refuses is wrong, or text without its quotes.
            if schema && !loader {
                assert!(wrong.is_boolean() || wrong.is_number(), "only the schema refuses {wrong} at {place}");
            }
            if wrong.is_array() || (wrong.is_object() && !free(place) && place != "/services" && place != "/queues") {
                assert!(loader && schema, "{wrong} at {place}: loader {loader}, schema {schema}");
            }
        }
    }
}

#[test]
fn loader_and_schema_refuse_the_same_fields() {
    let complete = complete();
    let mut places = Vec::new();
    pointers(&complete, "", &mut places);
    places.push(String::new());
    let mut maps = 0;
    for place in &places {
        let Value::Object(map) = complete.pointer(place).unwrap() else { continue };
        maps += 1;
        let free = FREE.iter().any(|end| place.ends_with(end));
        let mut value = complete.clone();
        value.pointer_mut(place).unwrap()["zzz"] = json!({});
        let (loader, schema) = (refused_by_loader(&value), refused_by_schema(SchemaKind::Overlay, &value));
        assert_eq!(
            (loader, schema),
            if ["/services", "/queues", "/services/orders/versions"].contains(&place.as_str()) {
                (false, false)
            } else {
                (true, true)
            },
            "zzz in {place}"
        );
        for key in map.keys() {
            let mut value = complete.clone();
            value.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(key);
            let (loader, schema) = (refused_by_loader(&value), refused_by_schema(SchemaKind::Overlay, &value));
            // An overlay's routes may be incomplete for the schema, because they lie over others.
            let incomplete = (key == "rules" || key == "backendRefs") && loader && !schema;
            // An empty map leaves what the defaults say.
            let inherited = place == "/services/orders/slots" || place.contains("/orders/loadBalancer/strategy");
            // Others refer to these by name, which only the loader sees.
            let referred = loader && matches!(key.as_str(), "auth" | "providers" | "listeners" | "secrets" | "grants");
            assert!(
                free || loader == schema || incomplete || inherited || referred,
                "without {key} in {place}: {loader}, {schema}"
            );
        }
    }
    assert!(maps > 25, "{maps}");
}

#[test]
fn a_route_must_be_complete_in_gateway_yaml_but_not_in_an_overlay() {
    let route = json!({ "routes": [{ "name": "a", "hostnames": ["x"] }] });
    assert!(refused_by_schema(SchemaKind::Gateway, &route));
    assert!(!refused_by_schema(SchemaKind::Overlay, &route));
    assert!(refused_by_schema(SchemaKind::Overlay, &json!({ "routes": [{ "hostnames": ["x"] }] })));
}

#[test]
fn the_samples_are_right() {
    let dir = project().join("gateway-config");
    let mut files = 0;
    for folder in [dir.clone(), dir.join("services"), dir.join("env")] {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        {
            let name = path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned();
            assert_schema_accepts(&name, &std::fs::read_to_string(&path).unwrap());
            files += 1;
        }
    }
    assert_eq!(load_with(&dir, None).unwrap().files.len() + 1, files, "all are read but the overlay");
    assert_eq!(load_with(&dir, Some("production")).unwrap().files.len(), files);
    let plain = load_with(&dir, None).unwrap().gateway;
    let rest = Gateway { routes: Vec::new(), auth: Auth::default(), ..plain };
    assert_eq!(rest, Gateway::default(), "nothing is said but routes and who issues tokens");
}

fn page() -> String {
    std::fs::read_to_string(project().join("docs/configuration.md")).unwrap()
}

/// All pages with tables of fields.
fn pages() -> String {
    let docs = project().join("docs");
    let mut pages = vec![page()];
    for name in ["policies.md", "events.md", "connections.md", "requests.md", "tls.md", "identity.md", "contracts.md"] {
        pages.push(std::fs::read_to_string(docs.join(name)).unwrap());
    }
    for entry in std::fs::read_dir(docs.join("filters")).unwrap() {
        pages.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    pages.join("\n")
}

#[test]
fn the_examples_of_the_page_are_right_in_the_order_of_the_page() {
    let page = page();
    let mut files = BTreeMap::new();
    for block in page.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        let name = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        assert_schema_accepts(name, text);
        files.insert(name, text);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, *text)).collect();
        let env = name.strip_prefix("env/").and_then(|name| name.strip_suffix(".yaml"));
        let config = load_files(&files, env).unwrap_or_else(|problems| panic!("{problems}"));
        if env.is_some() {
            let orders = &config.services["orders"];
            assert_eq!((orders.limits.memory, orders.limits.cpu_time), (Size::mib(128), Duration::secs(1)));
            assert_eq!(orders.config["pageSize"], "100".into());
            assert_eq!(config.gateway.routes[0].hostnames, ["shop.example.com"]);
        }
    }
    assert!(files.len() >= 3);
}

#[test]
fn the_mistake_shown_on_the_page_looks_as_shown() {
    let page = page();
    let shown = page.split("```text\n").find(|block| block.starts_with("error:")).unwrap().split("```").next().unwrap();
    let example = page.split("```yaml\n# gateway.yaml").nth(1).unwrap().split("```").next().unwrap();
    let broken = format!("# gateway.yaml{example}").replace("timeouts: { request: 5s }", "timeout: { request: 5s }");
    let dir = folder(&[("gateway.yaml", &broken)]);
    let text = load_with(dir.path(), None).unwrap_err().to_string();
    let text = text.replace(&dir.path().join("gateway.yaml").display().to_string(), "gateway-config/gateway.yaml");
    assert_eq!(text.replace("\n\n1 problem in the configuration", "\n"), shown);
}

/// Fields by path (`routes[].name`) with their default as the page writes it.
fn fields(root: &Value, at: &Value, path: &str, required: bool, found: &mut BTreeMap<String, String>) {
    let resolve = |value: &Value| match value["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap().clone(),
        None => value.clone(),
    };
    let definition = resolve(at);
    let default = match at.get("default").or(definition.get("default")) {
        _ if required => "required".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        _ => "none".to_owned(),
    };
    let forms = [&definition["anyOf"], &definition["oneOf"]].into_iter().filter_map(Value::as_array).flatten();
    let forms: Vec<Value> = forms.map(resolve).chain([definition.clone()]).collect();
    let forms: Vec<Value> = forms
        .iter()
        .flat_map(|form| form["oneOf"].as_array().cloned().unwrap_or_default().into_iter().chain([form.clone()]))
        .map(|form| resolve(&form))
        .collect();
    let mut inner = false;
    for form in &forms {
        for (key, value) in form["properties"].as_object().into_iter().flatten() {
            inner = true;
            // One of several forms is not required, although it is its form's only key.
            let required = form["required"].as_array().is_some_and(|keys| keys.iter().any(|name| name == key));
            let choice = forms.len() > 1;
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if key == "filters" {
                // The same everywhere; described once.
                found.insert(path, "none".to_owned());
                continue;
            }
            fields(root, value, &path, required && !choice, found);
        }
    }
    if definition["items"]["$ref"].is_string() {
        fields(root, &definition["items"], &format!("{path}[]"), false, found);
    }
    if !path.is_empty() && !path.ends_with("[]") && (!inner || default != "none" || required) {
        found.insert(path.to_owned(), default);
    }
}

#[test]
fn the_page_names_every_field_and_its_default() {
    let page = pages();
    let mut documented: BTreeMap<String, String> = BTreeMap::new();
    // Other tables have fewer columns.
    for line in page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() > 4) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert!(cells.len() == 6 && !cells[4].is_empty(), "field, type, default, meaning: {line}");
        let again = documented.insert(cells[1].replace('`', ""), cells[3].replace('`', ""));
        assert_eq!(again, None, "{line}");
    }
    let mut known = BTreeMap::new();
    let (gateway, service) = (schema(SchemaKind::Gateway), schema(SchemaKind::Service));
    fields(&gateway, &gateway, "", false, &mut known);
    fields(&gateway, &gateway["$defs"]["Filter"], "", false, &mut known);
    let defaults: Vec<String> = known.keys().filter(|path| path.starts_with("defaults.")).cloned().collect();
    fields(&service, &service, "", false, &mut known);
    for path in &defaults {
        let own = known.remove(path).unwrap();
        assert_eq!(known.get(path.trim_start_matches("defaults.")), Some(&own), "{path}");
    }
    // What may be refused is what may be allowed.
    let allowed = |path: &str| path.replace(".rules[].deny.", ".rules[].allow.");
    let (denied, mut known): (BTreeMap<_, _>, BTreeMap<_, _>) =
        known.into_iter().partition(|(path, _)| allowed(path) != *path);
    assert!(denied.iter().all(|(path, default)| known.get(&allowed(path)) == Some(default)) && !denied.is_empty());
    known.insert("defaults".to_owned(), "none".to_owned());
    assert!(known.len() > 50, "{known:#?}");
    assert_eq!(documented, known);
}
