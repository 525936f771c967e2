//! Responses of WASI 0.3: a head, and a stream that a task of its own writes.

use wasip3::http::types::{ErrorCode, Fields, Response};
use wasip3::wit_bindgen::StreamWriter;
use wasip3::{spawn_local, wit_future, wit_stream};

/// What a handler gives back. An error is the host's to report; clients never see its text.
pub(crate) type Reply = Result<Response, ErrorCode>;

/// The writing end of a body.
pub(crate) struct Body(StreamWriter<u8>);

impl Body {
    /// Waits until the bytes are taken; `false` when nobody reads any more.
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> bool {
        self.0.write_all(bytes).await.is_empty()
    }
}

/// 200 and a body that goes on while its task does.
pub(crate) fn streamed<T>(head: &[(&str, &str)], task: impl FnOnce(Body) -> T) -> Reply
where
    T: Future<Output = ()> + 'static,
{
    let (writer, reader) = wit_stream::new();
    let head: Vec<_> = head.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields(&head)?, Some(reader), no_trailers);
    spawn_local(task(Body(writer)));
    Ok(response)
}

/// A whole answer.
pub(crate) fn whole(status: u16, content_type: &str, text: impl Into<String>) -> Reply {
    let bytes = text.into().into_bytes();
    let length = bytes.len().to_string();
    let response = streamed(&[("content-type", content_type), ("content-length", &length)], async |mut body| {
        body.write(bytes).await;
    })?;
    response.set_status_code(status).map_err(|()| internal(format!("{status} is no status")))?;
    Ok(response)
}

/// A line for people.
pub(crate) fn text(status: u16, line: &str) -> Reply {
    whole(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

/// JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Reply {
    let json = serde_json::to_string(value).map_err(|error| internal(error.to_string()))?;
    whole(200, "application/json", json)
}

/// Headers from names and values.
pub(crate) fn fields(head: &[(String, Vec<u8>)]) -> Result<Fields, ErrorCode> {
    Fields::from_list(head).map_err(|error| internal(format!("a bad header: {error:?}")))
}

fn internal(reason: String) -> ErrorCode {
    ErrorCode::InternalError(Some(reason))
}
