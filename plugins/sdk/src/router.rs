//! From a method and a path to a handler.
//!
//! Routes are tried in their order and the first that fits answers. A pattern is literal segments and `{name}`, which
//! takes exactly one segment that isn't empty, percent-decoded: `%2F` inside it is a character of the value, not a
//! separator. A slash at the end makes another path.
//!
//! The rest follows from HTTP and needs no routes: `HEAD` is `GET` without the body, `OPTIONS` names the methods, a
//! path without the method is 405 with `Allow`, anything else 404.
//!
//! The table is built at compile time: an instance that lives for one request spends nothing on it.

use percent_encoding::percent_decode_str;

use crate::{Body, Error, Method, Request, Response};

#[cfg(test)]
mod tests;

/// Answers a request.
pub type Handler = fn(Request) -> Result<Response, Error>;

/// A method, a pattern and what answers.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    method: Method,
    pattern: &'static str,
    handler: Handler,
}

/// `GET` (and `HEAD`) of the paths that fit the pattern.
pub const fn get(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::Get, pattern, handler }
}

/// `POST` to the paths that fit the pattern.
pub const fn post(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::Post, pattern, handler }
}

/// `PUT` to the paths that fit the pattern.
pub const fn put(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::Put, pattern, handler }
}

/// `PATCH` of the paths that fit the pattern.
pub const fn patch(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::Patch, pattern, handler }
}

/// `DELETE` of the paths that fit the pattern.
pub const fn delete(pattern: &'static str, handler: Handler) -> Route {
    Route { method: Method::Delete, pattern, handler }
}

/// The routes of a service.
#[derive(Clone, Copy, Debug)]
pub struct Router {
    routes: &'static [Route],
}

impl Router {
    /// These routes, in this order.
    pub const fn new(routes: &'static [Route]) -> Self {
        Self { routes }
    }

    /// Methods and patterns, in their order: to hold them against what is said of them elsewhere.
    pub fn routes(&self) -> impl Iterator<Item = (Method, &'static str)> {
        self.routes.iter().map(|route| (route.method, route.pattern))
    }

    /// Answers a request. Never fails: an error becomes its problem document.
    pub fn handle(&self, mut request: Request) -> Response {
        let head = request.method() == Method::Head;
        let wanted = if head { Method::Get } else { request.method() };
        for route in self.routes.iter().filter(|route| route.method == wanted) {
            match fit(route.pattern, request.path()) {
                Fit::No => {}
                Fit::NotText => return Error::bad_request("the path is not UTF-8").into_response(),
                Fit::With(params) => {
                    request.set_params(params);
                    let mut response = (route.handler)(request).unwrap_or_else(Error::into_response);
                    if head {
                        response.set_body(Body::Omitted);
                    }
                    return response;
                }
            }
        }
        let allowed = self.allowed(request.path());
        if allowed.is_empty() {
            Error::not_found("there is nothing here").into_response()
        } else if request.method() == Method::Options {
            Response::empty(204).header("allow", &allowed)
        } else {
            Error::new(405, format!("use {allowed}")).into_response().header("allow", &allowed)
        }
    }

    /// The methods that the path has, as `Allow` writes them; empty when there is no such path.
    fn allowed(&self, path: &str) -> String {
        let mut names: Vec<_> = self
            .routes
            .iter()
            .filter(|route| !matches!(fit(route.pattern, path), Fit::No))
            .flat_map(|route| match route.method {
                Method::Get => &["GET", "HEAD"][..],
                Method::Post => &["POST"],
                Method::Put => &["PUT"],
                Method::Patch => &["PATCH"],
                Method::Delete => &["DELETE"],
                Method::Head | Method::Options | Method::Other => &[],
            })
            .copied()
            .collect();
        if !names.is_empty() {
            names.push("OPTIONS");
        }
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }
}

enum Fit {
    No,
    /// It fits, but a parameter isn't UTF-8.
    NotText,
    With(Vec<(&'static str, String)>),
}

fn fit(pattern: &'static str, path: &str) -> Fit {
    let mut params = Vec::new();
    let mut is_text = true;
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => break,
            (Some(wanted), Some(given)) => {
                if let Some(name) = wanted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                    if given.is_empty() {
                        return Fit::No;
                    }
                    match percent_decode_str(given).decode_utf8() {
                        Ok(value) => params.push((name, value.into_owned())),
                        Err(_) => is_text = false,
                    }
                } else if wanted != given {
                    return Fit::No;
                }
            }
            (Some(_), None) | (None, Some(_)) => return Fit::No,
        }
    }
    if is_text { Fit::With(params) } else { Fit::NotText }
}
