//! A stream that speaks HTTP/1, with its clocks: first byte, head, idle, and a client that does not read.
//!
//! Which clock runs is decided when there is nothing to read: none while a request is being answered or its body is
//! coming (that has clocks of its own), else the head's if a part of one is there, else the idle one. An idle
//! connection ends as if the client had closed it, any other with an error.
//!
//! hyper does not look again for something to read when a response is complete, if there was nothing before. So the
//! timer also runs while no clock does, to see every now and then whether one should.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Timer;
use super::head::{HeadFlaw, Inspector, Place};
use super::preface::Early;
use super::stall::WriteStall;
use super::tunnel::{Cut, Tunnel};
use crate::server::limits::Limits;

const UNSEEN: HeadFlaw = HeadFlaw::bad("it is not clear where the request begins");

/// What the stream and the service of one connection know together. Requests are numbered from 1.
#[derive(Debug, Default)]
pub(in crate::server) struct Requests {
    heads: AtomicU64,
    begun: AtomicU64,
    answered: AtomicU64,
    flaw: OnceLock<(u64, HeadFlaw)>,
    /// What becomes of the connection when it changes to another protocol.
    pub(in crate::server) tunnel: Tunnel,
}

impl Requests {
    /// The next request, in the order of the connection: its number, and what is wrong with it.
    pub(in crate::server) fn begin(&self) -> (u64, Option<HeadFlaw>) {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let flaw = match self.flaw.get() {
            Some((flawed, flaw)) if *flawed <= number => Some(*flaw),
            _ if self.heads.load(Ordering::Relaxed) < number => Some(UNSEEN),
            _ => None,
        };
        (number, flaw)
    }

    /// Counts a request whose response was taken to its end, or given up.
    pub(in crate::server) fn end(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn outstanding(&self) -> bool {
        self.heads.load(Ordering::Relaxed) > self.answered.load(Ordering::Relaxed)
    }
}

/// See the module header.
#[derive(Debug)]
pub(in crate::server) struct Http1Io<S> {
    stream: S,
    early: Early,
    inspector: Inspector,
    requests: Arc<Requests>,
    limits: Limits,
    /// When something was read or written last.
    active: Instant,
    /// What is waited for, and since when.
    waiting: Option<(Wait, Instant)>,
    /// When to see again whether something is waited for.
    look: Option<Instant>,
    timer: Timer,
    stall: WriteStall,
    cut: Cut,
}

/// What the client is to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    FirstByte,
    Head,
    Request,
}

impl<S> Http1Io<S> {
    pub(in crate::server) fn new(stream: S, early: Early, requests: Arc<Requests>, limits: Limits) -> Self {
        let waiting = match early.began {
            Some(began) => (Wait::Head, began),
            None => (Wait::FirstByte, early.opened),
        };
        Self {
            stream,
            early,
            inspector: Inspector::new(limits.max_headers, limits.head_bytes),
            requests,
            active: Instant::now(),
            waiting: Some(waiting),
            look: None,
            timer: Timer::default(),
            stall: WriteStall::new(limits.write_timeout),
            cut: Cut::default(),
            limits,
        }
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.active = Instant::now();
        let flaw = self.inspector.feed(bytes);
        let heads = self.inspector.heads();
        if let Some(flaw) = flaw {
            // There is one at most: nothing is looked at after it.
            let _ = self.requests.flaw.set((heads, flaw));
        }
        self.requests.heads.store(heads, Ordering::Relaxed);
        self.wait();
    }

    /// Starts the clock that should run, if another one does.
    fn wait(&mut self) {
        let wait = if self.requests.outstanding() {
            None
        } else {
            match self.inspector.place() {
                Place::Head | Place::Stopped => Some(Wait::Head),
                Place::Between if self.inspector.heads() == 0 && self.early.began.is_none() => Some(Wait::FirstByte),
                Place::Between | Place::Body => Some(Wait::Request),
            }
        };
        if wait != self.waiting.map(|(wait, _)| wait) {
            self.waiting = wait.map(|wait| (wait, self.active));
        }
    }

    /// Whether the client let us wait too long, and for what.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Option<Wait> {
        self.wait();
        let Some((wait, since)) = self.waiting else {
            let now = Instant::now();
            let soon = now + self.limits.head_timeout.min(self.limits.idle_timeout);
            let look = self.look.filter(|look| *look > now).unwrap_or(soon);
            self.look = Some(look);
            self.timer.is_over(look, cx);
            return None;
        };
        let limit = match wait {
            Wait::FirstByte => self.limits.first_byte_timeout,
            Wait::Head => self.limits.head_timeout,
            Wait::Request => self.limits.idle_timeout,
        };
        self.timer.is_over(since + limit, cx).then_some(wait)
    }

    /// A client that still takes a response is not idle.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.active = Instant::now();
            if let Some((Wait::Request, since)) = &mut self.waiting {
                *since = self.active;
            }
        }
        self.stall.check(cx, written)
    }
}

impl<S> Drop for Http1Io<S> {
    fn drop(&mut self) {
        self.requests.tunnel.end();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http1Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let early = this.early.take(buf.remaining());
        let read = if early.is_empty() {
            Pin::new(&mut this.stream).poll_read(cx, buf)
        } else {
            buf.put_slice(early);
            Poll::Ready(Ok(()))
        };
        if this.requests.tunnel.is_open() {
            return if read.is_ready() { read } else { this.cut.poll(&this.requests.tunnel, cx) };
        }
        match read {
            Poll::Ready(Ok(())) => {
                this.saw(buf.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match this.overdue(cx) {
                None => Poll::Pending,
                Some(Wait::Head) => {
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not finish a request")))
                }
                Some(Wait::FirstByte | Wait::Request) => Poll::Ready(Ok(())),
            },
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http1Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.stall.check(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.stall.check(cx, shut)
    }
}
