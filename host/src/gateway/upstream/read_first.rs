//! A stream that has been read to its end before anybody hears that it cannot be written to.
//!
//! A server that answers early (413, say) and closes resets the connection while the request is still written. Then
//! both is there: an error for whoever writes, and the answer for whoever reads. hyper, which does both, gives up at
//! whichever it meets first, and nearly every second answer would be lost. So a write that fails waits until the other
//! direction has ended, which it has after a reset as soon as what had come was read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See the module header.
#[derive(Debug)]
pub(super) struct ReadFirst<S> {
    stream: S,
    has_ended: bool,
    failed: Option<io::ErrorKind>,
    writer: Option<Waker>,
}

impl<S> ReadFirst<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, has_ended: false, failed: None, writer: None }
    }

    /// Does a write, unless one has failed before, and keeps its failure to itself until there is nothing to read.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        if self.failed.is_none() {
            match ready!(write(Pin::new(&mut self.stream), cx)) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(error) => self.failed = Some(error.kind()),
            }
        }
        match self.failed {
            Some(failed) if self.has_ended => Poll::Ready(Err(failed.into())),
            _ => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadFirst<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if read.is_err() || buf.filled().len() == before {
            self.has_ended = true;
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadFirst<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
