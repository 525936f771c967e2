use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;

const SHOP: &str = r#"
openapi: 3.1.0
info: { title: Shop, version: 1.0.0 }
paths:
  /orders:
    get:
      parameters:
        - { name: limit, in: query, schema: { type: integer, minimum: 1, maximum: 100 } }
        - { name: tag, in: query, schema: { type: array, maxItems: 2, items: { type: string, minLength: 2 } } }
        - { name: ids, in: query, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: filter, in: query, style: deepObject, schema: { type: object,
            properties: { age: { type: integer } }, additionalProperties: false } }
        - { name: open, in: query, schema: { type: boolean } }
        - { name: x-tenant, in: header, required: true, schema: { type: string, pattern: '^t-' } }
        - { name: session, in: cookie, schema: { type: string, minLength: 3 } }
        - { name: where, in: query, content: { application/json: { schema: { type: object, required: [a] } } } }
        - { name: pipes, in: query, style: pipeDelimited, explode: false, schema: { type: array,
            items: { type: integer } } }
      responses:
        '200': { description: all, content: { application/json: { schema: { type: array,
            items: { $ref: '#/components/schemas/Order' } } } } }
        4XX: { description: wrong, content: { application/problem+json: {} } }
    post:
      requestBody: { $ref: '#/components/requestBodies/Order' }
      responses:
        '201': { description: made }
        default: { description: other, content: { 'application/*': { schema: { type: object } } } }
  /orders/{id}:
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer } }
    get: { responses: { '200': { description: one } } }
    patch:
      parameters:
        - { name: id, in: path, required: true, schema: { type: string, pattern: '^o' } }
      requestBody: { content: { text/csv: { schema: { type: string } }, application/json: {} } }
      responses: { '200': { description: one } }
components:
  requestBodies:
    Order: { required: true, content: { application/json: { schema: { $ref: '#/components/schemas/Order' } } } }
  schemas:
    Order:
      type: object
      required: [id, quantity]
      properties:
        id: { type: string, readOnly: true }
        quantity: { type: integer, minimum: 1 }
"#;

fn shop() -> Contract {
    Contract::read("shop.yaml", SHOP).unwrap()
}

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    list.iter().map(pair).collect()
}

