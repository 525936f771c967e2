//! Which services' outboxes have something new, for the relay that carries it on.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Services whose outbox has something new.
#[derive(Debug, Default)]
pub(in crate::state::sqlite) struct Changed {
    names: Mutex<BTreeSet<String>>,
    count: watch::Sender<u64>,
}

impl Changed {
    pub(in crate::state::sqlite) fn note(&self, services: impl IntoIterator<Item = String>) {
        self.lock().extend(services);
        self.count.send_modify(|count| *count += 1);
    }

    pub(in crate::state::sqlite) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    pub(in crate::state::sqlite) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock()).into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
