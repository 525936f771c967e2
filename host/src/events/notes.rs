//! What events have to remember besides the log: times by name.
//!
//! Two things are kept so: the last tick of each schedule, and since when a subscription is in no file any more. Both are
//! few, follow from the configuration, and cost nothing worse than a repetition when they are lost. Where they are kept
//! ([`NoteStore`]) is a store of the host's own, of which they need no more than to read, write and forget.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::state::KeyValueStore;

/// The name of the store. No service can have it.
pub(crate) const STORE: &str = ".events";
/// Far more than all schedules and subscriptions that a configuration can have.
pub(crate) const QUOTA: u64 = 64 << 20;

/// Keeps texts by name. Errors are said as they are logged.
#[async_trait]
pub trait NoteStore: Send + Sync + fmt::Debug {
    /// The text that is kept under this name, if there is one.
    async fn get(&self, name: &str) -> Result<Option<String>, String>;

    /// Keeps this one from now on.
    async fn set(&self, name: &str, text: String) -> Result<(), String>;

    /// Keeps none any more.
    async fn delete(&self, name: &str) -> Result<(), String>;
}

#[async_trait]
impl NoteStore for Arc<dyn KeyValueStore> {
    async fn get(&self, name: &str) -> Result<Option<String>, String> {
        let entry = KeyValueStore::get(&**self, name.to_owned()).await.map_err(|error| error.to_string())?;
        // What is no text was not written here, and is no time either.
        Ok(entry.and_then(|entry| String::from_utf8(entry.value).ok()))
    }

    async fn set(&self, name: &str, text: String) -> Result<(), String> {
        let written = KeyValueStore::set(&**self, name.to_owned(), text.into_bytes()).await;
        written.map_err(|error| error.to_string())
    }

    async fn delete(&self, name: &str) -> Result<(), String> {
        KeyValueStore::delete(&**self, name.to_owned()).await.map_err(|error| error.to_string())
    }
}

/// Times by name.
#[derive(Debug, Clone)]
pub(super) struct Notes(Arc<dyn NoteStore>);

impl Notes {
    pub(super) fn new(store: Arc<dyn NoteStore>) -> Self {
        Self(store)
    }

    /// The time that is noted, if there is one.
    ///
    /// # Errors
    /// When the store does not answer; that is logged.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Timestamp>, ()> {
        match self.0.get(name).await {
            Ok(text) => Ok(text.and_then(|text| text.parse().ok())),
            Err(error) => {
                tracing::warn!(name, error, "a note about events cannot be read");
                Err(())
            }
        }
    }

    pub(super) async fn write(&self, name: String, time: Timestamp) {
        if let Err(error) = self.0.set(&name, time.to_string()).await {
            tracing::warn!(name, error, "a note about events cannot be written");
        }
    }

    pub(super) async fn forget(&self, name: String) {
        if let Err(error) = self.0.delete(&name).await {
            tracing::warn!(name, error, "a note about events cannot be deleted");
        }
    }
}

#[cfg(test)]
pub(in crate::events) mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;

    /// In memory, because a paused clock runs on while it waits for a thread.
    #[derive(Debug, Default)]
    struct Memory(Mutex<HashMap<String, String>>);

    pub(in crate::events) fn memory() -> Arc<dyn NoteStore> {
        Arc::new(Memory::default())
    }

    #[async_trait]
    impl NoteStore for Memory {
        async fn get(&self, name: &str) -> Result<Option<String>, String> {
            Ok(self.0.lock().unwrap().get(name).cloned())
        }

        async fn set(&self, name: &str, text: String) -> Result<(), String> {
            self.0.lock().unwrap().insert(name.to_owned(), text);
            Ok(())
        }

        async fn delete(&self, name: &str) -> Result<(), String> {
            self.0.lock().unwrap().remove(name);
            Ok(())
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
