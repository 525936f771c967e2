//! One request to another service.

use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult};
use wasip3::{spawn_local, wit_future, wit_stream};

use crate::{Query, Reply};

/// A request that is about to be sent.
pub struct Call {
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    method: Method,
    options: RequestOptions,
    /// Bytes of body.
    size: u64,
}

impl Call {
    pub fn new(url: &str, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        Self { url: url.to_owned(), headers, method: Method::Get, options: RequestOptions::new(), size: 0 }
    }

    /// `url`, `method`, `h` (`name:value`, any number), `first` and `between` (ms), `size` (bytes of body).
    pub fn of(query: &Query) -> Self {
        let headers: Vec<_> = query.all("h").filter_map(|header| header.split_once(':')).collect();
        let mut call = Self::new(query.text("url"), &headers);
        call.method = match query.text("method") {
            "" | "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "CONNECT" => Method::Connect,
            "TRACE" => Method::Trace,
            other => Method::Other(other.to_owned()),
        };
        let nanos = |name| query.number(name).map(|ms| ms * 1_000_000);
        call.options.set_first_byte_timeout(nanos("first")).expect("a timeout");
        call.options.set_between_bytes_timeout(nanos("between")).expect("a timeout");
        call.size = query.number("size").unwrap_or(0);
        call
    }

    pub async fn send(self) -> Reply {
        let (mut to, body) = wit_stream::new();
        let (_, ending) = wit_future::new(|| Ok(None));
        let mut left = self.size;
        spawn_local(async move {
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(64 << 10);
                if !to.write_all(vec![b'x'; part]).await.is_empty() {
                    return;
                }
                left -= part as u64;
            }
        });
        self.send_body(body, ending).await
    }

    pub async fn send_body(
        self,
        body: StreamReader<u8>,
        ending: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    ) -> Reply {
        let headers = match Fields::from_list(&self.headers) {
            Ok(headers) => headers,
            Err(error) => {
                println!("the headers are refused: {error:?}");
                Fields::new()
            }
        };
        let (request, _sent) = Request::new(headers, Some(body), ending, Some(self.options));
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let _ = request.set_method(&self.method);
        let _ = request.set_scheme(Some(&scheme));
        let _ = request.set_authority(Some(authority));
        let _ = request.set_path_with_query(Some(path));
        client::send(request).await
    }
}

/// What became of a call: its status and the length of its body, or the error.
pub async fn outcome(answer: Reply) -> String {
    let answer = match answer {
        Ok(answer) => answer,
        Err(code) => return format!("{code:?}"),
    };
    let status = answer.get_status_code();
    let (_, handled) = wit_future::new(|| Ok(()));
    let (mut body, trailers) = Response::consume_body(answer, handled);
    let mut length = 0;
    loop {
        let (state, part) = body.read(Vec::with_capacity(64 << 10)).await;
        length += part.len();
        if matches!(state, StreamResult::Dropped) {
            break;
        }
    }
    let end = if trailers.await.is_ok() { "" } else { " broken off" };
    format!("{status} {length}{end}")
}
