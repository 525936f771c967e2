//! GraphQL through the gateway, over the real services of the shop.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

mod front;

use front::Shop;
use serde_json::{Value, json};
use wharf_tests::{Answer, eventually};

async fn post(shop: &Shop, token: &str, query: &str, variables: Value) -> Answer {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let headers = [("authorization", token), ("content-type", "application/json")];
    let headers = if token.is_empty() { &headers[1..] } else { &headers };
    shop.wharf.client().send("POST", &shop.wharf.url("/api/graphql"), headers, body).await
}

async fn ask(shop: &Shop, token: &str, query: &str) -> Value {
    let answer = post(shop, token, query, json!({})).await;
    answer.assert_status(200);
    answer.json()
}

/// The calls of the service `graphql` that are in the access log, by service.
fn calls(shop: &Shop) -> Vec<(String, String)> {
    let lines = shop.wharf.access_log();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let calls = lines.filter(|line| line["caller"] == "graphql");
    calls.map(|line| (line["service"].as_str().unwrap().to_owned(), line["path"].to_string())).collect()
}

#[tokio::test]
async fn one_query_asks_three_services_once_each() {
    let shop = Shop::start("graphql").await;
    let (ann, bob) = (shop.user("ann").await, shop.user("bob").await);
    let (tea, mug) = (shop.product("green tea", 350).await, shop.product("blue mug", 990).await);
    let mut placed = Vec::new();
    for (user, products) in [(&ann, vec![&tea]), (&bob, vec![&tea, &mug]), (&ann, vec![&mug])] {
        placed.push(shop.order(user, &products).await);
    }
    let query = "query($first: Int!) { orders(first: $first) { next items { status total { amount currency }
        user { username orders(first: 1) { items { id } } }
        items { quantity unitPrice { amount } product { name price { amount } } } } } }";
    let newest = |order: &Value| order["user"]["orders"]["items"][0]["id"].as_str().unwrap().to_owned();
    let answer = post(&shop, &shop.admin(), query, json!({ "first": 10 })).await.json();
    assert_eq!(answer.get("errors"), None, "{answer}");
    let orders = answer["data"]["orders"]["items"].as_array().unwrap();
    let names: Vec<_> = orders.iter().map(|order| order["user"]["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "bob", "ann"]);
    assert_eq!(orders[1]["total"], json!({ "amount": 2680, "currency": "EUR" }));
    assert_eq!(orders[1]["items"][1]["product"], json!({ "name": "blue mug", "price": { "amount": 990 } }));
    assert_eq!((&orders[0]["items"][0]["quantity"], &orders[0]["status"]), (&json!(2), &json!("PENDING")));
    let newest: Vec<_> = orders.iter().map(newest).collect();
    assert_eq!(newest, [placed[2].as_str(), &placed[1], &placed[2]], "of each user the newest one");
    let calls = eventually("all calls are logged", async || {
        let calls = calls(&shop);
        (calls.len() >= 4).then_some(calls)
    })
    .await;
    let count = |service: &str| calls.iter().filter(|(name, _)| name == service).count();
    // The page of orders, and one for the orders of all users in it.
    assert_eq!((count("users"), count("catalog"), count("orders")), (1, 1, 2), "{calls:?}");
    shop.assert_as_described().await;
}

#[tokio::test]
async fn who_asks_decides_what_is_seen() {
    let shop = Shop::start("graphql").await;
    let (ann, bob) = (shop.user("ann").await, shop.user("bob").await);
    let tea = shop.product("green tea", 350).await;
    let order = shop.order(&bob, &[&tea]).await;
    let query = format!(
        "{{ me {{ username }} users {{ items {{ id }} }} user(id: \"{bob}\") {{ email }} order(id: \"{order}\") {{ id }}
        orders {{ items {{ id }} }} products(search: \"gree\") {{ items {{ name }} }} }}"
    );
    let codes = |answer: &Value| {
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        let one = |error: &Value| format!("{} {}", error["path"][0], error["extensions"]["code"]).replace('"', "");
        let mut all: Vec<_> = errors.iter().map(one).collect();
        all.sort();
        all
    };
    let products = json!({ "items": [{ "name": "green tea" }] });
    let nobody = ask(&shop, "", &query).await;
    let expected = ["order", "orders", "user", "users"].map(|name| format!("{name} UNAUTHENTICATED"));
    assert_eq!(codes(&nobody), expected, "{nobody}");
    assert_eq!((&nobody["data"]["products"], &nobody["data"]["me"]), (&products, &Value::Null));
    let other = ask(&shop, &shop.token(&ann, &[]), &query).await;
    assert_eq!(codes(&other), ["user FORBIDDEN", "users FORBIDDEN"], "{other}");
    assert_eq!(other["data"]["me"]["username"], "ann");
    assert_eq!((&other["data"]["order"], &other["data"]["orders"]["items"]), (&Value::Null, &json!([])));
    let own = ask(&shop, &shop.token(&bob, &[]), &query).await;
    assert_eq!(codes(&own), ["users FORBIDDEN"]);
    assert_eq!(
        (&own["data"]["user"]["email"], &own["data"]["order"]["id"]),
        (&json!("bob@shop.example"), &json!(order))
    );
    // Nobody says by a header who it is.
    let headers = [("x-wharf-user-id", bob.as_str()), ("x-wharf-user-roles", "admin"), ("x-wharf-caller", "orders")];
    let url = shop.wharf.url("/api/graphql?query=%7Busers%7Bitems%7Bid%7D%7D%7D");
    let forged = shop.wharf.client().send("GET", &url, &headers, "").await.json();
    assert_eq!(codes(&forged), ["users UNAUTHENTICATED"], "{forged}");
    shop.assert_as_described().await;
}

#[tokio::test]
async fn an_order_is_placed_once_for_a_key() {
    let shop = Shop::start("graphql").await;
    let (ann, tea) = (shop.user("ann").await, shop.product("green tea", 350).await);
    let mutation =
        "mutation($product: ID!, $key: String) { placeOrder(idempotencyKey: $key, input: { currency: \"EUR\",
        items: [{ productId: $product, quantity: 3 }], card: \"tok_visa\",
        shippingAddress: { line1: \"1 High Street\", city: \"London\", postalCode: \"N1\", country: \"GB\" } })
        { id status total { amount } user { username } items { product { name } } } }";
    let token = shop.token(&ann, &[]);
    let variables = json!({ "product": tea, "key": "k1" });
    let first = post(&shop, &token, mutation, variables.clone()).await.json();
    let order = &first["data"]["placeOrder"];
    assert_eq!((&order["status"], &order["total"]["amount"]), (&json!("PENDING"), &json!(1050)), "{first}");
    assert_eq!(
        (&order["user"]["username"], &order["items"][0]["product"]["name"]),
        (&json!("ann"), &json!("green tea"))
    );
    assert_eq!(post(&shop, &token, mutation, variables).await.json(), first);
    let unknown = json!({ "product": "0190d5ef-0000-7000-8000-000000000000" });
    let refused = post(&shop, &token, mutation, unknown).await.json();
    assert_eq!(refused["data"], json!({ "placeOrder": null }), "{refused}");
    let extensions = &refused["errors"][0]["extensions"];
    assert_eq!((&extensions["code"], &extensions["problem"]["status"]), (&json!("BAD_USER_INPUT"), &json!(422)));
    shop.assert_as_described().await;
}

#[tokio::test]
async fn a_service_that_is_gone_leaves_the_rest_of_the_answer() {
    let shop = Shop::start("graphql").await;
    let (ann, tea) = (shop.user("ann").await, shop.product("green tea", 350).await);
    shop.order(&ann, &[&tea]).await;
    std::fs::remove_file(shop.wharf.plugin_path("catalog.wasm")).unwrap();
    let query = "{ products { next } orders { items { user { username } items { quantity product { name } } } } }";
    let answer = eventually("the catalog is gone", async || {
        let answer = ask(&shop, &shop.admin(), query).await;
        (answer["errors"].as_array().map(Vec::len) == Some(2)).then_some(answer)
    })
    .await;
    let order = json!({ "user": { "username": "ann" }, "items": [{ "quantity": 2, "product": null }] });
    assert_eq!(answer["data"], json!({ "products": null, "orders": { "items": [order] } }), "{answer}");
    let errors = answer["errors"].as_array().unwrap();
    let paths: Vec<_> = errors.iter().map(|error| error["path"].to_string()).collect();
    assert_eq!(paths, ["[\"products\"]", "[\"orders\",\"items\",0,\"items\",0,\"product\"]"]);
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "UNAVAILABLE"), "{answer}");
    let text = answer.to_string();
    assert!(!text.contains(".internal") && !text.contains("wasm"), "{text}");
    shop.assert_as_described().await;
}

