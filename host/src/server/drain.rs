//! Ending in two steps: connections are asked to finish, then, at a deadline, they are cut.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shared by a listener and its connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drain {
    asked: CancellationToken,
    cut: CancellationToken,
    connections: TaskTracker,
}

impl Drain {
    /// Asks every connection to finish what it does, and waits at most `timeout` before cutting the rest.
    /// Says how many were cut.
    pub(crate) async fn drain(&self, timeout: Duration) -> usize {
        self.asked.cancel();
        self.connections.close();
        if tokio::time::timeout(timeout, self.connections.wait()).await.is_ok() {
            return 0;
        }
        let left = self.connections.len();
        self.cut.cancel();
        self.connections.wait().await;
        left
    }

    /// Runs a connection's task so that a drain waits for it.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, connection: F) {
        let cut = self.cut.clone();
        self.connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = cut.cancelled() => {}
            }
        });
    }

    /// Resolves when connections should finish.
    pub(super) async fn asked(&self) {
        self.asked.cancelled().await;
    }
}
