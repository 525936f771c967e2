//! What the tests of all services do in the same way.

use wharf_sdk::{Method, Request, Router};

use crate::{Caller, Info};

/// The request as the host hands it on from another service, unless it says itself who asks.
pub fn inside(request: Request) -> Request {
    match Caller::of(&request) {
        Caller::Nobody => request.with_header("x-wharf-caller", "tests"),
        Caller::Service(_) | Caller::User { .. } => request,
    }
}

/// What somebody is answered of whom the host says nothing, and who has nothing to say either.
pub fn stranger(router: &Router, method: Method, target: &str) -> u16 {
    router.handle(Request::new(method, target)).status()
}

/// Which of these routes do not tell a stranger to show a token (401): each should.
pub fn open_to_strangers<'t>(router: &Router, routes: &[(Method, &'t str)]) -> Vec<(&'t str, u16)> {
    let answered = routes.iter().map(|&(method, target)| (target, stranger(router, method, target)));
    answered.filter(|&(_, status)| status != 401).collect()
}

/// In what the OpenAPI document of a service differs from it: routes that only one of them has, and the version. It is
/// read line by line, as those of the shop are written: a path or a method begins its line and ends it.
pub fn differences(router: &Router, info: &Info, document: &str) -> Vec<String> {
    let described = operations(document);
    let word = |method| format!("{method:?}").to_ascii_lowercase();
    let answered: Vec<_> = router.routes().map(|(method, path)| format!("{} {path}", word(method))).collect();
    let missing = answered.iter().filter(|route| !described.contains(route));
    let made_up = described.iter().filter(|route| !answered.contains(route));
    let version = format!("\n  version: {}\n", info.version);
    let old = (!document.contains(&version)).then(|| format!("it is not of version {}", info.version));
    let missing = missing.map(|route| format!("does not describe {route}"));
    missing.chain(made_up.map(|route| format!("makes up {route}"))).chain(old).collect()
}

/// Methods and paths of a document.
fn operations(document: &str) -> Vec<String> {
    let lines = document.lines().skip_while(|line| *line != "paths:").skip(1);
    let mut path = "";
    let mut found = Vec::new();
    for line in lines.take_while(|line| line.starts_with(' ')) {
        let Some(key) = line.trim_start().strip_suffix(':') else { continue };
        match line.len() - line.trim_start().len() {
            2 => path = key,
            4 if key != "parameters" => found.push(format!("{key} {path}")),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use wharf_sdk::{Error, Response, get};

    use super::*;

    static ROUTER: Router = Router::new(&[get("/open", open), get("/closed", closed)]);

    fn open(_: Request) -> Result<Response, Error> {
        Ok(Response::text("come in"))
    }

    fn closed(request: Request) -> Result<Response, Error> {
        Caller::of(&request).check_inside()?;
        open(request)
    }

    #[test]
    fn a_stranger_is_no_service() {
        let routes = [(Method::Get, "/open"), (Method::Get, "/closed"), (Method::Get, "/none")];
        assert_eq!(open_to_strangers(&ROUTER, &routes), [("/open", 200), ("/none", 404)]);
        let status = |request: Request| ROUTER.handle(request).status();
        assert_eq!(status(inside(Request::get("/closed"))), 200);
        assert_eq!(status(inside(Request::get("/closed").with_header("x-wharf-user-id", "ann"))), 403);
    }

    #[test]
    fn a_document_has_all_routes_and_no_others() {
        let info = Info { name: "doors", version: "1.2.0", description: "", publishes: &[], handles: &[] };
        let document = |version: &str, last: &str| {
            let open = "/open:\n    parameters:\n      - {}\n    get:\n      summary: open";
            let rest = "components:\n  schemas:\n    Door:\n";
            format!("openapi: 3.1.0\ninfo:\n  version: {version}\npaths:\n  {open}\n  {last}\n{rest}")
        };
        assert!(differences(&ROUTER, &info, &document("1.2.0", "/closed:\n    get:")).is_empty());
        assert_eq!(
            differences(&ROUTER, &info, &document("1.2.1", "/closed:\n    put:")),
            ["does not describe get /closed", "makes up put /closed", "it is not of version 1.2.0"]
        );
    }
}
