//! Standard output and standard error of a guest, as lines in the log of its service.
//!
//! All streams of one store write into one [`Output`], which holds the lines that have not ended yet and the end of
//! standard error. It does no I/O and is always ready, so a guest never waits for the log and cannot fill memory: at
//! most one line of [`MAX_LINE_BYTES`] for each stream and [`TAIL_BYTES`] of tail are kept. A line that is longer is
//! written when it reaches the limit, and its rest is dropped and counted. An unfinished line is written when the store
//! is dropped or its next request begins.
//!
//! The tail is how a panic gets its message: the guest traps with nothing but `unreachable`, and what it wanted to say
//! is the last thing on standard error. It is kept as it was written, and read without the service's secrets.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::guest_log::{GuestLog, MAX_LINE_BYTES, Origin, escape};
use super::redact::Cut;

/// Bytes of standard error that are kept for a report.
const TAIL_BYTES: usize = 2 << 10;
/// Room for the same bytes when they are escaped.
const TAIL_TEXT: usize = 10 * TAIL_BYTES;
/// What a guest may write at once. The bytes are in the host's memory by then, so this is a size, not a limit.
const WRITE_BYTES: usize = 64 << 10;

/// Where all output of one store goes.
#[derive(Debug)]
pub(super) struct Output {
    log: GuestLog,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    request_id: Arc<str>,
    stdout: Line,
    stderr: Line,
    tail: VecDeque<u8>,
}

impl Output {
    pub(super) fn new(log: GuestLog, request_id: Arc<str>) -> Self {
        let state = State { request_id, stdout: Line::default(), stderr: Line::default(), tail: VecDeque::new() };
        Self { log, state: Mutex::new(state) }
    }

    pub(super) fn begin_request(&self, request_id: Arc<str>) {
        self.flush();
        let mut state = self.state();
        state.tail.clear();
        state.request_id = request_id;
    }

    /// Writes the lines that have not ended.
    pub(super) fn flush(&self) {
        let state = &mut *self.state();
        for (stream, line) in [(Stream::Stdout, &mut state.stdout), (Stream::Stderr, &mut state.stderr)] {
            line.finish(&self.log, stream.origin(&state.request_id));
        }
    }

    /// One record of a logging interface.
    pub(super) fn log(&self, level: Level, context: &str, message: &str) {
        let request_id = Arc::clone(&self.state().request_id);
        let context = (!context.is_empty()).then_some(context);
        self.log.line(Origin { stream: "logging", level, request_id: &request_id, context }, message.as_bytes(), false);
    }

    fn write(&self, stream: Stream, bytes: &[u8]) {
        let state = &mut *self.state();
        let line = match stream {
            Stream::Stdout => &mut state.stdout,
            Stream::Stderr => {
                let kept = bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
                let over = (state.tail.len() + kept.len()).saturating_sub(TAIL_BYTES);
                state.tail.drain(..over);
                state.tail.extend(kept);
                &mut state.stderr
            }
        };
        line.write(&self.log, stream.origin(&state.request_id), bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A line that is being written.
#[derive(Debug, Default)]
struct Line {
    start: Vec<u8>,
    /// The line was cut; what comes until its end is dropped.
    cut: bool,
}

impl Line {
    fn write(&mut self, log: &GuestLog, origin: Origin<'_>, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.start.is_empty() && !self.cut && line.len() <= MAX_LINE_BYTES {
                log.line(origin, trim(line), false);
            } else {
                self.push(log, origin, line);
                self.finish(log, origin);
            }
        }
        self.push(log, origin, rest);
    }

    /// Adds to the line, and writes it when it gets too long.
    fn push(&mut self, log: &GuestLog, origin: Origin<'_>, bytes: &[u8]) {
        if self.cut {
            return log.dropped(bytes.len());
        }
        let room = MAX_LINE_BYTES - self.start.len();
        let (fits, over) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.start.extend_from_slice(fits);
        if !over.is_empty() {
            log.line(origin, &self.start, true);
            log.dropped(over.len());
            self.start.clear();
            self.cut = true;
        }
    }

    /// Ends the line.
    fn finish(&mut self, log: &GuestLog, origin: Origin<'_>) {
        if !self.start.is_empty() {
            log.line(origin, trim(&self.start), false);
            self.start.clear();
        }
        self.cut = false;
    }
}

/// Without the carriage return of a line that ends in both.
fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Both are information: many languages write their ordinary log to standard error.
    fn origin(self, request_id: &str) -> Origin<'_> {
        let stream = match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        };
        Origin { stream, level: Level::INFO, request_id, context: None }
    }
}

/// Standard output or standard error of a store, for its WASI context. Always ready.
#[derive(Clone, Debug)]
pub struct GuestStream {
    output: Arc<Output>,
    stream: Stream,
}

impl GuestStream {
    pub(super) fn stdout(output: Arc<Output>) -> Self {
        Self { output, stream: Stream::Stdout }
    }

    pub(super) fn stderr(output: Arc<Output>) -> Self {
        Self { output, stream: Stream::Stderr }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.output.write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The end of what a guest wrote to standard error in its current request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StderrTail {
    output: Arc<Output>,
}

impl StderrTail {
    pub(super) fn new(output: Arc<Output>) -> Self {
        Self { output }
    }

    /// The last 2 KiB, escaped to one line: fit for a field of a log line, not for a client.
    pub fn text(&self) -> String {
        escape(&self.bytes(), TAIL_TEXT).into_owned()
    }

    /// Where and why the guest panicked, in one line, if standard error ends with the report of a panic (of Rust or Go).
    pub fn panic_message(&self) -> Option<String> {
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        let is_panic = |line: &&str| {
            (line.starts_with("thread '") && line.contains(" panicked at ")) || line.starts_with("panic: ")
        };
        let first = lines.iter().rposition(is_panic)?;
        let report = lines.into_iter().skip(first);
        let report: Vec<_> =
            report.take_while(|line| !line.starts_with("note: ") && !line.starts_with("stack backtrace:")).collect();
        Some(escape(report.join(" ").trim_end().as_bytes(), TAIL_TEXT).into_owned())
    }

    fn bytes(&self) -> Vec<u8> {
        let tail: Vec<u8> = self.output.state().tail.iter().copied().collect();
        let cut = if tail.len() < TAIL_BYTES { Cut::No } else { Cut::Start };
        self.output.log.redact(&tail, cut).into_owned()
    }
}
