//! GraphQL over HTTP.

use super::*;

/// The question that tools ask for the whole schema, in its usual depth.
const INTROSPECTION: &str = "query IntrospectionQuery { __schema { queryType { name } mutationType { name }
    types { ...FullType } directives { name locations args { ...InputValue } } } }
    fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description
      args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue }
      interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name } possibleTypes { ...TypeRef } }
    fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
    fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
      ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }";

fn sent(request: Request) -> (u16, Value, String) {
    let response = ROUTER.handle(request);
    let (status, kind) = (response.status(), response.header_value("content-type").unwrap().to_owned());
    (status, serde_json::from_slice(&response.into_bytes()).unwrap_or_default(), kind)
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}

#[test]
fn the_schema_tells_of_itself_unless_it_is_switched_off() {
    services(&[]);
    let answer = answered(question(INTROSPECTION));
    assert_eq!(answer.get("errors"), None, "{answer}");
    let types = answer["data"]["__schema"]["types"].as_array().unwrap();
    for name in ["User", "Product", "Order", "OrderItem", "Money", "OrderPage", "OrderStatus", "OrderInput"] {
        assert!(types.iter().any(|one| one["name"] == name), "{name}");
    }
    let sdl = String::from_utf8(ROUTER.handle(Request::get("/schema")).into_bytes()).unwrap();
    assert!(
        sdl.contains("orders(userId: ID, status: OrderStatus, first: Int! = 20, after: String): OrderPage"),
        "{sdl}"
    );
    assert!(sdl.contains("unitPrice: Money!"), "{sdl}");
    set_config("introspection", "false");
    for query in [INTROSPECTION, "{ ...a } fragment a on Query { __type(name: \"User\") { name } }"] {
        assert_eq!(code(&answered(question(query))), "INTROSPECTION_DISABLED");
    }
    assert_eq!(answered(question("{ __typename }")), json!({ "data": { "__typename": "Query" } }));
    assert_eq!(ROUTER.handle(Request::get("/schema")).status(), 404);
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 200);
    set_config("introspection", "no");
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 500);
}

#[test]
fn queries_may_come_by_get_and_mutations_may_not() {
    services(&[]);
    let query = "/?query=query%20A(%24n%3AInt)%7Bproducts(first%3A%24n)%7Bnext%7D%7D%20query%20B%7B__typename%7D";
    let target = format!("{query}&operationName=A&variables=%7B%22n%22%3A1%7D");
    assert_eq!(answered(Request::get(&target)), json!({ "data": { "products": { "next": "p1" } } }));
    let (status, answer, _) = sent(Request::get(&format!("{query}&operationName=A&variables=1")));
    assert_eq!((status, code(&answer)), (400, "BAD_REQUEST"));
    let place = "/?query=mutation%20M%7B__typename%7Dquery%20Q%7B__typename%7D&operationName=";
    let response = ROUTER.handle(Request::get(&format!("{place}M")));
    assert_eq!((response.status(), response.header_value("allow")), (405, Some("POST")));
    assert_eq!(answered(Request::get(&format!("{place}Q"))), json!({ "data": { "__typename": "Query" } }));
    assert_eq!(sent(Request::get("/")).0, 400);
}

#[test]
fn the_status_of_a_query_that_is_wrong_depends_on_what_the_client_accepts() {
    services(&["catalog"]);
    for (query, expected) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", ""),
        ("{ products(first: \"x\") { next } }", ""),
        ("query($n: Int!) { products(first: $n) { next } }", ""),
    ] {
        let (status, answer, kind) = sent(question(query));
        assert_eq!((status, kind.as_str()), (200, "application/json; charset=utf-8"), "{query}");
        assert_eq!(answer.get("data"), None, "it was not run: {answer}");
        let found = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
        assert_eq!(found, expected, "{answer}");
        let newer = question(query).with_header("accept", "application/graphql-response+json, application/json;q=0.9");
        let (status, _, kind) = sent(newer);
        assert_eq!((status, kind.as_str()), (400, "application/graphql-response+json; charset=utf-8"), "{query}");
    }
    // Of a query that was run, what is missing is no failure of HTTP.
    let newer = question("{ product(id: \"p1\") { id } }").with_header("accept", GRAPHQL);
    let (status, answer, _) = sent(newer);
    assert_eq!((status, &answer["data"]), (200, &json!({ "product": null })), "{answer}");
}

#[test]
fn bodies_are_bounded_json_of_a_known_form() {
    let post = |kind: &str, body: &str| {
        sent(Request::new(Method::Post, "/").with_header("content-type", kind).with_body(body))
    };
    let json = "application/json; charset=utf-8";
    let long = format!("{{\"query\": \"{{ __typename }}\", \"operationName\": \"{}\"}}", "x".repeat(70_000));
    let document = format!("{{\"query\": \"{}\"}}", " a".repeat(20_000));
    for (kind, body, status, expected) in [
        ("text/plain", "{\"query\": \"{ __typename }\"}", 415, "BAD_REQUEST"),
        ("application/x-www-form-urlencoded", "query=1", 415, "BAD_REQUEST"),
        (json, "{", 400, "BAD_REQUEST"),
        (json, "[{\"query\": \"{ __typename }\"}]", 400, "BAD_REQUEST"),
        (json, "{\"query\": \"{ __typename }\", \"more\": 1}", 400, "BAD_REQUEST"),
        (json, "{\"query\": \"  \"}", 400, "BAD_REQUEST"),
        (json, "{\"extensions\": {\"persistedQuery\": {}}}", 400, "PERSISTED_QUERY_NOT_SUPPORTED"),
        (json, &long, 413, "BAD_REQUEST"),
        (json, &document, 413, "QUERY_TOO_LARGE"),
    ] {
        let (found, answer, _) = post(kind, body);
        assert_eq!((found, code(&answer)), (status, expected), "{answer}");
    }
    assert_eq!(post(json, "{\"query\": \"{ __typename }\", \"variables\": null}").0, 200);
}

#[test]
fn what_there_is_no_time_for_is_null() {
    let asked = services(&[]);
    let mut session = Session::new(&as_admin(Request::get("/")));
    session.until = std::time::Instant::now();
    let session = Arc::new(session);
    let question = async_graphql::Request::new("{ __typename product(id: \"p1\") { id } orders { next } }");
    let answer = session::run(&session, shop().unwrap().execute(question.data(Arc::clone(&session)))).unwrap();
    let data = serde_json::to_value(&answer.data).unwrap();
    assert_eq!(data, json!({ "__typename": "Query", "product": null, "orders": null }));
    assert_eq!((answer.errors.len(), asked.borrow().len()), (2, 0));
}
