//! What the tests of all services do in the same way.

use wharf_sdk::{Method, Request, Router};

use crate::Caller;

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
        assert_eq!(status(inside(Request::get("/closed").with_header("x-user-id", "ann"))), 403);
    }
}
