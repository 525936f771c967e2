use super::*;

static ROUTER: Router = Router::new(&[
    get("/", |_| Ok(Response::text("home"))),
    get("/users", |_| Ok(Response::text("list"))),
    post("/users", |_| Ok(Response::empty(201))),
    get("/users/me", |_| Ok(Response::text("me"))),
    get("/users/{id}", |request| Ok(Response::text(request.param("id")))),
    delete("/users/{id}", |_| Err(Error::conflict("in use"))),
    get("/a/{x}/b/{y}", |request| Ok(Response::text(format!("{} {}", request.param("x"), request.param("y"))))),
]);

fn text(path: &str) -> (u16, String) {
    let response = ROUTER.handle(Request::get(path));
    (response.status(), String::from_utf8(response.into_bytes()).unwrap())
}

#[test]
fn the_first_route_that_fits_answers() {
    assert_eq!(text("/"), (200, "home".to_owned()));
    assert_eq!(text("/users"), (200, "list".to_owned()));
    assert_eq!(text("/users/me"), (200, "me".to_owned()));
    assert_eq!(text("/users/you"), (200, "you".to_owned()));
    assert_eq!(text("/a/1/b/2?x=3"), (200, "1 2".to_owned()));
}

#[test]
fn a_parameter_is_one_decoded_segment() {
    assert_eq!(text("/users/a%20b%2Fc+d"), (200, "a b/c+d".to_owned()));
    assert_eq!(text("/users/J%C3%BCrgen"), (200, "Jürgen".to_owned()));
    for path in ["/users/", "/users/a/b", "/users/a/", "//users/a", "/a//b/2", "/Users/a"] {
        assert_eq!(text(path).0, 404, "{path}");
    }
    assert_eq!(text("/users/%ff").0, 400);
}

#[test]
fn another_method_is_405_with_allow() {
    let response = ROUTER.handle(Request::new(Method::Put, "/users"));
    assert_eq!((response.status(), response.header_value("allow")), (405, Some("GET, HEAD, OPTIONS, POST")));
    let response = ROUTER.handle(Request::new(Method::Other, "/users/7"));
    assert_eq!((response.status(), response.header_value("allow")), (405, Some("DELETE, GET, HEAD, OPTIONS")));
    assert_eq!(ROUTER.handle(Request::new(Method::Put, "/nowhere")).status(), 404);
}

#[test]
fn options_names_the_methods() {
    let response = ROUTER.handle(Request::new(Method::Options, "/users"));
    assert_eq!((response.status(), response.header_value("allow")), (204, Some("GET, HEAD, OPTIONS, POST")));
}

#[test]
fn head_is_get_without_the_body() {
    let response = ROUTER.handle(Request::new(Method::Head, "/users/7"));
    assert_eq!((response.status(), response.header_value("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert!(response.into_bytes().is_empty());
    assert_eq!(ROUTER.handle(Request::new(Method::Head, "/nowhere")).status(), 404);
}

#[test]
fn an_error_of_a_handler_is_a_problem_document() {
    let response = ROUTER.handle(Request::new(Method::Delete, "/users/7"));
    assert_eq!((response.status(), response.header_value("content-type")), (409, Some("application/problem+json")));
}
