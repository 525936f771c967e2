use serde_json::json;

use super::*;

fn contract(paths: &Value, schemas: &Value) -> Contract {
    let document = json!({ "openapi": "3.1.0", "paths": paths, "components": { "schemas": schemas } });
    Contract::read("a.json", &document.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

fn told(old: &Contract, new: &Contract) -> Vec<String> {
    breaks(old, new).iter().map(ToString::to_string).collect()
}

/// What is said of two schemas of a request's body, and of a response's.
fn sides(old: Value, new: Value) -> (Vec<String>, Vec<String>) {
    let of = |side: Side, schema: &Value| {
        let content = json!({ "content": { "application/json": { "schema": { "$ref": "#/components/schemas/A" } } } });
        let operation = match side {
            Side::Request => json!({ "requestBody": content }),
            Side::Response => json!({ "responses": { "200": content } }),
        };
        contract(&json!({ "/a": { "post": operation } }), &json!({ "A": schema, "B": { "type": "string" } }))
    };
    let of = |side| {
        let found = breaks(&of(side, &old), &of(side, &new));
        found.into_iter().map(|found| found.message).collect()
    };
    (of(Side::Request), of(Side::Response))
}

#[test]
fn the_same_document_breaks_nothing_whatever_it_is() {
    let tree = json!({
        "type": "object", "required": ["kind"], "additionalProperties": false,
        "properties": {
            "kind": { "enum": ["a", "b"] },
            "children": { "type": "array", "items": { "oneOf": [{ "$ref": "#/components/schemas/A" }, { "$ref": "#/components/schemas/B" }] } },
        },
    });
    assert_eq!(sides(tree.clone(), tree), (vec![], vec![]));
}

#[test]
fn paths_operations_parameters_and_statuses_that_go_are_told() {
    let parameter = |name: &str, required: bool| json!({ "name": name, "in": "query", "required": required });
    let id = |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let json = json!({ "application/json": {}, "text/csv": {} });
    let old = json!({
        "/gone": { "get": {} },
        "/a/{id}": {
            "parameters": [id("id")],
            "get": { "parameters": [parameter("q", false)], "responses": { "200": {}, "404": {}, "201": {} } },
            "put": {},
            "post": { "requestBody": { "content": json }, "responses": { "200": { "content": json } } },
        },
    });
    let new = json!({
        "/a/{key}": {
            "parameters": [id("key")],
            "get": { "parameters": [parameter("q", true), parameter("r", true), parameter("s", false)], "responses": { "2XX": {} } },
            "post": {
                "requestBody": { "required": true, "content": { "application/json": {} } },
                "responses": { "200": { "content": { "application/json": {} } } },
            },
        },
        "/new": { "get": {} },
    });
    assert_eq!(
        told(&contract(&old, &json!({})), &contract(&new, &json!({}))),
        [
            "/gone: the path is gone (at /paths/~1gone)",
            "GET /a/{id}: the query parameter `q` is now required (at /paths/~1a~1{key}/get/parameters/0)",
            "GET /a/{id}: the query parameter `r` is new and required (at /paths/~1a~1{key}/get/parameters/1)",
            "GET /a/{id}: the status 404 is gone (at /paths/~1a~1{id}/get/responses/404)",
            "PUT /a/{id}: the operation is gone (at /paths/~1a~1{id}/put)",
            "POST /a/{id}: the request's body is now required (at /paths/~1a~1{key}/post/requestBody)",
            "POST /a/{id}: the request's body is no longer text/csv (at /paths/~1a~1{id}/post/requestBody/content/text~1csv)",
            "POST /a/{id}: the response 200 is no longer text/csv (at /paths/~1a~1{id}/post/responses/200/content/text~1csv)",
        ]
        .map(str::to_owned)
        .into_iter()
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
    );
    // The other way round: what is new is gone, what is required is not.
    let back = told(&contract(&new, &json!({})), &contract(&old, &json!({})));
    assert_eq!(back.len(), 2, "{back:?}");
}

#[test]
fn requests_may_grow_and_responses_may_shrink() {
    let object = |required: Value, properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    for (wide, narrow, request, response) in [
        (
            json!({ "type": ["string", "null"] }),
            json!({ "type": "string" }),
            "was null or string and is now string",
            "was string and is now null or string",
        ),
        (json!({ "type": "number" }), json!({ "type": "integer" }), "is now integer", "is now number"),
        (json!({ "enum": [1, 2] }), json!({ "enum": [1] }), "no longer takes 2", "may now be 2"),
        (
            json!({ "type": "string" }),
            json!({ "type": "string", "enum": ["a"] }),
            "only certain values",
            "anything and not only",
        ),
        (
            object(json!([]), json!({ "a": {} })),
            object(json!(["a"]), json!({ "a": {} })),
            "/a is now required",
            "/a may now be missing",
        ),
        (
            json!({ "oneOf": [{ "type": "string" }, { "type": "null" }] }),
            json!({ "oneOf": [{ "type": "string" }] }),
            "no longer takes one of the forms",
            "may now have a form",
        ),
        (
            json!({ "items": { "$ref": "#/components/schemas/B" } }),
            json!({ "items": { "allOf": [{ "$ref": "#/components/schemas/B" }, { "enum": ["x"] }] } }),
            "/* now takes only certain values",
            "/* may now be anything",
        ),
    ] {
        let (of_request, of_response) = sides(wide.clone(), narrow.clone());
        assert!(of_request.len() == 1 && of_request[0].contains(request), "{wide} → {narrow}: {of_request:?}");
        assert_eq!(of_response, [] as [String; 0], "{wide} → {narrow}");
        let (of_request, of_response) = sides(narrow.clone(), wide.clone());
        assert_eq!(of_request, [] as [String; 0], "{narrow} → {wide}");
        assert!(of_response.len() == 1 && of_response[0].contains(response), "{narrow} → {wide}: {of_response:?}");
    }
}

#[test]
fn properties_that_go_break_readers_and_only_strict_writers() {
    let with = json!({ "properties": { "a": { "type": "string" }, "b": {} } });
    let without = json!({ "properties": { "b": {} } });
    assert_eq!(sides(with.clone(), without), (vec![], vec!["the response 200 /a is gone".to_owned()]));
    let strict = json!({ "properties": { "b": {} }, "additionalProperties": false });
    assert_eq!(sides(with, strict).0.len(), 2);
    let read = json!({ "properties": { "a": { "type": "string", "readOnly": true } } });
    let required = json!({ "required": ["a"], "properties": { "a": { "type": "string", "readOnly": true } } });
    assert_eq!(sides(read, required).0, [] as [String; 0], "nobody sends it");
}

#[test]
fn bounds_are_compared_in_requests() {
    for (old, new) in [
        (json!({}), json!({ "maxLength": 5 })),
        (json!({ "minimum": 1 }), json!({ "minimum": 2 })),
        (json!({ "pattern": "a" }), json!({ "pattern": "b" })),
        (json!({}), json!({ "format": "uuid" })),
    ] {
        let (request, response) = sides(old.clone(), new.clone());
        assert_eq!((request.len(), response.len()), (1, 0), "{old} → {new}");
        assert!(new.get("pattern").is_some() || sides(new, old).0.is_empty());
    }
}