#[tokio::test]
async fn the_operator_bounds_queries_while_it_runs() {
    let shop = Shop::start("graphql").await;
    let (schema, products) = ("{ __schema { queryType { name } } }", "{ products(first: 50) { items { name } } }");
    assert_eq!(ask(&shop, "", schema).await["data"]["__schema"]["queryType"]["name"], "Query");
    assert_eq!(ask(&shop, "", products).await["data"]["products"], json!({ "items": [] }));
    let yaml = std::fs::read_to_string(shop.wharf.dir().join("gateway-config/services/graphql.yaml")).unwrap();
    let yaml = yaml.replace("introspection: true", "introspection: false").replace("max-cost: 5000", "max-cost: 40");
    shop.wharf.configure("services/graphql.yaml", &yaml);
    let refused = eventually("the configuration holds", async || {
        let answer = ask(&shop, "", schema).await;
        answer.get("data").is_none().then_some(answer)
    })
    .await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "INTROSPECTION_DISABLED");
    let answer = ask(&shop, "", products).await;
    assert!(answer.get("data").is_none() && answer["errors"][0]["message"].is_string(), "{answer}");
    // Long before anything is read: the gateway's own limit.
    let long = post(&shop, "", &"a".repeat(100_000), json!({})).await;
    long.assert_problem(413, "payload_too_large");
    shop.assert_as_described().await;
}

