use http::Request;
use serde_json::json;

use super::super::told::told;
use super::*;

fn filter_of(list: &str, more: serde_json::Value) -> Result<ApiKey, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, list).unwrap();
    let mut config = json!({ "keys": { "file": path } });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ApiKey::new(&serde_json::from_value(config).unwrap())
}

/// The list's line of a key.
fn line(name: &str, key: &str) -> String {
    let hex: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name} sha256:{hex}")
}

fn filter(more: serde_json::Value) -> ApiKey {
    let list = format!(
        "# keys\n{} scopes=read,write\n\n  {}  expires=2027-01-01T00:00:00Z\n",
        line("ci", "k1"),
        line("old", "k2")
    );
    filter_of(&list, more).unwrap()
}

fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn found(filter: &ApiKey, parts: &Parts) -> Result<Option<String>, Refused> {
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    filter.authenticate_at(parts, now).map(|identity| identity.map(|identity| identity.subject))
}

#[test]
fn a_known_key_says_who_it_is_and_what_it_may() {
    let filter = filter(json!({}));
    let ci = filter.authenticate(&request("/", &[("x-api-key", "k1")])).unwrap().unwrap();
    assert_eq!((ci.subject.as_str(), ci.method), ("ci", Method::ApiKey));
    assert!(ci.has_scope("read") && ci.has_scope("write") && !ci.has_scope("read,write"));
    assert_eq!(found(&filter, &request("/?x-api-key=k1", &[])), Ok(None));
    for wrong in ["", "K1", "k1 ", "k", &line("ci", "k1")[10..]] {
        assert!(matches!(found(&filter, &request("/", &[("x-api-key", wrong)])), Err(Refused::Invalid(_))), "{wrong}");
    }
    let twice = request("/", &[("x-api-key", "k1"), ("x-api-key", "k1")]);
    assert_eq!(found(&filter, &twice), Err(Refused::Invalid("more than one API key")));
}

#[test]
fn a_key_ends_at_its_time() {
    let filter = filter(json!({}));
    let parts = request("/", &[("x-api-key", "k2")]);
    for (now, valid) in [("2026-12-31T23:59:59Z", true), ("2027-01-01T00:00:00Z", false)] {
        assert_eq!(filter.authenticate_at(&parts, now.parse().unwrap()).is_ok(), valid, "{now}");
    }
}

#[test]
fn a_key_in_the_query_is_found_and_taken_away_however_its_name_is_written() {
    let filter = filter(json!({ "from": { "query": "key" } }));
    for (sent, left) in
        [("/p?key=k1", "/p"), ("/p?a=1&%6bey=%6b1&b=2", "/p?a=1&b=2"), ("/p?key=k1&keys=3", "/p?keys=3")]
    {
        let mut parts = request(sent, &[]);
        assert_eq!(found(&filter, &parts), Ok(Some("ci".to_owned())), "{sent}");
        filter.strip(&mut parts);
        assert_eq!(parts.uri.to_string(), left);
    }
    assert!(found(&filter, &request("/p?key=k1&k%65y=k2", &[])).is_err());
    assert_eq!(found(&filter, &request("/p?other=k1", &[])), Ok(None));
}

#[test]
fn the_service_sees_who_it_was_and_the_key_only_if_it_is_forwarded() {
    for forward in [false, true] {
        let filter = filter(json!({ "subjectHeader": "x-client", "forward": forward }));
        let mut parts = request("/", &[("x-api-key", "k1"), ("x-client", "root"), ("x_client", "root")]);
        let identity = filter.authenticate(&parts).unwrap().unwrap();
        filter.strip(&mut parts);
        told("x-client").strip(&mut parts.headers);
        filter.tell(&mut parts, &identity);
        assert_eq!(parts.headers["x-client"], "ci");
        assert!(!parts.headers.contains_key("x_client"));
        assert_eq!(parts.headers.contains_key("x-api-key"), forward);
    }
}

#[test]
fn the_challenge_says_where_the_key_belongs() {
    assert_eq!(filter(json!({})).challenge(), "ApiKey header=\"x-api-key\"");
    assert_eq!(filter(json!({ "from": { "query": "key" } })).challenge(), "ApiKey query=\"key\"");
}

#[test]
fn a_wrong_line_is_named_by_its_number_and_never_shown() {
    let good = line("a", "s3cret");
    for (list, expected) in [
        ("s3cret".to_owned(), "line 1: write `sha256:` and 64 hex digits"),
        ("# c\n\na s3cret".to_owned(), "line 3: write `sha256:`"),
        ("a sha256:s3cret".to_owned(), "line 1: write `sha256:`"),
        (good[2..].to_owned(), "line 1: begin with a name"),
        (format!("é{good}"), "line 1: begin with a name"),
        (format!("{good} scope=s3cret"), "line 1: after the hash there may be"),
        (format!("{good} scopes=a, s3cret"), "line 1: after the hash there may be"),
        (format!("{good} scopes=a scopes=b"), "line 1: after the hash there may be"),
        (format!("{good} expires=s3cret"), "line 1: `expires=` takes a time like"),
        (format!("{good}\n{}", line("a", "other")), "line 2: `a` is a name that another key has"),
        (format!("{good}\n{}", line("b", "s3cret")), "line 2: the key of `b` is listed already"),
    ] {
        let error = filter_of(&list, json!({})).unwrap_err();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{list}: {error}");
    }
}

#[test]
fn a_list_of_comments_lets_nobody_in() {
    let filter = filter_of("# all revoked\n", json!({})).unwrap();
    assert!(found(&filter, &request("/", &[("x-api-key", "k1")])).is_err());
}
