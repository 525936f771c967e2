//! Connections that speak HTTP, and the right to use one for one request.
//!
//! A [`Lease`] is that right. Over HTTP/1.1 it is the connection itself: it goes back to the pool only when both bodies
//! have come to their ends, and whatever else becomes of the lease closes the connection. So a server that answers
//! before it has read the request never gets a second request behind the rest of the first, which it might take for a
//! request (request smuggling). Over HTTP/2 it is one stream of many; h2 resets what is given up.
//!
//! A connection over HTTP/1.1 is driven by whoever has it, as long as a request has no body: the request is written, and
//! the response read, in the task that waits for it. A task of its own costs two changes of tasks for each request,
//! a quarter of what passing a small one on takes. It gets one when both bodies have to move at once, since a client
//! that does not read its response must not stop its own request.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::connect::Stream;
use super::error::{NotDelivered, with_causes};
use super::outgoing::Outgoing;
use super::pool::{Pool, Target};
use super::read_first::ReadFirst;

/// Bytes of a response's head, as for requests.
const HEAD_BYTES: usize = 64 << 10;
/// HTTP/2: bytes of one response that may be on their way unread.
const STREAM_WINDOW: u32 = 256 << 10;
/// HTTP/2: the same of a connection. As many readers as fit into it may stop without stopping others.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// HTTP/2: bytes of a request that wait in h2 for room.
const SEND_BUFFER: usize = 64 << 10;
/// HTTP/2: requests at once on one connection before there is a second.
const STREAMS: usize = 100;
/// HTTP/2: a server that says nothing while requests run is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection over HTTP/1.1 may take to be ready again after a response.
const SETTLE: Duration = Duration::from_secs(1);

/// A connection over HTTP/1.1. Closed when it is dropped.
pub(super) struct Http1 {
    sender: http1::SendRequest<Outgoing>,
    driver: Driver,
}

/// Who reads from and writes to a connection.
enum Driver {
    /// Whoever has it; nobody while it waits.
    Borrower(Pin<Box<dyn Future<Output = ()> + Send>>),
    Task {
        _task: AbortOnDropHandle<()>,
    },
    /// It has ended.
    Over,
}

/// A connection over HTTP/2, shared by its requests. Closed when nobody has it.
pub(super) struct Http2 {
    sender: http2::SendRequest<Outgoing>,
    streams: AtomicUsize,
    /// Until when it is kept without requests.
    kept: Mutex<Instant>,
    /// Its place among the connections that there may be.
    _place: OwnedSemaphorePermit,
    _task: AbortOnDropHandle<()>,
}

/// The right to send one request.
pub(super) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

pub(super) struct Http1Lease {
    pub(super) connection: Http1,
    pub(super) place: OwnedSemaphorePermit,
    pub(super) target: Arc<Target>,
    pub(super) pool: Weak<Pool>,
}

/// One of the requests of a connection.
pub(super) struct Http2Lease {
    connection: Arc<Http2>,
    idle: Duration,
}

impl Driver {
    /// Reads and writes what can be, unless somebody else does.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::Borrower(connection) = self
            && connection.as_mut().poll(cx).is_ready()
        {
            *self = Self::Over;
        }
    }
}

impl Http1 {
    pub(super) async fn new(stream: Stream) -> Result<Self, NotDelivered> {
        match stream {
            Stream::Plain(stream) => Self::over(stream).await,
            Stream::Tls(stream) => Self::over(stream).await,
        }
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Result<Self, NotDelivered> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES).max_header_size(HEAD_BYTES);
        let (sender, connection) = builder
            .handshake(TokioIo::new(ReadFirst::new(stream)))
            .await
            .map_err(|e| NotDelivered::Connect(with_causes(&e)))?;
        let driver = Driver::Borrower(Box::pin(async move {
            // Those whose request it was are told.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(error = %with_causes(&error), "a connection to a server ended");
            }
        }));
        Ok(Self { sender, driver })
    }

    /// Whether a request can be sent, as far as anybody knows.
    pub(super) fn is_ready(&mut self) -> bool {
        // The server may have closed it while nobody looked.
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Has it driven by a task of its own from now on.
    fn detach(&mut self) {
        self.driver = match std::mem::replace(&mut self.driver, Driver::Over) {
            Driver::Borrower(connection) => Driver::Task { _task: AbortOnDropHandle::new(tokio::spawn(connection)) },
            other @ (Driver::Task { .. } | Driver::Over) => other,
        };
    }

    async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                return Poll::Ready(answered);
            }
            self.driver.poll(cx);
            answer.as_mut().poll(cx)
        })
        .await
    }
}

impl Http2 {
    pub(super) async fn new(stream: Stream, place: OwnedSemaphorePermit, idle: Duration) -> Result<Self, NotDelivered> {
        match stream {
            Stream::Plain(stream) => Self::over(stream, place, idle).await,
            Stream::Tls(stream) => Self::over(stream, place, idle).await,
        }
    }

    async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
        place: OwnedSemaphorePermit,
        idle: Duration,
    ) -> Result<Self, NotDelivered> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES as u32)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|e| NotDelivered::Connect(with_causes(&e)))?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %with_causes(&error), "a connection to a server ended");
            }
        });
        Ok(Self {
            sender,
            streams: AtomicUsize::new(0),
            kept: Mutex::new(Instant::now() + idle),
            _place: place,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// A stream for one request, if the connection lives and has room.
    pub(super) fn lease(self: &Arc<Self>, idle: Duration) -> Option<Http2Lease> {
        let room = |streams: usize| (streams < STREAMS).then_some(streams + 1);
        if self.sender.is_closed() || self.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
            return None;
        }
        Some(Http2Lease { connection: Arc::clone(self), idle })
    }

    /// Whether no request runs on it.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Acquire) == 0
    }

    /// Whether it is of no use any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let kept = *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.sender.is_closed() || (self.is_idle() && kept <= now)
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        *self.connection.kept.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + self.idle;
        self.connection.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Lease {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Sends the request. An error that has the request in it says that nothing of it was written. `is_upgrade` says that
    /// the connection may become something else than HTTP.
    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
        is_upgrade: bool,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match self {
            Self::Http1(lease) => {
                if is_upgrade || !request.body().is_end_stream() {
                    lease.connection.detach();
                }
                lease.connection.send(request).await
            }
            Self::Http2(lease) => lease.connection.sender.clone().try_send_request(request).await,
        }
    }

    /// Lets the response move on, if that is the borrower's to do: false if it is not.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Http1(lease) => {
                let is_ours = matches!(lease.connection.driver, Driver::Borrower(_));
                lease.connection.driver.poll(cx);
                is_ours
            }
            Self::Http2(_) => false,
        }
    }

    /// Both bodies came to their ends: others may use the connection, and it may wait for them so long.
    pub(super) fn give_back(self, idle: Duration) {
        let Self::Http1(mut lease) = self else { return };
        if lease.connection.is_ready() {
            return lease.put(idle);
        }
        if lease.connection.sender.is_closed() {
            return;
        }
        // hyper has yet to see that the exchange is over.
        lease.connection.detach();
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SETTLE, lease.connection.sender.ready()).await {
                lease.put(idle);
            }
        });
    }
}

impl Http1Lease {
    fn put(self, idle: Duration) {
        if let Some(pool) = self.pool.upgrade() {
            pool.put(self.target, self.connection, idle);
        }
        // Only now: whoever gets the place must find the connection.
        drop(self.place);
    }
}
