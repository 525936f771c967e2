//! A response's body, with what its connection wants to know of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::io::Requests;
use super::streams::Handed;

/// Counts a request over HTTP/1 as answered when it is dropped.
pub(super) struct Answering(pub(super) Arc<Requests>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.end();
    }
}

pin_project! {
    /// See the module header.
    pub(super) struct Tracked<B> {
        #[pin]
        body: B,
        // HTTP/2: who holds the response up.
        handed: Option<Arc<Handed>>,
        // HTTP/1: whether the response is there.
        answering: Option<Answering>,
    }
}

impl<B> Tracked<B> {
    pub(super) fn http1(body: B, answering: Answering) -> Self {
        Self { body, handed: None, answering: Some(answering) }
    }

    pub(super) fn http2(body: B, handed: Option<Arc<Handed>>) -> Self {
        Self { body, handed, answering: None }
    }
}

impl<B: Body> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(cx);
        if let Some(handed) = this.handed {
            handed.note(&frame);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
