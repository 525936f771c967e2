//! A request's body that can be sent more than once.
//!
//! ```text
//! Replay::new(body) ─ next() ─→ ReplayBody of the first try ─ dropped ─┐
//!        └── next() ─→ ReplayBody of the second try: what was kept, then the rest of the original
//! ```
//!
//! A try's body passes on what comes and keeps a copy of it, up to a bound. When it is dropped, what was kept and the
//! rest of the original go back to the [`Replay`], which can make the next try's body of them. Only one of them has the
//! original at a time, so a next one cannot be asked for while a try still reads: there is none then. No lock is taken
//! for a frame, only when a try begins and ends.
//!
//! What passed the bound is passed on but not kept, and from then on there is no next try. A body known to be larger is
//! not kept at all, and can still be sent again as long as nothing of it was read. Copies are made and not references
//! kept: a frame of one byte may hold a whole buffer of the connection. When the [`Replay`] is dropped, because the
//! response is on its way, nothing more is kept.
//!
//! A client that stops or breaks off is the same error for every try, after what had come.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::plugin::CallError;

/// The body of all tries of a request.
#[derive(Debug)]
pub(super) struct Replay<B>(Arc<Place<B>>);

#[derive(Debug)]
struct Place<B> {
    /// The body, while no try has it.
    original: Mutex<Option<Original<B>>>,
    /// Something came that was not kept.
    lost: AtomicBool,
}

/// The body of one try.
#[derive(Debug)]
pub(super) struct ReplayBody<B> {
    /// There until it is dropped.
    original: Option<Original<B>>,
    /// What this try has yet to send of what was kept.
    again: Bytes,
    /// Whether it has sent the trailers that were kept.
    sent_trailers: bool,
    home: Weak<Place<B>>,
}

/// The body as it comes, and what has come.
#[derive(Debug)]
struct Original<B> {
    rest: B,
    end: Option<End>,
    kept: BytesMut,
    trailers: Option<HeaderMap>,
    /// Bytes that may be kept.
    bound: usize,
}

/// How the original ended.
#[derive(Debug, Clone)]
enum End {
    Complete,
    Failed(CallError),
}

impl<B> Replay<B>
where
    B: Body<Data = Bytes, Error = CallError> + Unpin,
{
    /// A body of which at most so many bytes are kept.
    pub(super) fn new(body: B, bound: usize) -> Self {
        let known_too_large = body.size_hint().lower() > bound as u64;
        let bound = if known_too_large { 0 } else { bound };
        let original = Original { rest: body, end: None, kept: BytesMut::new(), trailers: None, bound };
        Self(Arc::new(Place { original: Mutex::new(Some(original)), lost: AtomicBool::new(false) }))
    }

    /// The body for the next try. None while the one before is not dropped, and when [`Self::can_replay`] says no.
    pub(super) fn next(&self) -> Option<ReplayBody<B>> {
        if !self.can_replay() {
            return None;
        }
        let original = self.0.original.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let again = Bytes::copy_from_slice(&original.kept);
        let sent_trailers = original.trailers.is_none();
        Some(ReplayBody { original: Some(original), again, sent_trailers, home: Arc::downgrade(&self.0) })
    }

    /// Whether all that was sent is kept, so that it can be sent again once the try that has it is dropped.
    pub(super) fn can_replay(&self) -> bool {
        !self.0.lost.load(Ordering::Acquire)
    }
}

impl<B> Original<B>
where
    B: Body<Data = Bytes, Error = CallError> + Unpin,
{
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        home: &Weak<Place<B>>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match &self.end {
            Some(End::Complete) => return Poll::Ready(None),
            Some(End::Failed(error)) => return Poll::Ready(Some(Err(error.clone()))),
            None => {}
        }
        let frame = std::task::ready!(Pin::new(&mut self.rest).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.keep(frame, home),
            Some(Err(error)) => self.end = Some(End::Failed(error.clone())),
            None => self.end = Some(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn keep(&mut self, frame: &Frame<Bytes>, home: &Weak<Place<B>>) {
        let data = frame.data_ref().map_or(0, Bytes::len);
        let trailers = frame.trailers_ref();
        let lines = trailers.into_iter().flatten().map(|(name, value)| name.as_str().len() + value.len());
        let size = data + lines.sum::<usize>();
        if size == 0 {
            return;
        }
        let home = home.upgrade().filter(|home| !home.lost.load(Ordering::Relaxed));
        let Some(home) = home else {
            self.kept = BytesMut::new();
            return;
        };
        if self.kept.len() + size > self.bound {
            home.lost.store(true, Ordering::Release);
            self.kept = BytesMut::new();
            return;
        }
        if let Some(data) = frame.data_ref() {
            self.kept.extend_from_slice(data);
        }
        self.trailers = trailers.cloned();
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes, Error = CallError> + Unpin,
{
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let Self { original, again, sent_trailers, home } = &mut *self;
        let Some(original) = original else { return Poll::Ready(None) };
        if !again.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(again)))));
        }
        if !*sent_trailers {
            *sent_trailers = true;
            if let Some(trailers) = original.trailers.clone() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        original.poll_rest(cx, home)
    }

    fn is_end_stream(&self) -> bool {
        let Some(original) = &self.original else { return true };
        let rest = match &original.end {
            Some(End::Complete) => true,
            Some(End::Failed(_)) => false,
            None => original.rest.is_end_stream(),
        };
        self.again.is_empty() && self.sent_trailers && rest
    }

    fn size_hint(&self) -> SizeHint {
        let again = self.again.len() as u64;
        let rest = match &self.original {
            None => SizeHint::with_exact(0),
            Some(Original { end: Some(End::Complete), .. }) => SizeHint::with_exact(0),
            // Nobody knows what it would have been.
            Some(Original { end: Some(End::Failed(_)), .. }) => SizeHint::new(),
            Some(Original { end: None, rest, .. }) => rest.size_hint(),
        };
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(again)) {
            hint.set_upper(upper);
        }
        hint.set_lower(rest.lower().saturating_add(again));
        hint
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            *home.original.lock().unwrap_or_else(PoisonError::into_inner) = self.original.take();
        }
    }
}

#[cfg(test)]
mod tests;
