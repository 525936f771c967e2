use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers, stranger};
use wharf_sdk::{Delivery, Method, migrate, published};

use super::*;

mod tokens;

struct Answer {
    status: u16,
    location: Option<String>,
    json: Value,
}

fn start() {
    migrate(include_str!("../migrations/0001_create_users.sql")).unwrap();
}

fn call_as(who: Option<(&str, &str)>, method: Method, target: &str, body: &Value) -> Answer {
    let mut request = Request::new(method, target).with_header("x-forwarded-prefix", "/api/users");
    if let Some((id, roles)) = who {
        request = request.with_header("x-wharf-user-id", id).with_header("x-wharf-user-roles", roles);
    }
    let response = ROUTER.handle(inside(request.with_body(body.to_string())));
    Answer {
        status: response.status(),
        location: response.header_value("location").map(str::to_owned),
        json: serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null),
    }
}

/// As another service.
fn call(method: Method, target: &str, body: &Value) -> Answer {
    call_as(None, method, target, body)
}

fn read(target: &str) -> Answer {
    call(Method::Get, target, &Value::Null)
}

fn register(username: &str, email: &str) -> Answer {
    call(Method::Post, "/", &json!({ "username": username, "email": email, "password": "correct horse" }))
}

fn registered(username: &str) -> String {
    let answer = register(username, &format!("{username}@example.com"));
    assert_eq!(answer.status, 201, "{}", answer.json);
    answer.json["id"].as_str().unwrap().to_owned()
}

fn login(username: &str, password: &str) -> Answer {
    call(Method::Post, "/login", &json!({ "username": username, "password": password }))
}

#[test]
fn who_registers_can_be_read_and_is_told_of() {
    start();
    let body = json!({ "username": "Ann", "email": " Ann@example.com", "password": "correct horse", "name": "Ann B" });
    let created = call(Method::Post, "/", &body);
    assert_eq!(created.status, 201);
    let id = created.json["id"].as_str().unwrap().to_owned();
    let id = id.as_str();
    assert_eq!(created.location, Some(format!("/api/users/{id}")));
    let mut keys: Vec<_> = created.json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["createdAt", "email", "id", "name", "username"], "and no hash");
    assert_eq!(created.json["email"], "Ann@example.com");
    assert_eq!(read(&format!("/{id}")).json, created.json);
    let created_at = humantime::parse_rfc3339(created.json["createdAt"].as_str().unwrap()).unwrap();
    assert!(created_at.elapsed().unwrap() < std::time::Duration::from_secs(60));
    let events: Vec<_> = published().into_iter().map(Delivery::from).collect();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.topic.as_str(), &event.id), ("user.registered", &format!("user-registered-{id}")));
    assert_eq!((event.key.as_deref(), event.json::<Value>().unwrap()), (Some(id), created.json));
}

