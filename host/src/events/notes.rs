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
    use std::collections::HashMap;
    use std::ops::RangeInclusive;
    use std::sync::Mutex;
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::state::{Entry, KeyPage, KeyValueError, Lifetime, Revision, Swap, Usage};

    /// In memory, because a paused clock runs on while it waits for a thread. Only what is used.
    #[derive(Debug, Default)]
    struct Memory(Mutex<HashMap<String, Vec<u8>>>);

    pub(in crate::events) fn memory() -> Arc<dyn KeyValueStore> {
        Arc::new(Memory::default())
    }

    #[async_trait]
    impl KeyValueStore for Memory {
        async fn get(&self, key: String) -> Result<Option<Entry>, KeyValueError> {
            let value = self.0.lock().unwrap().get(&key).cloned();
            Ok(value.map(|value| Entry { value, revision: Revision::new(1) }))
        }

        async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), KeyValueError> {
            self.0.lock().unwrap().extend(entries);
            Ok(())
        }

        async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
            self.0.lock().unwrap().retain(|key, _| !keys.contains(key));
            Ok(())
        }

        async fn revision(&self, _: String) -> Result<Revision, KeyValueError> {
            unimplemented!()
        }

        async fn get_many(&self, _: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
            unimplemented!()
        }

        async fn list_keys(&self, _: Option<u64>, _: usize) -> Result<KeyPage, KeyValueError> {
            unimplemented!()
        }

        async fn increment(&self, _: String, _: i64, _: RangeInclusive<i64>) -> Result<i64, KeyValueError> {
            unimplemented!()
        }

        async fn compare_and_swap(&self, _: String, _: Revision, _: Vec<u8>) -> Result<Swap, KeyValueError> {
            unimplemented!()
        }

        async fn set_expiring(&self, _: String, _: Vec<u8>, _: Duration) -> Result<(), KeyValueError> {
            unimplemented!()
        }

        async fn expire(&self, _: String, _: Option<Duration>) -> Result<bool, KeyValueError> {
            unimplemented!()
        }

        async fn lifetime(&self, _: String) -> Result<Lifetime, KeyValueError> {
            unimplemented!()
        }

        async fn usage(&self) -> Result<Usage, KeyValueError> {
            unimplemented!()
        }
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
