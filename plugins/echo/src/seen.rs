//! A request as this service sees it, as JSON.

use serde::Serialize;
use wasip3::http::types::{Method, Request};

#[derive(Debug, Serialize)]
pub(crate) struct Seen {
    method: String,
    target: Option<String>,
    authority: Option<String>,
    /// In the order of the names; one pair for each value.
    headers: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn of(request: &Request) -> Self {
        let headers = request.get_headers().copy_all();
        let mut headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
        headers.sort();
        Self {
            method: name(request.get_method()),
            target: request.get_path_with_query(),
            authority: request.get_authority(),
            headers,
        }
    }
}

fn name(method: Method) -> String {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return name,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_their_names_of_http() {
        assert_eq!(name(Method::Patch), "PATCH");
        assert_eq!(name(Method::Other("PURGE".to_owned())), "PURGE");
    }
}
