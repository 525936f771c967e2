//! Responses, whole or written piece by piece by a task of their own.

use wasip3::http::types::{ErrorCode, Fields, Response, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

/// What a handler gives back.
pub type Reply = Result<Response, ErrorCode>;

/// What comes after a body.
pub type Ending = FutureReader<Result<Option<Trailers>, ErrorCode>>;

/// The writing end of a body.
pub struct Body(StreamWriter<u8>);

impl Body {
    /// Whether somebody still reads.
    pub async fn write(&mut self, bytes: Vec<u8>) -> bool {
        self.0.write_all(bytes).await.is_empty()
    }
}

/// 200 with these headers; the task writes the body.
pub fn streamed<T: Future<Output = ()> + 'static>(headers: &[(&str, &str)], task: impl FnOnce(Body) -> T) -> Reply {
    let (_no_trailers, ending) = wit_future::new(|| Ok(None));
    ended(headers, ending, task)
}

/// The same with trailers, or with an error, at the end.
pub fn ended<T: Future<Output = ()> + 'static>(
    headers: &[(&str, &str)],
    ending: Ending,
    task: impl FnOnce(Body) -> T,
) -> Reply {
    let (writer, reader) = wit_stream::new();
    spawn_local(task(Body(writer)));
    let (response, _sent) = Response::new(fields(headers), Some(reader), ending);
    Ok(response)
}

pub fn fields(entries: &[(&str, &str)]) -> Fields {
    let entries: Vec<_> = entries.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Fields::from_list(&entries).expect("valid headers")
}

/// A whole text.
pub fn respond(status: u16, text: impl Into<String>) -> Reply {
    let text = text.into();
    let response = streamed(&[("content-type", "text/plain")], async |mut body| {
        body.write(text.into_bytes()).await;
    })?;
    response.set_status_code(status).expect("a valid status");
    Ok(response)
}
