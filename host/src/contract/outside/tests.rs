use super::*;

const ORDERS: &str = r#"
openapi: 3.0.3
info: { title: Orders, version: '1' }
servers: [{ url: 'https://internal.example/secret' }]
security: [{ key: [] }]
tags: [{ name: old }]
paths:
  /orders/{id}:
    servers: [{ url: 'https://internal.example' }]
    get:
      operationId: get
      tags: [old]
      security: []
      parameters: [{ $ref: '#/components/parameters/Id' }]
      responses:
        '200': { description: one, content: { application/json: { schema: { $ref: '#/components/schemas/Order' },
            example: { $ref: '#/components/schemas/Data' } } } }
    delete:
      operationId: del
      servers: [{ url: /x }]
      responses: { '204': { $ref: '#/paths/~1orders~1%7Bid%7D/get/responses/200' } }
components:
  parameters: { Id: { name: id, in: path, required: true, schema: { $ref: '#/x-own/Id' } } }
  securitySchemes: { key: { type: apiKey, name: k, in: header } }
  schemas:
    Order:
      type: object
      properties:
        example: { $ref: '#/components/schemas/Order' }
        note: { type: string, nullable: true, enum: [a] }
        count: { type: integer, minimum: 1, exclusiveMinimum: true }
      discriminator: { propertyName: kind, mapping: { a: Order, b: '#/components/schemas/Order' } }
x-own: { Id: { type: integer } }
"#;

const USERS: &str = r#"
openapi: 3.1.0
info: { title: Users, version: '1', description: Who there is }
paths:
  /orders/{id}: { get: { operationId: get, responses: { '200': { $ref: '#/components/responses/One' } } } }
components:
  responses: { One: { description: one,
      content: { application/json: { schema: { $ref: '#/components/schemas/Order' } } } } }
  schemas: { Order: { type: [object, 'null'] } }
"#;

fn contract(text: &str) -> Contract {
    Contract::read("a.yaml", text).unwrap()
}

#[test]
fn a_document_alone_has_the_gateways_address_and_no_other() {
    let served = alone(&contract(ORDERS), "/shop/orders");
    assert_eq!(served["servers"], json!([{ "url": "/shop/orders" }]));
    assert!(!served.to_string().contains("internal.example"), "{served}");
    assert_eq!(served["paths"]["/orders/{id}"]["get"]["operationId"], "get");
    assert_eq!(alone(&contract(ORDERS), "")["servers"], json!([{ "url": "/" }]));
}

#[test]
fn documents_together_do_not_collide_and_are_one_document() {
    let (orders, users) = (contract(ORDERS), contract(USERS));
    let parts = [
        Part { service: "orders", prefix: "/o", contract: &orders },
        Part { service: "users", prefix: "/users", contract: &users },
    ];
    let all = together(parts.into_iter());
    let text = all.to_string();
    assert!(!text.contains("internal.example"), "{text}");
    let get = &all["paths"]["/o/orders/{id}"]["get"];
    assert_eq!((&get["operationId"], &get["tags"]), (&json!("orders.get"), &json!(["orders"])));
    assert_eq!(get["security"], json!([]));
    assert_eq!(all["paths"]["/o/orders/{id}"]["delete"]["security"], json!([{ "orders.key": [] }]));
    assert_eq!(all["paths"]["/users/orders/{id}"]["get"]["operationId"], "users.get");
    assert_eq!(
        all["tags"],
        json!([{ "name": "orders", "description": "Orders" }, { "name": "users", "description": "Who there is" }])
    );
    // Data is left alone, a property that is called like a word is not.
    let content = &get["responses"]["200"]["content"]["application/json"];
    assert_eq!(content["example"]["$ref"], "#/components/schemas/Data");
    let order = &all["components"]["schemas"]["orders.Order"];
    assert_eq!(order["properties"]["example"]["$ref"], "#/components/schemas/orders.Order");
    assert_eq!(order["properties"]["note"], json!({ "type": ["string", "null"], "enum": ["a", null] }));
    assert_eq!(order["properties"]["count"], json!({ "type": "integer", "exclusiveMinimum": 1 }));
    assert_eq!(
        order["discriminator"]["mapping"],
        json!({ "a": "orders.Order", "b": "#/components/schemas/orders.Order" })
    );
    // It is a document by its own rules, with every reference in its place.
    let read = Contract::read("all.json", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(read.operations(), 3);
    let head = read.request(&http::Method::GET, "/o/orders/x", None, &http::HeaderMap::new());
    assert_eq!(head.violations.len(), 1, "the moved parameter is found: {:?}", head.violations);
}