#[test]
fn every_bad_field_is_named() {
    start();
    let bad = |body: &Value| call(Method::Post, "/", body);
    let fields = |answer: &Answer| {
        let errors = answer.json["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let answer = bad(&json!({ "username": "a", "email": 7, "name": "", "password": "short" }));
    assert_eq!(
        (answer.status, fields(&answer)),
        (422, ["username", "email", "password", "name"].map(String::from).into())
    );
    let good = json!({ "username": "ann", "email": "a@b", "password": "12345678", "name": "x" });
    for (field, value) in [
        ("username", json!(null)),
        ("username", json!("ab")),
        ("username", json!("a b")),
        ("username", json!("änn")),
        ("username", json!("x".repeat(33))),
        ("email", json!("ab")),
        ("email", json!("@b")),
        ("email", json!("a@")),
        ("email", json!("a@b@c")),
        ("email", json!("a b@c")),
        ("email", json!("a@.c")),
        ("email", json!(format!("a@{}", "x".repeat(253)))),
        ("password", json!(null)),
        ("password", json!("1234567")),
        ("password", json!("x".repeat(129))),
        ("name", json!("a\nb")),
        ("name", json!("x".repeat(101))),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = bad(&body);
        assert_eq!((answer.status, fields(&answer)), (422, vec![field.to_owned()]), "{body}");
    }
    let mut unknown = good.clone();
    unknown["admin"] = json!(true);
    for body in [unknown, json!("text")] {
        assert_eq!(bad(&body).status, 400, "{body}");
    }
    assert_eq!((read("/").json["items"].as_array().unwrap().len(), published().len()), (0, 0));
    assert_eq!(bad(&good).status, 201, "the one that all are made of");
}

#[test]
fn a_username_and_an_address_belong_to_one_user_whatever_their_case() {
    start();
    let ann = registered("ann");
    for (username, email, taken) in [
        ("ANN", "other@example.com", "the username is taken"),
        ("other", "ANN@Example.com", "the e-mail address is taken"),
        ("Ann", "Ann@example.com", "the username and the e-mail address are taken"),
    ] {
        let answer = register(username, email);
        assert_eq!((answer.status, &answer.json["detail"]), (409, &json!(taken)));
    }
    let bob = registered("bob");
    assert_eq!(register("ann", "bob@example.com").json["detail"], "the username and the e-mail address are taken");
    let put = |id: &str, email: &str| call(Method::Put, &format!("/{id}"), &json!({ "email": email }));
    let answer = put(&bob, "Ann@example.com");
    assert_eq!((answer.status, &answer.json["detail"]), (409, &json!("the e-mail address is taken")));
    assert_eq!(put(&ann, "ANN@example.com").status, 200, "one's own, in other letters");
    assert_eq!(put(&ann, "anna@example.com").status, 200);
    assert_eq!(put(&bob, "ann@example.com").status, 200, "it is free now");
}

#[test]
fn a_profile_is_replaced_as_a_whole() {
    start();
    let path = format!("/{}", registered("ann"));
    let put = |body: Value| call(Method::Put, &path, &body);
    let address = json!({ "line1": "1 High St", "city": "Leeds", "postalCode": "LS1 1AA", "country": "GB" });
    let answer = put(json!({ "name": "Ann", "email": "ann@example.com", "address": address }));
    assert_eq!((answer.status, &answer.json["address"], &answer.json["name"]), (200, &address, &json!("Ann")));
    assert_eq!(read(&path).json, answer.json);
    for (field, value) in
        [("line1", json!("")), ("city", json!(7)), ("postalCode", json!("#")), ("country", json!("gb"))]
    {
        let mut bad = address.clone();
        bad[field] = value;
        let answer = put(json!({ "email": "ann@example.com", "address": bad }));
        assert_eq!((answer.status, &answer.json["errors"][0]["field"]), (422, &json!(format!("address.{field}"))));
    }
    assert_eq!(put(json!({ "email": "ann@example.com", "address": { "street": "x" } })).status, 422);
    assert_eq!(read(&path).json["address"], address);
    assert_eq!(put(json!({ "email": "ann@example.com" })).json["address"], Value::Null);
    assert_eq!(read(&path).json["name"], Value::Null);
}

#[test]
fn users_see_themselves_and_administrators_see_all() {
    start();
    let (ann, bob) = (registered("ann"), registered("bob"));
    let profile = json!({ "email": "new@example.com" });
    let try_all = |who: Option<(&str, &str)>| {
        [
            call_as(who, Method::Get, &format!("/{ann}"), &Value::Null).status,
            call_as(who, Method::Put, &format!("/{ann}"), &profile).status,
            call_as(who, Method::Get, "/", &Value::Null).status,
            call_as(who, Method::Get, &format!("/?ids={ann}"), &Value::Null).status,
            call_as(who, Method::Post, "/keys/rotate", &Value::Null).status,
            call_as(who, Method::Delete, &format!("/{ann}"), &Value::Null).status,
        ]
    };
    assert_eq!(try_all(Some((&bob, "customer,administrator"))), [403; 6]);
    assert_eq!(try_all(Some(("", "customer"))), [403; 6]);
    assert_eq!(try_all(Some((&ann, "customer"))), [200, 200, 403, 403, 403, 204]);
    let unknown = |who| call_as(who, Method::Get, &format!("/{ann}"), &Value::Null).status;
    assert_eq!((unknown(Some((&bob, "customer"))), unknown(Some((&bob, "admin")))), (403, 404));
    let (ann, bob) = (bob, registered("cid"));
    let try_all = |who: Option<(&str, &str)>| call_as(who, Method::Get, &format!("/{ann}"), &Value::Null).status;
    assert_eq!((try_all(None), try_all(Some((&bob, "customer, admin")))), (200, 200));
    assert_eq!(call(Method::Post, "/keys/rotate", &Value::Null).status, 403, "no service rotates keys");
}

#[test]
fn a_stranger_registers_and_logs_in_and_no_more() {
    start();
    let ann = format!("/{}", registered("ann"));
    let ids = format!("/?ids={ann}");
    let closed = [
        (Method::Get, "/"),
        (Method::Get, ids.as_str()),
        (Method::Get, ann.as_str()),
        (Method::Put, ann.as_str()),
        (Method::Delete, ann.as_str()),
        (Method::Post, "/keys/rotate"),
    ];
    assert_eq!(open_to_strangers(&ROUTER, &closed), []);
    assert_eq!(stranger(&ROUTER, Method::Get, "/.well-known/jwks.json"), 200);
    for target in ["/", "/login"] {
        assert_eq!(stranger(&ROUTER, Method::Post, target), 400, "{target} is open, and wants a body");
    }
}

#[test]
fn a_deleted_user_leaves_nothing_but_the_news() {
    start();
    let ann = registered("ann");
    published();
    let path = format!("/{ann}");
    assert_eq!(call(Method::Delete, &path, &Value::Null).status, 204);
    for (method, body) in
        [(Method::Get, json!(null)), (Method::Delete, json!(null)), (Method::Put, json!({ "email": "a@b" }))]
    {
        assert_eq!(call(method, &path, &body).status, 404);
    }
    let events: Vec<_> = published().into_iter().map(Delivery::from).collect();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.topic.as_str(), &event.json::<Value>().unwrap()["id"]), ("user.deleted", &json!(ann)));
    assert_eq!(login("ann", "correct horse").status, 401);
    registered("ann");
}