fn asked(method: Method, path: &str, sent: &[(&'static str, &str)]) -> Vec<String> {
    let shop = shop();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    shop.request(&method, path, query, &headers(sent)).violations.iter().map(ToString::to_string).collect()
}

fn broken(text: &str) -> String {
    Contract::read("a.yaml", text).unwrap_err().to_string()
}

#[test]
fn parameters_are_read_in_the_style_they_are_written_in() {
    let tenant = ("x-tenant", "t-1");
    let good = "/orders?limit=5&tag=aa&tag=b%20b&ids=1,2&filter[age]=5&open=true&where=%7B%22a%22:1%7D&pipes=1%7C2";
    assert_eq!(asked(Method::GET, good, &[tenant, ("cookie", "a=b; session=abc")]), Vec::<String>::new());
    for (query, said) in [
        ("limit=0", "query parameter `limit` must be at least 1"),
        ("limit=x", "query parameter `limit` must be a number or text"),
        ("limit=5&limit=6", "query parameter `limit` is given more than once"),
        ("tag=aa&tag=bb&tag=cc", "query parameter `tag` must have at most 2 items"),
        ("tag=aa&tag=b", "query parameter `tag` must have at least 2 characters (at /1)"),
        ("ids=1,x", "query parameter `ids` must be a whole number (at /1)"),
        ("filter[age]=x", "query parameter `filter` must be a whole number (at /age)"),
        ("filter[name]=x", "query parameter `filter` is not allowed here (at /name)"),
        ("open=yes", "query parameter `open` must be a boolean"),
        ("where=%7B%7D", "query parameter `where` is required (at /a)"),
        ("where=x", "query parameter `where` is no JSON"),
        ("pipes=1%7Cx", "query parameter `pipes` must be a whole number (at /1)"),
    ] {
        let said = if query == "limit=x" { "query parameter `limit` must be a whole number" } else { said };
        assert_eq!(asked(Method::GET, &format!("/orders?{query}"), &[tenant]), [said], "{query}");
    }
    assert_eq!(asked(Method::GET, "/orders", &[]), ["header parameter `x-tenant` is required"]);
    assert!(asked(Method::GET, "/orders", &[("x-tenant", "x")])[0].contains("must match the pattern ^t-"));
    assert!(
        asked(Method::GET, "/orders", &[tenant, (COOKIE.as_str().to_owned().leak(), "session=x")])[0]
            .contains("cookie")
    );
    // What is not described is nobody's business.
    assert_eq!(asked(Method::GET, "/orders?other=1", &[tenant]), Vec::<String>::new());
    // An operation's own parameter stands for that of its path.
    assert_eq!(asked(Method::GET, "/orders/o5", &[]), ["path parameter `id` must be a whole number"]);
    assert_eq!(asked(Method::PATCH, "/orders/o5", &[]), Vec::<String>::new());
}

#[test]
fn what_is_not_described_is_told_from_what_is_wrong() {
    let shop = shop();
    let head = |method: Method, path| shop.request(&method, path, None, &HeaderMap::new());
    assert_eq!(head(Method::GET, "/nothing").violations[0].kind, Kind::Path);
    let wrong = head(Method::DELETE, "/orders");
    assert_eq!((wrong.violations[0].kind, wrong.allowed), (Kind::Method, vec!["GET", "POST"]));
    assert_eq!(head(Method::OPTIONS, "/orders").violations, []);
    assert_eq!(head(Method::HEAD, "/orders/5").violations, []);
    assert_eq!(head(Method::HEAD, "/orders/5").name(), "GET /orders/{id}");
}

#[test]
fn bodies_fit_their_schema() {
    let shop = shop();
    let json = headers(&[(CONTENT_TYPE.as_str().to_owned().leak(), "application/json; charset=utf-8")]);
    let head = shop.request(&Method::POST, "/orders", None, &json);
    let BodyRule::Fits { schema, required: true } = head.body else { panic!("{head:?}") };
    let said = |bytes: &[u8], direction| -> Vec<String> {
        shop.body(schema, bytes, direction, Effort::Full).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(said(br#"{"quantity":1}"#, Direction::Request), Vec::<String>::new());
    assert_eq!(said(br#"{"quantity":1}"#, Direction::Response), ["body /id is required"]);
    assert_eq!(said(br#"{"quantity":0}"#, Direction::Request), ["body /quantity must be at least 1"]);
    assert_eq!(said(br#"{"quantity""#, Direction::Request), ["the body ends too early (line 1, column 11)"]);
    assert!(said(br#"{"quantity":1,"quantity":0}"#, Direction::Request)[0].contains("a key twice"));
    assert!(said(&[b'['; 100_000], Direction::Request)[0].starts_with("the body is"));
    assert_eq!(head.body.of_presence(false).unwrap().kind, Kind::Body);
    assert_eq!(head.body.of_presence(true), None);
}

#[test]
fn types_of_content_decide_what_a_body_is_held_against() {
    let shop = shop();
    let rule = |method: Method, path, list: &[(&'static str, &str)]| {
        let head = shop.request(&method, path, None, &headers(list));
        (head.body, head.violations.first().map(|violation| violation.kind))
    };
    let post = |list: &[(&'static str, &str)]| rule(Method::POST, "/orders", list);
    assert_eq!(post(&[("content-type", "text/plain")]).1, Some(Kind::ContentType));
    assert_eq!(post(&[]), (BodyRule::Untyped { required: true }, None));
    assert_eq!(post(&[]).0.of_presence(true).unwrap().kind, Kind::ContentType);
    assert_eq!(post(&[]).0.of_presence(false).unwrap().kind, Kind::Body);
    let zipped = [("content-type", "application/json"), (CONTENT_ENCODING.as_str().to_owned().leak(), "gzip")];
    assert_eq!(post(&zipped), (BodyRule::Free(Skipped::Encoded), None));
    let patch = |kind| rule(Method::PATCH, "/orders/o1", &[("content-type", kind)]).0;
    assert_eq!(patch("text/csv"), BodyRule::Free(Skipped::NotJson));
    assert_eq!(patch("application/json"), BodyRule::Free(Skipped::NotDescribed));
}

#[test]
fn responses_are_those_that_are_described() {
    let shop = shop();
    let tenant = headers(&[("x-tenant", "t-1")]);
    let head = shop.request(&Method::GET, "/orders", None, &tenant);
    let kind = |status, kind: &str| {
        let head = head.response(status, &headers(&[("content-type", kind)]));
        head.violations.first().map(|violation| violation.kind)
    };
    assert_eq!(kind(200, "application/json"), None);
    assert_eq!(kind(200, "text/html"), Some(Kind::ContentType));
    assert_eq!(kind(404, "application/problem+json"), None);
    assert_eq!(kind(404, "text/html"), Some(Kind::ContentType));
    assert_eq!(kind(500, "application/json"), Some(Kind::Status));
    assert!(matches!(
        head.response(200, &headers(&[("content-type", "application/json")])).body,
        BodyRule::Fits { .. }
    ));
    let post = shop.request(&Method::POST, "/orders", None, &tenant);
    assert_eq!(post.response(500, &headers(&[("content-type", "application/json")])).violations, []);
    // The document says nothing of content there.
    assert_eq!(post.response(201, &headers(&[("content-type", "text/html")])).violations, []);
    // Nor of requests that it does not have.
    let unknown = shop.request(&Method::GET, "/nothing", None, &tenant);
    assert_eq!(unknown.response(299, &HeaderMap::new()).violations, []);
}

#[test]
fn broken_documents_are_told_with_file_line_and_column() {
    let yaml = |tail: &str| format!("openapi: 3.1.0\npaths:\n{tail}");
    assert_eq!(
        broken(&yaml("  /a:\n    get:\n      parameters:\n        - { name: a, in: body }\n")),
        "a.yaml:6:11: `in` is path, query, header or cookie (at /paths/~1a/get/parameters/0)"
    );
    assert_eq!(broken("openapi: 3.1.0\npaths: [").split(": ").next().unwrap(), "a.yaml:2:8");
    for (text, said) in [
        ("a: 1", "1:1: this is no OpenAPI document"),
        ("[]", "1:1: a map is expected here"),
        ("openapi: 2.0.0", "1:1: OpenAPI 2.0.0 is not supported"),
        ("openapi: 3.1.0\njsonSchemaDialect: http://json-schema.org/draft-04/schema#", "2:1: schemas of this dialect"),
        (&yaml("  a: {}"), "3:3: a path begins with `/`"),
        (&yaml("  /a/{x}: {}\n  /a/{y}: {}"), "4:3: another path means the same"),
        (&yaml("  /a: { $ref: 'https://example.com/a.yaml' }"), "is not in this document"),
        (&yaml("  /a: { get: { parameters: [{ name: x, in: path, required: true }] } }"), "the path has no `{x}`"),
        (&yaml("  /{x}: { get: { parameters: [{ name: x, in: path }] } }"), "`required: true`"),
        (&yaml("  /a: { get: { parameters: [{ name: x, in: query, style: matrix }] } }"), "is no style"),
        (&yaml("  /a: { get: { responses: { ok: {} } } }"), "a status such as `200`"),
        (&yaml("  /a: { get: { requestBody: { content: { json: {} } } } }"), "a type of content"),
        (&yaml("components: { schemas: { A: { type: nothing } } }").replace("paths:\n", ""), "no type"),
        (
            &yaml("components: { schemas: { A: { $ref: '#/components/schemas/A' } } }").replace("paths:\n", ""),
            "by itself",
        ),
    ] {
        assert!(broken(text).contains(said), "{text}\n{}", broken(text));
    }
    let paths: String = (0..=MAX_PATHS).map(|n| format!("  /{n}: {{}}\n")).collect();
    assert!(broken(&yaml(&paths)).contains("at most 5000 paths"));
}

#[test]
fn a_document_of_many_operations_with_one_large_schema_is_read_in_no_time() {
    let began = std::time::Instant::now();
    let properties: String = (0..3000).map(|n| format!("      p{n}: {{ $ref: '#/components/schemas/A' }}\n")).collect();
    let one = "{ get: { responses: { 200: { description: x, content: { application/json: { schema: { $ref: '#/components/schemas/A' } } } } } } }";
    let paths: String = (0..3000).map(|n| format!("  /p{n}: {one}\n")).collect();
    let text =
        format!("openapi: 3.1.0\npaths:\n{paths}components:\n  schemas:\n    A:\n     properties:\n{properties}");
    assert_eq!(Contract::read("a.yaml", &text).unwrap().operations(), 3000);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
