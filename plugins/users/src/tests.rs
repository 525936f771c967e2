use serde_json::{Value, json};
use wharf_sdk::Method;

use super::*;

struct Answer {
    status: u16,
    location: Option<String>,
    json: Value,
}

fn call(method: Method, target: &str, body: &Value) -> Answer {
    let request = Request::new(method, target).with_header("x-forwarded-prefix", "/users").with_body(body.to_string());
    let response = ROUTER.handle(request);
    Answer {
        status: response.status(),
        location: response.header_value("location").map(str::to_owned),
        json: serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null),
    }
}

fn read(target: &str) -> Answer {
    call(Method::Get, target, &Value::Null)
}

fn create(name: &str, email: &str) -> Answer {
    call(Method::Post, "/", &json!({"name": name, "email": email}))
}

fn id(answer: &Answer) -> String {
    answer.json["id"].as_str().unwrap().to_owned()
}

fn keys() -> Vec<String> {
    let mut keys = KeyValue::open("default").unwrap().keys().unwrap();
    keys.sort_unstable();
    keys
}

#[test]
fn a_created_user_can_be_read() {
    let created = create(" Ann ", "Ann@example.com");
    assert_eq!(created.status, 201);
    let id = id(&created);
    assert_eq!(created.location, Some(format!("/users/{id}")));
    let user = read(&format!("/{id}"));
    assert_eq!(user.status, 200);
    assert_eq!((&user.json["name"], &user.json["email"]), (&json!("Ann"), &json!("Ann@example.com")));
    assert_eq!((&user.json["id"], &user.json), (&json!(id), &created.json));
    let created_at = humantime::parse_rfc3339(user.json["createdAt"].as_str().unwrap()).unwrap();
    assert!(created_at.elapsed().unwrap() < std::time::Duration::from_secs(60));
}

#[test]
fn every_bad_field_is_named() {
    let bad = |body: Value| call(Method::Post, "/", &body);
    let answer = bad(json!({"name": " ", "email": 7}));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json["errors"],
        json!([{"field": "name", "detail": "is empty"}, {"field": "email", "detail": "is not text"}])
    );
    let long = "x".repeat(101);
    for body in [
        json!({"email": "a@b"}),
        json!({"name": null, "email": "a@b"}),
        json!({"name": long, "email": "a@b"}),
        json!({"name": "a\nb", "email": "a@b"}),
        json!({"name": "a", "email": "ab"}),
        json!({"name": "a", "email": "@b"}),
        json!({"name": "a", "email": "a@"}),
        json!({"name": "a", "email": "a@b@c"}),
        json!({"name": "a", "email": "a b@c"}),
        json!({"name": "a", "email": "a@.c"}),
        json!([]),
        json!("text"),
    ] {
        assert_eq!(bad(body.clone()).status, 400, "{body}");
    }
    assert_eq!(keys(), [""; 0]);
}

#[test]
fn an_address_belongs_to_one_user_whatever_its_case() {
    assert_eq!(create("Ann", "ann@example.com").status, 201);
    assert_eq!(create("Bob", "ANN@Example.com").status, 409);
    let bob = id(&create("Bob", "bob@example.com"));
    let taken = call(Method::Put, &format!("/{bob}"), &json!({"name": "Bob", "email": "Ann@example.com"}));
    assert_eq!(taken.status, 409);
    assert_eq!(read(&format!("/{bob}")).json["email"], "bob@example.com");
    assert_eq!(keys().len(), 4);
}

#[test]
fn a_user_who_changes_the_address_frees_the_old_one() {
    let ann = id(&create("Ann", "ann@example.com"));
    let path = format!("/{ann}");
    let put = |email: &str| call(Method::Put, &path, &json!({"name": "Anna", "email": email})).status;
    assert_eq!(put("anna@example.com"), 200);
    assert_eq!(read(&path).json["name"], "Anna");
    assert_eq!(keys(), ["email/anna@example.com".to_owned(), format!("user/{ann}")]);
    assert_eq!(create("Ann 2", "ann@example.com").status, 201);
    assert_eq!(put("ann@example.com"), 409);
    assert_eq!(put("ANNA@example.com"), 200, "one's own, in other letters");
}

#[test]
fn a_deleted_user_leaves_nothing() {
    let ann = id(&create("Ann", "ann@example.com"));
    let path = format!("/{ann}");
    assert_eq!(call(Method::Delete, &path, &Value::Null).status, 204);
    assert_eq!(keys(), [""; 0]);
    for method in [Method::Get, Method::Delete] {
        assert_eq!(call(method, &path, &Value::Null).status, 404);
    }
    assert_eq!(call(Method::Put, &path, &json!({"name": "Ann", "email": "ann@example.com"})).status, 404);
    assert_eq!(create("Ann", "ann@example.com").status, 201);
}

#[test]
fn what_is_no_id_is_not_found() {
    for id in ["7", "email", "00000000-0000-0000-0000-000000000000", "..%2Femail%2Fann"] {
        assert_eq!(read(&format!("/{id}")).status, 404, "{id}");
    }
}

#[test]
fn pages_follow_each_other_in_order_of_creation() {
    for n in 0..5 {
        assert_eq!(create(&format!("user {n}"), &format!("{n}@example.com")).status, 201);
    }
    let mut names = Vec::new();
    let mut target = "/?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = read(&target).json;
        names.extend(page["users"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => target = format!("/?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((pages, names), (3, (0..5).map(|n| format!("user {n}")).collect()));
    for limit in ["0", "101", "x"] {
        assert_eq!(read(&format!("/?limit={limit}")).status, 400, "{limit}");
    }
}

#[test]
fn it_is_healthy_and_says_what_it_is() {
    assert_eq!(read("/health").status, 200);
    assert_eq!(read("/info").json["name"], "users");
}
