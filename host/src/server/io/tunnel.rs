//! A connection that has changed to another protocol.
//!
//! Its bytes are no requests any more, so nothing looks at them and no clock of requests runs: whoever copies them has
//! clocks. A client that does not take what is written to it is still cut off. The connection counts as one, for
//! bounds and for a drain, until its stream is dropped; when a drain cuts it, both ends see an error.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// An extension of a 101 response that is meant: the connection changes to another protocol with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switching;

/// What stream and service of a connection know about its change.
#[derive(Debug, Default)]
pub(in crate::server) struct Tunnel {
    is_open: AtomicBool,
    ended: CancellationToken,
    cut: CancellationToken,
}

/// Ends the tunnel when it is polled after a cut.
#[derive(Debug, Default)]
pub(super) struct Cut(Option<Pin<Box<WaitForCancellationFutureOwned>>>);

impl Tunnel {
    /// From now on the bytes are somebody else's.
    pub(in crate::server) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// The stream is gone.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Resolves when the stream is gone; at once if there is no tunnel.
    pub(in crate::server) async fn ended(&self) {
        if self.is_open() {
            self.ended.cancelled().await;
        }
    }

    /// Cuts the tunnel when it is dropped.
    pub(in crate::server) fn cut_on_drop(&self) -> DropGuard {
        self.cut.clone().drop_guard()
    }
}

impl Cut {
    /// An error once the tunnel is cut; the task is woken then.
    pub(super) fn poll<T>(&mut self, tunnel: &Tunnel, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let cut = self.0.get_or_insert_with(|| Box::pin(tunnel.cut.clone().cancelled_owned()));
        let aborted = || io::Error::new(io::ErrorKind::ConnectionAborted, "the listener is closed");
        cut.as_mut().poll(cx).map(|()| Err(aborted()))
    }
}
