//! A request on its way out: its head, framed anew, and its body, watched.
//!
//! Nothing of the client's framing is copied. How long the body is, is said by the body; `Content-Length` and
//! `Transfer-Encoding` are written by what it says. `Host` is the client's, as Envoy and the Gateway API have it: the
//! service sees the name it was asked by, and a rewrite changes it. `Expect` ends here, for our own server has met
//! that expectation by the time the body is asked for.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Instant;

use super::connect::Origin;
use crate::gateway::headers;
use crate::plugin::CallError;

/// A request's body, and what becomes of it.
pub(super) struct Outgoing {
    body: Option<UnsyncBoxBody<Bytes, CallError>>,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
    sending: Arc<Sending>,
}

/// What is known of a body while it is sent.
#[derive(Debug)]
pub(super) struct Sending {
    is_done: AtomicBool,
    is_stopped: AtomicBool,
    stopped: AtomicWaker,
    fault: OnceLock<CallError>,
    moved: Mutex<Instant>,
}

/// Where a request goes, and by which name.
pub(super) struct Address {
    path: PathAndQuery,
    authority: Authority,
    scheme: Scheme,
}

impl Outgoing {
    pub(super) fn new<B>(headers: &HeaderMap, body: B) -> (Self, Arc<Sending>)
    where
        B: Body<Data = Bytes, Error = CallError> + Send + 'static,
    {
        let sending = Arc::new(Sending {
            is_done: AtomicBool::new(body.is_end_stream()),
            is_stopped: AtomicBool::new(false),
            stopped: AtomicWaker::new(),
            fault: OnceLock::new(),
            moved: Mutex::new(Instant::now()),
        });
        // Over HTTP/1.1 trailers follow chunks only.
        let left = body.size_hint().exact().filter(|_| !headers.contains_key(TRAILER));
        let body = (!body.is_end_stream()).then(|| body.boxed_unsync());
        (Self { body, left, sending: Arc::clone(&sending) }, sending)
    }
}

impl Sending {
    /// Whether all of the body was taken.
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Acquire)
    }

    /// Nobody needs the rest of the body: lets go of it.
    pub(super) fn stop(&self) {
        if !self.is_done() {
            self.is_stopped.store(true, Ordering::Release);
            self.stopped.wake();
        }
    }

    /// Why the body could not be read to its end.
    pub(super) fn fault(&self) -> Option<CallError> {
        self.fault.get().cloned()
    }

    /// When a piece was taken last.
    pub(super) fn moved(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self) {
        self.is_done.store(true, Ordering::Release);
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let Self { body: place, left, sending } = &mut *self;
        sending.stopped.register(cx.waker());
        if sending.is_stopped.load(Ordering::Acquire) {
            *place = None;
            let why = "nobody needs the rest of it".to_owned();
            return Poll::Ready(Some(Err(CallError::RequestBroken(why))));
        }
        let Some(body) = place else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
        *sending.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match &frame {
            None => {
                sending.done();
                *place = None;
            }
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                *left = left.map(|left| left.saturating_sub(length));
                if frame.is_trailers() || *left == Some(0) || body.is_end_stream() {
                    sending.done();
                }
            }
            Some(Err(fault)) => {
                // The first is the cause of a second.
                let _ = sending.fault.set(fault.clone());
                *place = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Address {
    /// The address that a request has at an origin, below `base`.
    pub(super) fn new(uri: &Uri, headers: &HeaderMap, origin: &Origin, base: &str) -> Result<Self, CallError> {
        let invalid = |what: &str| CallError::RequestBroken(format!("its {what} is not valid"));
        let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = match (base, asked) {
            ("", asked) => asked.to_owned(),
            (base, "*") => base.to_owned(),
            (base, asked) => format!("{base}{asked}"),
        };
        let authority = match headers.get(HOST) {
            Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| invalid("host"))?,
            None => origin.authority().parse().map_err(|_| invalid("host"))?,
        };
        let scheme = if origin.secure { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self { path: path.parse().map_err(|_| invalid("path"))?, authority, scheme })
    }

    /// Takes out of a head what is not for the next hop.
    pub(super) fn clean(headers: &mut HeaderMap) {
        headers::strip_request(headers);
        headers.remove(EXPECT);
        headers.remove(CONTENT_LENGTH);
    }

    /// Gives a request the form it has in HTTP/1.1, whichever it had before.
    pub(super) fn for_http1(&self, request: &mut Request<Outgoing>) -> Result<(), CallError> {
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = Uri::from(self.path.clone());
        let length = request.body().size_hint().exact();
        let is_empty = request.body().is_end_stream();
        let expects_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(self.authority.as_str());
        headers.insert(HOST, host.map_err(|_| CallError::RequestBroken("its host is not valid".to_owned()))?);
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        match length {
            _ if is_empty && expects_body => _ = headers.insert(CONTENT_LENGTH, HeaderValue::from(0)),
            _ if is_empty => {}
            Some(length) => _ = headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
            None => _ = headers.insert(TRANSFER_ENCODING, const { HeaderValue::from_static("chunked") }),
        }
        if headers.contains_key(TE) && !headers.contains_key(CONNECTION) {
            // RFC 9110 §10.1.4: it is for the next hop only, and has to say so.
            headers.insert(CONNECTION, const { HeaderValue::from_static("te") });
        }
        Ok(())
    }

    /// Gives a request the form it has in HTTP/2, whichever it had before.
    pub(super) fn for_http2(&self, request: &mut Request<Outgoing>) -> Result<(), CallError> {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        let uri = uri.path_and_query(self.path.clone()).build();
        *request.uri_mut() = uri.map_err(|_| CallError::RequestBroken("its address is not valid".to_owned()))?;
        *request.version_mut() = Version::HTTP_2;
        for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            request.headers_mut().remove(name);
        }
        Ok(())
    }
}
