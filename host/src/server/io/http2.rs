//! A stream that speaks HTTP/2, with its clocks (handshake, head, a client that does not read) and its counts of frames.
//!
//! The handshake is the preface and the client's first SETTINGS. A head's clock runs while a frame other than DATA, or
//! a block of headers, is there in part. What has no clock here has one elsewhere: idle connections and quiet responses
//! where streams are known, request bodies where they are read, a client that is gone by hyper's PINGs.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Timer;
use super::flood::Allowance;
use super::frames::{Frames, Kind, Passed};
use super::preface::{Early, PREFACE};
use super::stall::WriteStall;
use crate::server::limits::Limits;

/// The streams whose response has not left, as the frames that pass tell.
#[derive(Debug)]
pub(in crate::server) struct OpenStreams(Mutex<Responses>);

#[derive(Debug)]
struct Responses {
    /// When each was opened, or moved last. h2 refuses more than it was told to take, which ends them here too.
    open: HashMap<u32, Instant>,
    newest: u32,
    moved: Instant,
}

impl Default for OpenStreams {
    fn default() -> Self {
        Self(Mutex::new(Responses { open: HashMap::new(), newest: 0, moved: Instant::now() }))
    }
}

impl OpenStreams {
    /// How many there are.
    pub(in crate::server) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// How many have not moved for so long.
    pub(in crate::server) fn still_for(&self, time: Duration) -> usize {
        let now = Instant::now();
        self.lock().open.values().filter(|moved| now.duration_since(**moved) >= time).count()
    }

    /// When the last data of any of them left.
    pub(in crate::server) fn moved(&self) -> Instant {
        self.lock().moved
    }

    fn received(&self, passed: Passed) {
        if let Passed::Header(frame) = passed {
            match frame.kind {
                Kind::Headers => {
                    let mut responses = self.lock();
                    if frame.stream > responses.newest {
                        responses.newest = frame.stream;
                        responses.open.insert(frame.stream, Instant::now());
                    }
                }
                Kind::Reset => drop(self.lock().open.remove(&frame.stream)),
                Kind::Data | Kind::Settings | Kind::Continuation | Kind::Other => {}
            }
        }
    }

    fn sent(&self, passed: Passed) {
        if let Passed::Header(frame) = passed
            && matches!(frame.kind, Kind::Data | Kind::Headers | Kind::Reset)
        {
            let mut responses = self.lock();
            let now = Instant::now();
            responses.moved = now;
            if frame.ends_stream() {
                responses.open.remove(&frame.stream);
            } else if let Some(moved) = responses.open.get_mut(&frame.stream) {
                *moved = now;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Responses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module header.
#[derive(Debug)]
pub(in crate::server) struct Http2Io<S> {
    stream: S,
    early: Early,
    received: Frames,
    sent: Frames,
    open: Arc<OpenStreams>,
    allowance: Allowance,
    /// Whether the client's SETTINGS are there.
    settled: bool,
    in_headers: bool,
    /// Since when the head of something is there in part.
    head: Option<Instant>,
    limits: Limits,
    timer: Timer,
    stall: WriteStall,
}

impl<S> Http2Io<S> {
    pub(in crate::server) fn new(stream: S, early: Early, open: Arc<OpenStreams>, limits: Limits) -> Self {
        Self {
            stream,
            head: early.began,
            early,
            received: Frames::after(PREFACE.len()),
            sent: Frames::after(0),
            open,
            allowance: Allowance::new(limits.http2.max_control_frames),
            settled: false,
            in_headers: false,
            timer: Timer::default(),
            stall: WriteStall::new(limits.write_timeout),
            limits,
        }
    }

    /// Looks at what the client sent.
    ///
    /// # Errors
    /// When it floods us.
    fn saw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { received, open, allowance, settled, in_headers, .. } = self;
        let mut allowed = true;
        received.feed(bytes, |passed| {
            open.received(passed);
            match passed {
                Passed::Header(frame) => allowed &= allowance.received(&frame),
                Passed::Whole(frame) => {
                    *settled |= frame.kind == Kind::Settings;
                    *in_headers = frame.headers_go_on();
                }
            }
        });
        if !self.settled || self.in_headers || self.received.is_within_head() {
            self.head.get_or_insert_with(Instant::now);
        } else {
            self.head = None;
        }
        if !allowed {
            return Err(io::Error::other("the client sends too many frames that are of no use"));
        }
        Ok(())
    }

    fn overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = match self.head {
            Some(since) => since + self.limits.head_timeout,
            None if self.settled => return false,
            None => self.early.opened + self.limits.first_byte_timeout,
        };
        self.timer.is_over(deadline, cx)
    }

    /// Looks at what of these pieces was written.
    fn wrote<'a>(&mut self, written: &Poll<io::Result<usize>>, pieces: impl Iterator<Item = &'a [u8]>) {
        let Poll::Ready(Ok(mut left)) = *written else { return };
        let Self { sent, open, allowance, .. } = self;
        for piece in pieces {
            let these = piece.get(..left).unwrap_or(piece);
            left -= these.len();
            sent.feed(these, |passed| {
                open.sent(passed);
                if let Passed::Header(frame) = passed {
                    allowance.sent(&frame);
                }
            });
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http2Io<S> {
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
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(this.saw(buf.filled().get(before..).unwrap_or_default())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if this.overdue(cx) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not finish what it began")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(&written, std::iter::once(bytes));
        this.stall.check(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(&written, slices.iter().map(|slice| &**slice));
        this.stall.check(cx, written)
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
