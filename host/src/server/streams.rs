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
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::io::{OpenStreams, Timer};

/// How many times longer a stream may stand still while others move: they may share a slow line.
const PATIENCE: u32 = 10;
const TICK: Duration = Duration::from_secs(1);

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
    /// Tasks that run. A receiver also learns of one that came and went between.
    running: watch::Sender<usize>,
    pub(super) open: Arc<OpenStreams>,
    stall: Duration,
}

impl Streams {
    /// Streams that may stand still so long for want of room.
    pub(super) fn new(stall: Duration) -> Arc<Self> {
        Arc::new(Self { running: watch::Sender::new(0), open: Arc::default(), stall })
    }

    /// Resolves when there was no stream for so long.
    pub(super) async fn idle(&self, time: Duration) {
        let mut running = self.running.subscribe();
        while running.wait_for(|count| *count == 0).await.is_ok() {
            if timeout(time, running.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Resolves when a response that its task has let go of does not leave.
    pub(super) async fn held_up(&self) {
        let mut running = self.running.subscribe();
        loop {
            if self.left_behind().is_none() {
                // Never an error: the sender is in `self`.
                let _ = running.changed().await;
                continue;
            }
            let since = Instant::now();
            while let Some(still) = self.left_behind() {
                let still_at_all = since.max(self.open.moved()).elapsed() >= self.stall;
                if still_at_all || (still && since.elapsed() >= self.stall) {
                    return;
                }
                sleep(TICK).await;
            }
        }
    }

    /// Whether there are responses without a task; and if there are, whether one has not moved for very long.
    fn left_behind(&self) -> Option<bool> {
        let running = *self.running.borrow();
        (self.open.count() > running).then(|| self.open.still_for(self.stall * PATIENCE) > running)
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
        streams.running.send_modify(|count| *count += 1);
        Self(streams)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|count| *count = count.saturating_sub(1));
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
