//! Keys that were never there: who sees to it that they come, and for how long it is nothing to wonder at.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use tokio::sync::watch;

use super::{PATIENCE, Source, State};

/// Whether the host serves all that it is to serve; it does if nobody says that it starts.
#[derive(Debug, Clone, Default)]
pub(in crate::gateway::identity) struct Readiness(Arc<OnceLock<watch::Receiver<bool>>>);

impl Readiness {
    /// The host starts, and this tells when it has. Only the first who says so counts.
    pub(in crate::gateway::identity) fn follows(&self, ready: watch::Receiver<bool>) {
        let _ = self.0.set(ready);
    }

    fn is_ready(&self) -> bool {
        self.0.get().is_none_or(|ready| *ready.borrow())
    }
}

impl Source {
    /// Whether keys were never there and need not be yet.
    pub(super) fn is_patient(&self, state: &mut State, now: Instant) -> bool {
        if state.keys.is_some() || !self.pace.persists {
            return false;
        }
        if !self.host.is_ready() {
            state.missing = None;
            return true;
        }
        now.saturating_duration_since(*state.missing.get_or_insert(now)) < PATIENCE
    }
}

/// Fetches keys until there are some, or nobody can use them any more.
pub(super) async fn keys(source: Weak<Source>, mut ended: watch::Receiver<()>) {
    loop {
        let pause = {
            let Some(source) = source.upgrade() else { return };
            let mut state = source.state();
            if state.keys.is_some() {
                return;
            }
            let now = (source.clock)();
            match state.again {
                _ if state.fetching => None,
                Some(again) if again > now => Some(again.saturating_duration_since(now)),
                _ => {
                    source.start(&mut state);
                    None
                }
            }
        };
        // A fetch that a request has started ends the pause too: it succeeds, or sets the next.
        let end = async { ended.changed().await.is_err() };
        let gone = match pause {
            None => end.await,
            Some(pause) => tokio::time::timeout(pause, end).await.unwrap_or(false),
        };
        if gone {
            return;
        }
    }
}
