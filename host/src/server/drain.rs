//! Ending in steps: clients are told to take other connections, connections are asked to finish, and what is left at a
//! deadline is cut.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shared by a listener and its connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drain {
    leaving: CancellationToken,
    asked: CancellationToken,
    cut: CancellationToken,
    connections: TaskTracker,
}

impl Drain {
    /// From now on every response over HTTP/1 is its connection's last, and says so. New connections are still welcome.
    pub(crate) fn announce(&self) {
        self.leaving.cancel();
    }

    /// Asks every connection to finish what it does, and waits at most `timeout` before cutting the rest.
    /// Says how many were cut.
    pub(crate) async fn drain(&self, timeout: Duration) -> usize {
        self.announce();
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

    /// Whether responses should be the last ones of their connections.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Resolves when connections should finish.
    pub(super) async fn asked(&self) {
        self.asked.cancelled().await;
    }
}
