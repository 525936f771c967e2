//! The response body as it leaves: whatever made it, with the log line that is written when it is gone.
//!
//! The line is written by `Drop`, so it comes exactly once: after the last byte, or when the client left, or when
//! the guest broke off, and says which.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};

use super::GatewayError;
use super::contract::{Ahead, Tee};
use super::exit::Exit;
use super::filter::{CompressError, Compressed, Encoder};
use super::forward::Ticket;
use super::upstream::UpstreamBody;
use crate::plugin::{CallError, GuestBody};

/// What is read of a response that nobody wants.
const REST: usize = 64 << 10;

/// A response body of the gateway.
#[derive(Debug)]
pub struct ResponseBody {
    coded: Coded,
    exit: Option<Box<Exit>>,
    ticket: Option<Box<Ticket>>,
}

#[derive(Debug)]
enum Coded {
    Plain(Source),
    Compressed(Box<Compressed<Source>>),
}

#[derive(Debug)]
enum Source {
    Gateway(Full<Bytes>),
    Guest(GuestBody),
    Upstream(Box<UpstreamBody>, Arc<AtomicU64>),
    /// Some of it was read.
    Ahead(Box<Ahead<ResponseBody>>),
    /// A copy of it is kept.
    Teed(Box<(ResponseBody, Tee)>),
}

impl ResponseBody {
    pub(super) fn gateway(body: Bytes) -> Self {
        Self::plain(Source::Gateway(Full::new(body)))
    }

    pub(super) fn guest(body: GuestBody) -> Self {
        Self::plain(Source::Guest(body))
    }

    /// `sent` counts the bytes of the request's body.
    pub(super) fn upstream(body: UpstreamBody, sent: Arc<AtomicU64>) -> Self {
        Self::plain(Source::Upstream(Box::new(body), sent))
    }

    /// A response of which some was read.
    pub(super) fn ahead(body: Ahead<Self>) -> Self {
        Self::plain(Source::Ahead(Box::new(body)))
    }

    /// The same, of which a copy is kept as it goes by.
    pub(super) fn teed(self, tee: Tee) -> Self {
        Self::plain(Source::Teed(Box::new((self, tee))))
    }

    fn plain(source: Source) -> Self {
        Self { coded: Coded::Plain(source), exit: None, ticket: None }
    }

    /// Keeps the ticket of the try that this is the response of to its end.
    pub(super) fn holding(mut self, ticket: Ticket) -> Self {
        self.ticket = Some(Box::new(ticket));
        self
    }

    /// Reads what is left of a response that nobody wants, if it is not much: the connection of one that was read to
    /// its end can be used again.
    pub(super) async fn read_rest(mut self) {
        let mut left = REST;
        while let Some(Ok(frame)) = self.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    }

    /// Compresses what comes, if there is an encoder.
    pub(super) fn compressed(self, encoder: Option<Encoder>) -> Self {
        let coded = match (self.coded, encoder) {
            (Coded::Plain(source), Some(encoder)) => {
                Coded::Compressed(Box::new(Compressed::new(source, Some(encoder))))
            }
            (coded, _) => coded,
        };
        Self { coded, ..self }
    }

    /// Has the body's end written to the log.
    pub(super) fn with_exit(mut self, exit: Option<Box<Exit>>) -> Self {
        self.exit = exit;
        self
    }
}

impl Coded {
    /// Bytes of the request's body that were read.
    fn received(&self) -> u64 {
        let source = match self {
            Self::Plain(source) => source,
            Self::Compressed(body) => body.inner(),
        };
        match source {
            Source::Gateway(_) => 0,
            Source::Guest(body) => body.received(),
            Source::Upstream(_, sent) => sent.load(Ordering::Relaxed),
            Source::Ahead(body) => body.rest().coded.received(),
            Source::Teed(teed) => teed.0.coded.received(),
        }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = GatewayError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GatewayError>>> {
        match &mut *self {
            Self::Gateway(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Guest(body) => Pin::new(body).poll_frame(cx).map_err(GatewayError::from),
            Self::Upstream(body, _) => Pin::new(&mut **body).poll_frame(cx).map_err(GatewayError::from),
            Self::Ahead(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Teed(teed) => {
                let (body, tee) = &mut **teed;
                let frame = Pin::new(body).poll_frame(cx);
                match &frame {
                    Poll::Ready(Some(Ok(frame))) => tee.passes(frame),
                    Poll::Ready(None) => tee.complete(),
                    Poll::Ready(Some(Err(_))) | Poll::Pending => {}
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Gateway(body) => body.is_end_stream(),
            Self::Guest(body) => body.is_end_stream(),
            Self::Upstream(body, _) => body.is_end_stream(),
            Self::Ahead(body) => body.is_end_stream(),
            Self::Teed(teed) => teed.0.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Gateway(body) => body.size_hint(),
            Self::Guest(body) => body.size_hint(),
            Self::Upstream(body, _) => body.size_hint(),
            Self::Ahead(body) => body.size_hint(),
            Self::Teed(teed) => teed.0.size_hint(),
        }
    }
}

/// What a failed encoder means is that the rest of the response is lost.
fn broken(error: CompressError<GatewayError>) -> GatewayError {
    match error {
        CompressError::Body(error) => error,
        CompressError::Encoder(error) => {
            CallError::InvalidResponse(format!("it could not be compressed: {error}")).into()
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = GatewayError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GatewayError>>> {
        let frame = match &mut self.coded {
            Coded::Plain(body) => Pin::new(body).poll_frame(cx),
            Coded::Compressed(body) => Pin::new(&mut **body).poll_frame(cx).map_err(broken),
        };
        if let Poll::Ready(Some(Err(error))) = &frame
            && let Some(ticket) = self.ticket.take()
        {
            ticket.broke_off(error.is_of_callee());
        }
        let (ended, received) = (self.is_end_stream(), self.coded.received());
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
        match &self.coded {
            Coded::Plain(body) => body.is_end_stream(),
            Coded::Compressed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.coded {
            Coded::Plain(body) => body.size_hint(),
            Coded::Compressed(body) => body.size_hint(),
        }
    }
}
