//! A service that says hello: the smallest one that is worth running, and the one that is measured.

use serde::Serialize;
use wharf_sdk::{Error, Request, Response, Router, get, serve};

static ROUTER: Router = Router::new(&[
    get("/", |_| Ok(Response::text("Hello from Wharf!\n"))),
    get("/hello/{name}", hello),
    get("/health", |_| Ok(Response::text("ok\n"))),
    get("/info", |_| Ok(Response::json(&INFO))),
]);
serve!(ROUTER);

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
}

static INFO: Info = Info { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };

fn hello(request: Request) -> Result<Response, Error> {
    Ok(Response::text(format!("Hello, {}!\n", request.param("name"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_by_name() {
        let response = ROUTER.handle(Request::get("/hello/Ann%20Lee"));
        assert_eq!(response.into_bytes(), b"Hello, Ann Lee!\n");
    }

    #[test]
    fn it_says_which_version_it_is() {
        let text = String::from_utf8(ROUTER.handle(Request::get("/info")).into_bytes()).unwrap();
        assert_eq!(text, format!(r#"{{"name":"greeter","version":"{}"}}"#, env!("CARGO_PKG_VERSION")));
    }
}
