//! Slow work off the threads of the runtime: so much at once, so much waiting for so long, and no more.
//!
//! A permit belongs to the work and not to whoever waits for it: a client that goes away frees no place before the work
//! that it asked for is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Bounds on slow work.
#[derive(Debug)]
pub(super) struct Workers {
    at_once: Arc<Semaphore>,
    /// All that work or wait.
    inside: Semaphore,
    patience: Duration,
}

impl Workers {
    pub(super) fn new(at_once: usize, waiting: usize, patience: Duration) -> Self {
        let inside = Semaphore::new(at_once.saturating_add(waiting));
        Self { at_once: Arc::new(Semaphore::new(at_once)), inside, patience }
    }

    /// The result of the work; `None` when there was no place for it in time, or it panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _inside = self.inside.try_acquire().ok()?;
        let permit = tokio::time::timeout(self.patience, Arc::clone(&self.at_once).acquire_owned()).await.ok()?.ok()?;
        let work = move || {
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn what_is_beyond_the_bounds_is_sent_away_and_places_come_back() {
        let workers = Arc::new(Workers::new(1, 1, Duration::from_secs(60)));
        let (finish, finished) = mpsc::channel::<()>();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let busy = {
            let workers = Arc::clone(&workers);
            tokio::spawn(async move {
                let work = move || {
                    started.send(()).unwrap();
                    finished.recv().unwrap();
                };
                workers.run(work).await
            })
        };
        has_started.await.unwrap();
        let mut waiting = Box::pin(workers.run(|| 5));
        let waits = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending())).await;
        assert!(waits);
        assert_eq!(workers.run(|| 6).await, None, "no place to wait");
        finish.send(()).unwrap();
        assert_eq!(busy.await.unwrap(), Some(()));
        assert_eq!(waiting.await, Some(5));
        assert_eq!(workers.run(|| 7).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_sent_away() {
        let workers = Workers::new(0, 1, Duration::from_secs(5));
        let began = tokio::time::Instant::now();
        assert_eq!(workers.run(|| 1).await, None);
        assert_eq!(began.elapsed().as_secs(), 5);
    }
}