#[tokio::test]
async fn its_document_describes_how_questions_travel_and_not_what_can_be_asked() {
    let shop = Shop::start("graphql").await;
    let document = shop.wharf.get("/api/graphql/openapi.json").await;
    document.assert_status(200);
    let operations = &document.json()["paths"]["/"];
    assert!(operations["get"].is_object() && operations["post"].is_object(), "{operations}");
    // As tools send and take them, with nulls for what they do not need; by GET, and with what cannot be run.
    let newer = [("content-type", "application/json"), ("accept", "application/graphql-response+json")];
    let url = shop.wharf.url("/api/graphql");
    for (query, status) in [("{ products { next } }", 200), ("{ orders { next } }", 200), ("{ nothing }", 400)] {
        let body = json!({ "query": query, "operationName": null, "variables": null, "extensions": null });
        for (headers, status) in [(&newer[..], status), (&newer[..1], 200)] {
            let answer = shop.wharf.client().send("POST", &url, headers, body.to_string()).await;
            assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.text());
        }
    }
    let by_get =
        "/api/graphql?query=query(%24n%3AInt)%7Bproducts(first%3A%24n)%7Bnext%7D%7D&variables=%7B%22n%22%3A1%7D";
    shop.wharf.get(by_get).await.assert_status(200);
    shop.wharf.get("/api/graphql?query=mutation%7B__typename%7D").await.assert_status(405);
    shop.assert_as_described().await;
    // What it does not describe is noticed.
    let text = [("content-type", "text/plain")];
    shop.wharf.client().send("POST", &url, &text, "{ products { next } }").await.assert_status(415);
    let counted = eventually("it is counted", async || {
        let page = shop.wharf.admin_get("/metrics").await.text();
        let lines = page.lines().filter(|line| line.starts_with("wharf_contract_violations_total"));
        let counted: Vec<_> = lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect();
        (!counted.is_empty()).then_some(counted)
    })
    .await;
    let expected = "wharf_contract_violations_total{service=\"graphql\",direction=\"request\",kind=\"content_type\"} 1";
    assert_eq!(counted, [expected]);
}
