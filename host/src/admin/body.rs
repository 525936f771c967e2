//! Bodies of requests to the admin API: small, quick, and JSON.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::problem::{Problem, Wrong};

/// A registration with everything it may have takes some 12 KiB.
const MAX_BODY: usize = 64 << 10;
/// So much of a body that is too large is read for nothing, so that the client gets to see the answer.
const MAX_DISCARDED: usize = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a body is declared to be JSON. A web page cannot declare that without asking first (CORS), and is not let.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The JSON object in a body; an empty body is an empty one.
pub(super) async fn read_object<B>(request: Request<B>) -> Result<Map<String, Value>, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    read_object_of(request, MAX_BODY).await
}

/// The same for a body of up to so many bytes.
pub(super) async fn read_object_of<B>(request: Request<B>, max: usize) -> Result<Map<String, Value>, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if !is_json(request.headers()) {
        return Err(Problem::NotJson);
    }
    let read = tokio::time::timeout(TIMEOUT, read(request.into_body(), max));
    let bytes = read.await.map_err(|_elapsed| Problem::TooSlow)??;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(invalid("it is no object: begin with `{`".to_owned())),
        Err(error) => Err(invalid(format!("it is not valid JSON: {error}"))),
    }
}

async fn read<B>(body: B, max: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(Limited::new(body, MAX_DISCARDED));
    let (mut kept, mut received) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if error.is::<LengthLimitError>() => break,
            Err(_) => return Err(Problem::BrokenOff),
        };
        let Ok(data) = frame.into_data() else { continue };
        received += data.len();
        if received <= max {
            kept.extend_from_slice(&data);
        }
    }
    if received > max { Err(Problem::TooLarge(max >> 10)) } else { Ok(kept.into()) }
}

fn invalid(message: String) -> Problem {
    Problem::Invalid(vec![Wrong::new("body", message)])
}
