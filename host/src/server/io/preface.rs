//! Which protocol a client speaks in cleartext, by its first bytes (RFC 9113 §3.3, prior knowledge).
//!
//! Reads no further than it must: as soon as a byte differs from the preface of HTTP/2 it is HTTP/1.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use crate::server::limits::Limits;

/// What every HTTP/2 client sends first.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What was read before hyper had its turn.
#[derive(Debug)]
pub(in crate::server) struct Early {
    bytes: [u8; PREFACE.len()],
    len: usize,
    taken: usize,
    /// When the connection began.
    pub(super) opened: Instant,
    /// When the first byte came.
    pub(super) began: Option<Instant>,
}

impl Early {
    /// Nothing was read yet.
    pub(in crate::server) fn none() -> Self {
        Self { bytes: [0; PREFACE.len()], len: 0, taken: 0, opened: Instant::now(), began: None }
    }

    /// Whether it is the whole preface of HTTP/2.
    pub(in crate::server) fn is_http2(&self) -> bool {
        self.bytes.get(..self.len) == Some(PREFACE)
    }

    /// The next bytes, at most `max`; none when all were taken.
    pub(super) fn take(&mut self, max: usize) -> &[u8] {
        let end = self.len.min(self.taken.saturating_add(max));
        let bytes = self.bytes.get(self.taken..end).unwrap_or_default();
        self.taken = end;
        bytes
    }
}

/// Reads until it is known whether the client begins HTTP/2.
///
/// # Errors
/// Those of the stream; and when the client sends nothing, or not enough, in time.
pub(in crate::server) async fn early<S: AsyncRead + Unpin>(stream: &mut S, limits: &Limits) -> io::Result<Early> {
    let mut early = Early::none();
    let mut deadline = early.opened + limits.first_byte_timeout;
    while early.len < PREFACE.len() {
        let rest = early.bytes.get_mut(early.len..).unwrap_or_default();
        let read = timeout_at(deadline, stream.read(rest)).await;
        let count =
            read.map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, "the client sends no request"))??;
        if count == 0 && early.len == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client left without a word"));
        }
        early.len += count;
        let began = *early.began.get_or_insert_with(Instant::now);
        deadline = began + limits.head_timeout;
        if count == 0 || early.bytes.get(..early.len) != PREFACE.get(..early.len) {
            break;
        }
    }
    Ok(early)
}
