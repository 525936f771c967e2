//! The streams of one HTTP/2 connection: how many there are, and which the client does not take.
//!
//! hyper gives every stream a task, through an executor that is ours. So a stream can be ended alone (dropping its task
//! resets it) while the others go on, and who is at fault for a quiet one can be told: when the response's body was
//! asked last it either had a frame, then the client must make room for it (flow control, RFC 9113 §5.2); or it had
//! none, then the service has nothing to say, which is no fault. A response whose task has ended can still be held up
//! in h2, for want of room for its last bytes; then the connection is ended. The client's part is done if any data at
//! all moves on the connection, but that counts for [`PATIENCE`] times the limit at most, so that a trickle on one
//! stream does not keep a hundred others.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, sleep};

use super::io::{OpenStreams, Timer};

/// How many times longer a stream may stand still while others move: they may share a slow line.
const PATIENCE: u32 = 10;
/// Looks no more often than this.
const TICK: Duration = Duration::from_millis(250);

tokio::task_local! {
    static HANDED: Arc<Handed>;
}

/// When the response's body gave a frame that was not asked after; none while it has nothing to give.
#[derive(Debug, Default)]
pub(super) struct Handed(Mutex<Option<Instant>>);

impl Handed {
    /// That of the stream whose task this is.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        HANDED.try_with(Arc::clone).ok()
    }

    /// Notes what the body had when it was asked.
    pub(super) fn note<T>(&self, frame: &Poll<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = frame.is_ready().then(Instant::now);
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module header.
#[derive(Debug)]
pub(super) struct Streams {
    /// Tasks that run.
    running: AtomicUsize,
    /// When the last of them ended, or the connection began.
    ended: Mutex<Instant>,
    pub(super) open: Arc<OpenStreams>,
    stall: Duration,
}

impl Streams {
    /// Streams that may stand still so long for want of room.
    pub(super) fn new(stall: Duration) -> Arc<Self> {
        let ended = Mutex::new(Instant::now());
        Arc::new(Self { running: AtomicUsize::new(0), ended, open: Arc::default(), stall })
    }

    /// Resolves when there was no stream for so long.
    pub(super) async fn idle(&self, time: Duration) {
        // Nobody need tell when a stream ends: from then on it takes as long again.
        loop {
            let idle = if self.running() == 0 { self.ended().elapsed() } else { Duration::ZERO };
            match time.checked_sub(idle) {
                None | Some(Duration::ZERO) => return,
                Some(left) => sleep(left).await,
            }
        }
    }

    /// Resolves when a response that its task has let go of does not leave.
    pub(super) async fn held_up(&self) {
        let mut was_suspect = false;
        loop {
            let running = self.running();
            let (mut left, mut is_suspect) = (self.stall, false);
            if self.open.count() > running {
                let still = self.open.moved().max(self.ended()).elapsed();
                left = self.stall.saturating_sub(still);
                // What has just ended may have been quiet for long, but not twice.
                is_suspect = self.open.still_for(self.stall * PATIENCE) > running;
                if left.is_zero() || (is_suspect && was_suspect) {
                    return;
                }
            }
            was_suspect = is_suspect;
            sleep(left.max(TICK)).await;
        }
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    fn ended(&self) -> Instant {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the streams of one connection as tasks.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor(pub(super) Arc<Streams>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let handed = Arc::new(Handed::default());
        let running = Running::new(Arc::clone(&self.0));
        let task = Stream { stream, handed: Arc::clone(&handed), timer: Timer::default(), running };
        tokio::spawn(HANDED.scope(handed, task));
    }
}

/// Counts a stream while it is there.
struct Running(Arc<Streams>);

impl Running {
    fn new(streams: Arc<Streams>) -> Self {
        streams.running.fetch_add(1, Ordering::Relaxed);
        Self(streams)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    /// A stream, ended early if the client makes no room for its response.
    struct Stream<F> {
        #[pin]
        stream: F,
        handed: Arc<Handed>,
        timer: Timer,
        running: Running,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = this.handed.since() else { return Poll::Pending };
        let Streams { open, stall, .. } = &*this.running.0;
        let deadline = (since.max(open.moved()) + *stall).min(since + *stall * PATIENCE);
        if this.timer.is_over(deadline, cx) {
            tracing::debug!("a stream is reset: its client makes no room for the response");
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
