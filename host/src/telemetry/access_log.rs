//! The access log: one line for each request, whatever became of it.
//!
//! The request path never waits for the log: a record goes into a bounded queue, and when that is full (the reader of
//! the output is too slow) it is dropped, counted and reported. A thread of its own turns records into lines, so that
//! even redacting and formatting costs the request nothing.
//!
//! The thread writes what has come together in [`GATHER`], so a busy gateway makes a few large writes and a quiet one
//! is not woken for each request, yet nobody watching the log waits.
//!
//! Nothing a client or a guest says is trusted in a line: control characters are escaped (no forged lines, no terminal
//! sequences), lengths are cut, and values of query parameters whose names speak of secrets are replaced. Headers other
//! than `User-Agent` are never logged.
//!
//! Never decided here: whether a request is logged, and what its reason is.

mod line;
mod redact;

use std::fmt;
use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use http::Version;
use jiff::Timestamp;

pub(crate) use redact::REDACTED;

use crate::config::LogFormat;

/// Records that may wait for the writer.
const QUEUE: usize = 8192;
/// How long records are gathered before they are written.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes of lines after which they are written even while more records wait.
const BUFFER: usize = 64 << 10;
/// How often dropped records are reported.
const REPORT: Duration = Duration::from_secs(1);
/// How long [`AccessLog::close`] waits for an output that does not move.
const CLOSE: Duration = Duration::from_secs(2);

/// What the log says about one request.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// When the request's headers were there.
    pub timestamp: Timestamp,
    /// The request's id.
    pub request_id: String,
    /// The trace it belongs to, as 32 hex digits.
    pub trace_id: Option<Arc<str>>,
    /// Who asked.
    pub client_ip: Option<IpAddr>,
    /// The method.
    pub method: String,
    /// The host asked for; empty if none was given.
    pub host: String,
    /// Path and query as the client sent them; secrets in the query are replaced when the line is made.
    pub path: String,
    /// The protocol's version.
    pub protocol: Version,
    /// The status answered; 0 if the client left before.
    pub status: u16,
    /// Why the gateway answered itself or the answer is not whole: one of the fixed words, else `None`.
    pub reason: Option<&'static str>,
    /// Bytes of request body that were read.
    pub bytes_in: u64,
    /// Bytes of response body that were sent.
    pub bytes_out: u64,
    /// From the headers of the request to the end of the response.
    pub duration: Duration,
    /// How much of it the service took, over all attempts, to the headers of its response.
    pub upstream: Option<Duration>,
    /// The route's name.
    pub route: Option<Arc<str>>,
    /// The service asked.
    pub service: Option<Arc<str>>,
    /// The version of it that answered.
    pub version: Option<Arc<str>>,
    /// The instance that answered, or was asked last.
    pub instance: Option<Arc<str>>,
    /// The service that was asked in its place, and that version and instance belong to; or `fixed response`.
    pub fallback: Option<Arc<str>>,
    /// The service that called, if it was a call between services.
    pub caller: Option<Arc<str>>,
    /// Who the client proved to be.
    pub subject: Option<Arc<str>>,
    /// How often a service was asked; more than 1 means retries.
    pub attempts: u32,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

/// The log. Dropping it writes everything that was logged, and waits for that like [`AccessLog::close`].
pub struct AccessLog {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// Gets an end when the writer has written everything.
    finished: Mutex<Receiver<()>>,
}

enum Message {
    Record(Box<Record>),
    Close,
}

/// How lines look, with `auto` resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

impl AccessLog {
    /// Starts the writer thread. [`LogFormat::Auto`] is text if the standard output is a terminal, else JSON lines.
    /// If the system gives no thread, that is logged and all records are dropped.
    pub fn start(format: LogFormat, out: Box<dyn Write + Send>) -> Self {
        let format = match format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
            LogFormat::Auto if std::io::stdout().is_terminal() => Format::Text,
            LogFormat::Auto => Format::Json,
        };
        let (queue, records) = sync_channel(QUEUE);
        let (done, finished) = channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            format,
            out,
            buffer: Vec::new(),
            failing: false,
            dropped: Arc::clone(&dropped),
            reported: (0, Instant::now()),
        };
        let started = thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run(&records);
            drop(done);
        });
        if let Err(error) = started {
            tracing::error!(%error, "there is no access log: its thread could not be started");
        }
        Self { queue, dropped, finished: Mutex::new(finished) }
    }

    /// Hands a record to the writer; drops it if too many wait. Never blocks.
    pub fn log(&self, record: Record) {
        if self.queue.try_send(Message::Record(Box::new(record))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes everything that was logged before and ends the writer; blocks until then, but no longer than 2 s if the
    /// output does not move. What is logged afterwards is dropped.
    pub fn close(&self) {
        let deadline = Instant::now() + CLOSE;
        // A full queue only means that the writer is behind: try again until it is not.
        while let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Close) {
            if Instant::now() >= deadline {
                tracing::warn!("the access log could not be written to its end");
                return;
            }
            wait();
        }
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        if finished.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the access log could not be written to its end");
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// The thread's state.
struct Writer {
    format: Format,
    out: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    /// The last write failed, and that was said.
    failing: bool,
    dropped: Arc<AtomicU64>,
    /// How many dropped records were reported, and when.
    reported: (u64, Instant),
}

impl Writer {
    fn run(mut self, records: &Receiver<Message>) {
        // An end of all senders comes only if the log is dropped without `close`, which `drop` rules out.
        while let Ok(first) = records.recv() {
            let mut next = Ok(first);
            // While this sleeps the channel has no waiting receiver, so that logging wakes nobody.
            if matches!(next, Ok(Message::Record(_))) {
                wait();
            }
            let closed = loop {
                match next {
                    Ok(Message::Record(record)) => self.add(&record),
                    Ok(Message::Close) | Err(TryRecvError::Disconnected) => break true,
                    Err(TryRecvError::Empty) => break false,
                }
                next = records.try_recv();
            };
            self.write();
            self.report_dropped(closed);
            if closed {
                return;
            }
        }
    }

    fn add(&mut self, record: &Record) {
        match self.format {
            Format::Json => line::json(&mut self.buffer, record),
            Format::Text => line::text(&mut self.buffer, record),
        }
        if self.buffer.len() >= BUFFER {
            self.write();
        }
    }

    fn write(&mut self) {
        let written = self.out.write_all(&self.buffer).and_then(|()| self.out.flush());
        self.buffer.clear();
        match written {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "the access log can't be written; lines are lost until it can");
            }
            Err(_) => {}
        }
    }

    fn report_dropped(&mut self, now: bool) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let (reported, when) = self.reported;
        if dropped > reported && (now || when.elapsed() >= REPORT) {
            self.reported = (dropped, Instant::now());
            tracing::warn!(lines = dropped - reported, "access log lines were dropped: its output is too slow");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "called by the writer, which is a thread of its own, and at the end")]
fn wait() {
    thread::sleep(GATHER);
}

#[cfg(test)]
mod tests;
