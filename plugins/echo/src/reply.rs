//! Responses of `wasi:http` 0.3: a head, a stream of bytes, and a future of what comes after them.
//!
//! Head, body and trailers are handed over at once and go on their own ways. The body is written by a task beside the
//! handler; `write` returns when the host has taken the bytes, so a client that reads slowly slows the task down.

use serde::Serialize;
use wasip3::http::types::{ErrorCode, Fields, Method, Response, Scheme, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

/// The end of a body that its task writes to.
pub(crate) struct Body(StreamWriter<u8>);

impl Body {
    /// Whether all of it was taken; otherwise nobody reads any more.
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> bool {
        self.0.write_all(bytes).await.is_empty()
    }
}

/// A response whose body comes from somewhere else.
pub(crate) fn with_body(
    status: u16,
    head: &[(String, Vec<u8>)],
    body: StreamReader<u8>,
    trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
) -> Result<Response, ErrorCode> {
    let head = Fields::from_list(head).map_err(|error| internal(format!("a bad header: {error:?}")))?;
    // The second is a future that would tell when the response was sent; we do not wait for it.
    let (response, _sent) = Response::new(head, Some(body), trailers);
    response.set_status_code(status).map_err(|()| internal(format!("{status} is no status")))?;
    Ok(response)
}

/// A response whose body `task` writes, for as long as it likes.
pub(crate) fn streamed<T>(
    status: u16,
    head: &[(&str, &str)],
    task: impl FnOnce(Body) -> T,
) -> Result<Response, ErrorCode>
where
    T: Future<Output = ()> + 'static,
{
    let head: Vec<_> = head.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let (writer, reader) = wit_stream::new();
    // Nobody writes to this future, so it has its default: no trailers.
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let response = with_body(status, &head, reader, no_trailers)?;
    spawn_local(task(Body(writer)));
    Ok(response)
}

/// A response that is there as a whole.
fn whole(status: u16, head: &[(&str, &str)], bytes: Vec<u8>) -> Result<Response, ErrorCode> {
    let length = bytes.len().to_string();
    let head = [head, &[("content-length", &length)]].concat();
    streamed(status, &head, async move |mut body| {
        body.write(bytes).await;
    })
}

pub(crate) fn json(status: u16, value: &impl Serialize) -> Result<Response, ErrorCode> {
    whole(status, &[("content-type", "application/json")], to_json(value)?)
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

/// What is wrong with a request, as a problem document (RFC 9457).
pub(crate) fn problem(status: u16, detail: &str, head: &[(&str, &str)]) -> Result<Response, ErrorCode> {
    let title = match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Error",
    };
    let problem = to_json(&Problem { r#type: "about:blank", title, status, detail })?;
    whole(status, &[&[("content-type", "application/problem+json")], head].concat(), problem)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, ErrorCode> {
    serde_json::to_vec(value).map_err(|error| internal(error.to_string()))
}

fn internal(what: String) -> ErrorCode {
    ErrorCode::InternalError(Some(what))
}

/// As it stands in a request line.
pub(crate) fn method(method: Method) -> String {
    let name = match method {
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
    };
    name.to_owned()
}

/// As it stands in a URL.
pub(crate) fn scheme(scheme: Scheme) -> String {
    match scheme {
        Scheme::Http => "http".to_owned(),
        Scheme::Https => "https".to_owned(),
        Scheme::Other(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_their_names_of_http() {
        assert_eq!(method(Method::Patch), "PATCH");
        assert_eq!(method(Method::Other("PURGE".to_owned())), "PURGE");
    }
}
