//! What events have to remember besides the log: times by name, in a store of the host's own.
//!
//! Two things are kept so: the last tick of each schedule, and since when a subscription is in no file any more. Both are
//! few, follow from the configuration, and cost nothing worse than a repetition when they are lost.

use std::sync::Arc;

use jiff::Timestamp;

use crate::state::KeyValueStore;

/// The name of the store. No service can have it.
pub(crate) const STORE: &str = ".events";
/// Far more than all schedules and subscriptions that a configuration can have.
pub(crate) const QUOTA: u64 = 64 << 20;

/// Times by name.
#[derive(Debug, Clone)]
pub(super) struct Notes(Arc<dyn KeyValueStore>);

impl Notes {
    pub(super) fn new(store: Arc<dyn KeyValueStore>) -> Self {
        Self(store)
    }

    /// The time that is noted, if there is one.
    ///
    /// # Errors
    /// When the store does not answer; that is logged.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Timestamp>, ()> {
        match self.0.get(name.to_owned()).await {
            Ok(entry) => Ok(entry.and_then(|entry| String::from_utf8(entry.value).ok()?.parse().ok())),
            Err(error) => {
                tracing::warn!(name, %error, "a note about events cannot be read");
                Err(())
            }
        }
    }

    pub(super) async fn write(&self, name: String, time: Timestamp) {
        if let Err(error) = self.0.set(name.clone(), time.to_string().into_bytes()).await {
            tracing::warn!(name, %error, "a note about events cannot be written");
        }
    }

    pub(super) async fn forget(&self, name: String) {
        if let Err(error) = self.0.delete(name.clone()).await {
            tracing::warn!(name, %error, "a note about events cannot be deleted");
        }
    }
}

#[cfg(test)]
pub(in crate::events) mod tests {
    use super::*;
    use crate::state::KeyValueEngine;
    use crate::state::sqlite::SqliteState;

    /// A store that is gone with the test.
    pub(in crate::events) fn memory() -> Arc<dyn KeyValueStore> {
        let dir = tempfile::tempdir().unwrap();
        let state = SqliteState::new(dir.keep());
        state.store(STORE, QUOTA)
    }

    #[tokio::test]
    async fn a_note_is_a_time_until_it_is_forgotten() {
        let notes = Notes::new(memory());
        let time = Timestamp::from_second(5).unwrap();
        assert_eq!(notes.read("a").await, Ok(None));
        notes.write("a".into(), time).await;
        assert_eq!(notes.read("a").await, Ok(Some(time)));
        notes.forget("a".into()).await;
        assert_eq!(notes.read("a").await, Ok(None));
    }
}
