//! The body of a call on its way from one guest to another.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::WasiBody;

use crate::gateway::headers::sanitize_trailers;
use crate::plugin::CallError;

/// A request body that a guest writes. The callee reads it as it is written; nothing is kept between them but the few
/// pieces that the caller's stream holds.
pub(super) struct CallBody(WasiBody);

impl CallBody {
    pub(super) fn new(body: WasiBody) -> Self {
        Self(body)
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        Pin::new(&mut self.0).poll_frame(cx).map(|frame| {
            frame.map(|frame| {
                let mut frame = frame.map_err(|error| CallError::RequestBroken(error.to_string()))?;
                if let Some(trailers) = frame.trailers_mut() {
                    sanitize_trailers(trailers);
                }
                Ok(frame)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
