use std::path::Path;

use http::Request;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;

fn filters(json: serde_json::Value) -> Vec<Filter> {
    serde_json::from_value(json).unwrap()
}

/// A file in which the key `k` belongs to `ada`.
fn keys(dir: &Path) -> std::path::PathBuf {
    let hex: String = Sha256::digest("k").iter().map(|byte| format!("{byte:02x}")).collect();
    let path = dir.join("keys");
    std::fs::write(&path, format!("ada sha256:{hex}\n")).unwrap();
    path
}

fn asking() -> Asking<'static> {
    let client = IpAddr::from([192, 0, 2, 1]);
    Asking { client, scheme: Scheme::Http, host: "a.test", port: 80, matched_prefix: None, service: "a" }
}

/// What the service would see.
async fn passed(chain: &Chain, headers: &[(&str, &str)]) -> HeaderMap {
    let request = headers.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let mut passage = Passage::new(&parts);
    assert!(chain.request(asking(), &mut parts, &mut passage).await.unwrap().is_none());
    parts.headers
}

#[tokio::test]
async fn ways_that_do_not_hold_take_away_what_is_said_of_identities_and_no_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let path = keys(dir.path());
    let stores = Stores::default();
    let gateway = filters(json!([{ "apiKey": { "keys": { "file": path }, "subjectHeader": "x-client" } }]));
    let told = &Arc::new(Told::of_filters(&gateway));
    let sent = [("x-api-key", "k"), ("x-client", "root"), ("authorization", "Bearer own")];

    let layers = Layers { id: "rule a", gateway: &gateway, own: &[], public: true, told, timeout: None };
    let seen = passed(&Chain::new(layers, &stores).unwrap(), &sent).await;
    assert!(!seen.contains_key("x-client"));
    assert_eq!(seen.get("x-api-key").unwrap(), "k", "a public service may ask for keys itself");

    let own = filters(json!([{ "apiKey": { "keys": { "file": path }, "forward": true } }]));
    let layers = Layers { id: "rule a", gateway: &gateway, own: &own, public: false, told, timeout: None };
    let seen = passed(&Chain::new(layers, &stores).unwrap(), &sent).await;
    assert!(!seen.contains_key("x-client"));
    assert_eq!(seen.get("x-api-key").unwrap(), "k", "the rule forwards it");
    assert_eq!(seen.get("authorization").unwrap(), "Bearer own");
}

#[tokio::test]
async fn places_with_the_same_list_share_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = keys(dir.path());
    let stores = Stores::default();
    let gateway = filters(json!([{ "apiKey": { "keys": { "file": path } } }]));
    let told = &Arc::new(Told::of_filters(&gateway));
    let chain = |id| {
        Chain::new(Layers { id, gateway: &gateway, own: &[], public: false, told, timeout: None }, &stores).unwrap()
    };
    let (one, other) = (chain("rule a"), chain("rule b"));
    let [Authenticator::ApiKey(one), Authenticator::ApiKey(other)] =
        [&one, &other].map(|chain| &chain.authentication.ways[0])
    else {
        panic!("no API keys")
    };
    assert!(std::sync::Arc::ptr_eq(one, other));
}

#[tokio::test]
async fn parameters_with_credentials_are_known_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = keys(dir.path());
    let stores = Stores::default();
    let gateway = filters(json!([{ "apiKey": { "keys": { "file": path }, "from": { "query": "ticket" } } }]));
    let told = &Arc::new(Told::of_filters(&gateway));
    for public in [false, true] {
        let chain =
            Chain::new(Layers { id: "rule a", gateway: &gateway, own: &[], public, told, timeout: None }, &stores)
                .unwrap();
        assert_eq!(chain.secret_parameters().collect::<Vec<_>>(), ["ticket"]);
    }
}
