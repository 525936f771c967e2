//! The request body on its way into a guest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error as HttpError;

use crate::plugin::error::CallError;
use crate::plugin::exchange::Exchange;

/// A request body that ends with an error at the limit.
pub(in crate::plugin) struct LimitedRequestBody<B> {
    inner: B,
    remaining: u64,
    exchange: Arc<Exchange>,
}

impl<B> LimitedRequestBody<B> {
    pub(in crate::plugin) fn new(inner: B, limit: u64, exchange: Arc<Exchange>) -> Self {
        Self { inner, remaining: limit, exchange }
    }
}

impl<B> Body for LimitedRequestBody<B>
where
    B: Body<Data = Bytes, Error = CallError> + Unpin,
{
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|fault| {
                tracing::debug!(error = %fault, "reading a request body failed");
                self.exchange.note_request_fault(fault);
                HttpError::ConnectionTerminated
            })?;
            if let Some(data) = frame.data_ref() {
                let length = data.len() as u64;
                self.exchange.add_received(length);
                let Some(remaining) = self.remaining.checked_sub(length) else {
                    self.exchange.note_request_fault(CallError::RequestTooLarge);
                    return Err(HttpError::HttpRequestBodySize(None));
                };
                self.remaining = remaining;
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
