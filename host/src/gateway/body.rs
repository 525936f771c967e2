//! The response body as it leaves: whatever made it, with the log line that is written when it is gone.
//!
//! The line is written by `Drop`, so it comes exactly once: after the last byte, or when the client left, or when
//! the guest broke off, and says which.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::exit::Exit;
use crate::plugin::{CallError, GuestBody};

/// A response body of the gateway.
#[derive(Debug)]
pub struct ResponseBody {
    source: Source,
    exit: Option<Box<Exit>>,
}

#[derive(Debug)]
enum Source {
    Gateway(Full<Bytes>),
    Guest(GuestBody),
}

impl ResponseBody {
    pub(super) fn gateway(body: Bytes) -> Self {
        Self { source: Source::Gateway(Full::new(body)), exit: None }
    }

    pub(super) fn guest(body: GuestBody) -> Self {
        Self { source: Source::Guest(body), exit: None }
    }

    /// Has the body's end written to the log.
    pub(super) fn with_exit(mut self, exit: Option<Box<Exit>>) -> Self {
        self.exit = exit;
        self
    }
}

fn received(source: &Source) -> u64 {
    match source {
        Source::Gateway(_) => 0,
        Source::Guest(body) => body.received(),
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let frame = match &mut self.source {
            Source::Gateway(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Source::Guest(body) => Pin::new(body).poll_frame(cx),
        };
        let (ended, received) = (self.is_end_stream(), received(&self.source));
        if let Some(exit) = &mut self.exit {
            match &frame {
                Poll::Ready(Some(Ok(frame))) => {
                    exit.sent(frame.data_ref().map_or(0, Bytes::len), received);
                    if ended {
                        exit.complete(received);
                    }
                }
                Poll::Ready(Some(Err(error))) => exit.broke_off(error),
                Poll::Ready(None) => exit.complete(received),
                Poll::Pending => {}
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Gateway(body) => body.is_end_stream(),
            Source::Guest(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Gateway(body) => body.size_hint(),
            Source::Guest(body) => body.size_hint(),
        }
    }
}