#[test]
fn pages_follow_each_other_in_order_of_registration() {
    start();
    let ids: Vec<_> = (0..5).map(|n| registered(&format!("user{n}"))).collect();
    let mut seen = Vec::new();
    let mut target = "/?limit=2".to_owned();
    let mut pages = 0;
    loop {
        let page = read(&target).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => target = format!("/?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!((pages, seen), (3, ids.clone()));
    for limit in ["0", "101", "x", "-1"] {
        assert_eq!(read(&format!("/?limit={limit}")).status, 422, "{limit}");
    }
    let batch = read(&format!("/?ids={},unknown,{}", ids[3], ids[1])).json;
    let found: Vec<_> = batch["items"].as_array().unwrap().iter().map(|user| &user["id"]).collect();
    assert_eq!((found, &batch["next"]), (vec![&json!(ids[1]), &json!(ids[3])], &Value::Null));
    assert_eq!(read("/?ids=").json["items"], json!([]));
    assert_eq!(read(&format!("/?ids={}", vec!["x"; 100].join(","))).status, 200);
    assert_eq!(read(&format!("/?ids={}", vec!["x"; 101].join(","))).status, 422);
}

#[test]
fn what_is_no_id_is_not_found() {
    start();
    for id in ["7", "email", "00000000-0000-0000-0000-000000000000", "..%2Femail%2Fann"] {
        assert_eq!(read(&format!("/{id}")).status, 404, "{id}");
    }
}

#[test]
fn it_is_healthy_with_its_tables_and_says_what_it_is() {
    assert_eq!(read("/health").status, 500);
    start();
    assert_eq!(read("/health").status, 200);
    let info = read("/info").json;
    assert_eq!((&info["name"], &info["publishes"]), (&json!("users"), &json!(["user.registered", "user.deleted"])));
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
