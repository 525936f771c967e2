use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers, stranger};
use wharf_sdk::{Event, Method, Request, Response, migrate, published, sql};

use super::*;

fn setup() {
    migrate(include_str!("../migrations/0001_create_products.sql")).unwrap();
}

fn send(request: Request) -> (u16, Value) {
    body(ROUTER.handle(inside(request)))
}

fn body(response: Response) -> (u16, Value) {
    let status = response.status();
    (status, serde_json::from_slice(&response.into_bytes()).unwrap_or_default())
}

fn post_json(value: &Value) -> Request {
    Request::new(Method::Post, "/").with_body(value.to_string())
}

fn put_json(id: &str, if_match: &str, value: &Value) -> Request {
    Request::new(Method::Put, &format!("/{id}")).with_header("if-match", if_match).with_body(value.to_string())
}

fn product(sku: &str, name: &str) -> Value {
    json!({"sku": sku, "name": name, "category": "books", "price": {"amount": 1299, "currency": "EUR"}})
}

fn made(value: &Value) -> String {
    let (status, body) = send(post_json(value));
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().unwrap().to_owned()
}

fn names(target: &str) -> Vec<String> {
    let (status, body) = send(Request::get(target));
    assert_eq!(status, 200, "{body}");
    body["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// The event that tells of the product as it is now.
fn told(topic: &str, id: &str) -> Event {
    let product = store::get(id).unwrap();
    let event = Event::json(topic, &product).unwrap().key(id).subject(id);
    event.id(format!("product-{id}-{}", product.version))
}

fn fields(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

#[test]
fn a_product_is_made_once_and_told_of() {
    setup();
    let response =
        ROUTER.handle(inside(post_json(&product("B-1", "A book")).with_header("x-forwarded-prefix", "/api/products")));
    let location = response.header_value("location").unwrap().to_owned();
    assert_eq!((response.status(), response.header_value("etag")), (201, Some("\"1\"")));
    let (_, made) = body(response);
    let id = made["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/products/{id}"));
    assert_eq!(send(Request::get(&format!("/{id}"))), (200, made.clone()));
    assert_eq!((&made["price"]["amount"], &made["active"]), (&json!(1299), &json!(true)));

    let (status, refused) = send(post_json(&product("b-1", "Another book")));
    assert_eq!(status, 409);
    assert!(refused["detail"].as_str().unwrap().contains(id), "{refused}");

    assert_eq!(published(), [told("product.created", id)]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    setup();
    let bad = json!({"sku": "a b", "name": " ", "category": "x".repeat(65), "description": "\u{7}",
        "price": {"amount": -1, "currency": "XXX"}});
    let (status, refused) = send(post_json(&bad));
    assert_eq!(status, 422);
    assert_eq!(fields(&refused), ["sku", "name", "category", "description", "price.amount", "price.currency"]);
    for (field, value) in [("colour", json!("red")), ("price", json!({"amount": 1.5, "currency": "EUR"}))] {
        let mut bad = product("B-1", "A book");
        bad[field] = value;
        assert_eq!(send(post_json(&bad)).0, 400, "{bad}");
    }
    for target in ["/?limit=0", "/?limit=101", "/?limit=x", "/?inactive=maybe", &format!("/?q={}", "a".repeat(101))] {
        assert_eq!(send(Request::get(target)).0, 422, "{target}");
    }
    let many = (0..101).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(send(Request::get(&format!("/?ids={many}"))).0, 422);
    assert_eq!(published().len(), 0);
}

#[test]
fn who_changes_it_must_have_seen_it() {
    setup();
    let id = made(&product("B-1", "A book"));
    made(&product("B-2", "A second book"));
    let changed = product("B-1", "A better book");
    let without = Request::new(Method::Put, &format!("/{id}")).with_body(changed.to_string());
    assert_eq!(send(without).0, 428);
    assert_eq!(send(put_json(&id, "\"2\"", &changed)).0, 412);
    assert_eq!(send(put_json(&id, "W/\"1\"", &changed)).0, 412, "a weak tag never matches");
    let response = ROUTER.handle(inside(put_json(&id, "\"7\", \"1\"", &changed)));
    assert_eq!((response.status(), response.header_value("etag")), (200, Some("\"2\"")));
    assert_eq!(send(put_json(&id, "\"1\"", &changed)).0, 412);
    assert_eq!(send(put_json(&id, "*", &product("b-2", "A better book"))).0, 409);
    assert_eq!(send(put_json("none", "*", &changed)).0, 404);

    assert_eq!(published().get(2..), Some(&[told("product.updated", &id)][..]));
    let (status, same) = send(put_json(&id, "*", &changed));
    assert_eq!((status, &same["version"]), (200, &json!(2)), "nothing changed");
    assert_eq!(published().len(), 0);
}

#[test]
fn an_etag_saves_the_body() {
    setup();
    let id = made(&product("B-1", "A book"));
    let get = |tag: &str| ROUTER.handle(Request::get(&format!("/{id}")).with_header("if-none-match", tag));
    for tag in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
        let response = get(tag);
        assert_eq!((response.status(), response.header_value("etag")), (304, Some("\"1\"")), "{tag}");
    }
    assert_eq!(get("\"2\"").status(), 200);
}

#[test]
fn a_deleted_product_is_not_for_sale_and_still_known() {
    setup();
    let id = made(&product("B-1", "A book"));
    published();
    let delete = || Request::new(Method::Delete, &format!("/{id}"));
    assert_eq!(send(delete().with_header("if-match", "\"9\"")).0, 412);
    assert_eq!(send(delete().with_header("if-match", "\"1\"")).0, 204);
    assert_eq!(send(delete()).0, 204);
    assert_eq!(published(), [told("product.deleted", &id)], "once");
    assert_eq!(names("/"), [""; 0]);
    assert_eq!(send(Request::get(&format!("/{id}"))).1["active"], json!(false));
    assert_eq!(names(&format!("/?ids={id}")), ["A book"]);
    let all = || Request::get("/?inactive=true");
    assert_eq!(body(ROUTER.handle(all())).0, 401, "a stranger");
    assert_eq!(send(all().with_header("x-wharf-user-id", "u").with_header("x-wharf-user-roles", "customer")).0, 403);
    for (name, value) in [("x-wharf-user-roles", "customer,admin"), ("x-wharf-caller", "orders")] {
        assert_eq!(send(all().with_header(name, value)).1["items"].as_array().unwrap().len(), 1);
    }
    // To change it otherwise does not bring it back, to say so does.
    let mut changed = product("B-1", "A rare book");
    assert_eq!(send(put_json(&id, "*", &changed)).1["active"], json!(false));
    changed["active"] = json!(true);
    assert_eq!(send(put_json(&id, "*", &changed)).1["active"], json!(true));
    assert_eq!(names("/"), ["A rare book"]);
}

#[test]
fn only_admins_and_services_change_products() {
    setup();
    let id = made(&product("B-1", "A book"));
    let requests = || {
        [
            post_json(&product("B-2", "x")),
            put_json(&id, "*", &product("B-1", "x")),
            Request::new(Method::Delete, &format!("/{id}")),
        ]
    };
    for request in requests() {
        assert_eq!(send(request.with_header("x-wharf-user-id", "u")).0, 403);
    }
    for request in requests() {
        assert_eq!(send(request.with_header("X-Wharf-User-Roles", "administrator")).0, 403);
    }
    for request in requests() {
        let (status, _) =
            send(request.with_header("x-wharf-user-id", "u").with_header("x-wharf-user-roles", "a, admin"));
        assert!(status < 300, "{status}");
    }
}

#[test]
fn a_stranger_looks_and_changes_nothing() {
    setup();
    let id = format!("/{}", made(&product("B-1", "A book")));
    let closed = [
        (Method::Post, "/"),
        (Method::Put, id.as_str()),
        (Method::Delete, id.as_str()),
        (Method::Get, "/?inactive=true"),
    ];
    assert_eq!(open_to_strangers(&ROUTER, &closed), []);
    for target in ["/", "/?q=book", id.as_str()] {
        assert_eq!(stranger(&ROUTER, Method::Get, target), 200, "{target}");
    }
}

#[test]
fn pages_follow_one_another() {
    setup();
    for n in 0..5 {
        made(&product(&format!("B-{n}"), &format!("Book {n}")));
    }
    let mut seen = Vec::new();
    let mut target = "/?limit=2".to_owned();
    for _ in 0..3 {
        let (_, page) = send(Request::get(&target));
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/?limit=2&after={next}");
    }
    assert_eq!(seen, ["Book 0", "Book 1", "Book 2", "Book 3", "Book 4"]);
    let (_, whole) = send(Request::get("/?limit=5"));
    assert_eq!(whole["next"], Value::Null, "a page that is just full is the last");
}

#[test]
fn products_are_found_by_the_beginnings_of_words() {
    setup();
    let mut tea = product("T-1", "Grüner Tee");
    tea["description"] = json!("from Japan, 100% steamed \"sencha\"");
    tea["category"] = json!("Drinks");
    let id = made(&tea);
    made(&product("B-1", "A book of tea"));
    assert_eq!(names("/?q=te"), ["Grüner Tee", "A book of tea"]);
    assert_eq!(names("/?q=gruner+tee"), ["Grüner Tee"], "accents do not count");
    assert_eq!(names("/?q=sencha+japan"), ["Grüner Tee"], "words in any order, from name and description");
    assert_eq!(names("/?q=te&category=drinks"), ["Grüner Tee"]);
    assert_eq!(names("/?q=ee"), [""; 0], "not the middle of a word");
    assert_eq!(names("/?q=%20").len(), 2, "nothing is searched for");
    for odd in ["%25", "%22", "*", "tea+OR+x", "NEAR(a)", "name%3Atea", "-tea%00x", "a%22b", "'", "tea)"] {
        let (status, body) = send(Request::get(&format!("/?q={odd}")));
        assert_eq!(status, 200, "{odd}: {body}");
    }
    assert_eq!(names("/?q=%25"), [""; 0]);

    tea["name"] = json!("Black tea");
    assert_eq!(send(put_json(&id, "*", &tea)).0, 200);
    assert_eq!((names("/?q=gruner"), names("/?q=black")), (vec![], vec!["Black tea".to_owned()]));
}

#[test]
fn a_batch_leaves_out_what_is_not_there() {
    setup();
    let (a, b) = (made(&product("B-1", "One")), made(&product("B-2", "Two")));
    made(&product("B-3", "Three"));
    assert_eq!(names(&format!("/?ids={b},none,{a},{b}")), ["One", "Two"]);
    assert_eq!(names("/?ids="), [""; 0]);
}

#[test]
fn it_is_healthy_when_its_database_answers() {
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 500, "no tables");
    setup();
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 200);
    sql::execute("DROP TABLE products", &[]).unwrap();
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 500);
}

#[test]
fn it_says_what_it_is() {
    let (_, info) = send(Request::get("/info"));
    assert_eq!((&info["name"], &info["publishes"][0]), (&json!("catalog"), &json!("product.created")));
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
