//! `wasi:keyvalue`: the private key-value store of a service, in both drafts that are in use.
//!
//! The only store that opens is [`STORE`], the service's own; any other name is `no-such-store`, and a service without
//! a grant gets `access-denied`. What a store keeps and which limits it has stands in [`crate::state`]. Here handles
//! become stores and errors become what a guest may read: it sees which limit it met, but not what failed inside the
//! host; that is in the host's log.
//!
//! A compare-and-swap handle of draft2 stands for the last state that the guest saw through it: when it was made, or
//! when `current` was called. After a failed swap the new handle stands for the state that was in the way.

mod draft;
mod draft2;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTableError};

use super::CapabilityView;
use crate::state::{KeyPage, KeyValueError, KeyValueStore, MAX_PAGE_KEYS, Revision, Swap};

/// The name of the one store of a service.
const STORE: &str = "default";

/// An open store: the host's side of the resource `bucket`.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it with pub")]
pub struct Bucket(Arc<dyn KeyValueStore>);

/// A compare-and-swap in progress: the host's side of the resource `cas`.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it with pub")]
pub struct Cas {
    store: Arc<dyn KeyValueStore>,
    key: String,
    seen: Revision,
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    NoSuchStore,
    AccessDenied,
    Other(String),
    /// The guest used a handle that it doesn't have.
    Trap(wasmtime::Error),
}

impl From<KeyValueError> for Failure {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::Unavailable { .. } => {
                Self::Other("key-value store is not available, the log of the host says why".to_owned())
            }
            KeyValueError::KeyTooLong { .. }
            | KeyValueError::ValueTooLarge { .. }
            | KeyValueError::BatchTooLong { .. }
            | KeyValueError::BatchTooLarge
            | KeyValueError::QuotaExceeded { .. }
            | KeyValueError::NoSpace
            | KeyValueError::TtlOutOfBounds { .. }
            | KeyValueError::NotACounter
            | KeyValueError::CounterRange => Self::Other(error.to_string()),
        }
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => Self::Other("too many open handles; drop some first".to_owned()),
            _ => Self::Trap(error.into()),
        }
    }
}

impl CapabilityView<'_> {
    fn open_bucket(&mut self, name: &str) -> Result<Resource<Bucket>, Failure> {
        let store = self.ctx.service.key_value.as_ref().ok_or(Failure::AccessDenied)?;
        if name != STORE {
            return Err(Failure::NoSuchStore);
        }
        Ok(self.table.push(Bucket(Arc::clone(store)))?)
    }

    fn drop_bucket(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }

    fn bucket(&self, bucket: &Resource<Bucket>) -> Result<Arc<dyn KeyValueStore>, Failure> {
        Ok(Arc::clone(&self.table.get(bucket)?.0))
    }

    async fn value(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.bucket(&bucket)?.get(key).await?.map(|entry| entry.value))
    }

    async fn set_value(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Failure> {
        Ok(self.bucket(&bucket)?.set(key, value).await?)
    }

    async fn delete_value(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Failure> {
        Ok(self.bucket(&bucket)?.delete(key).await?)
    }

    async fn value_exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Failure> {
        Ok(self.bucket(&bucket)?.revision(key).await?.exists())
    }

    async fn key_page(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Result<KeyPage, Failure> {
        Ok(self.bucket(&bucket)?.list_keys(cursor, MAX_PAGE_KEYS).await?)
    }

    async fn values(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Failure> {
        let values = self.bucket(&bucket)?.get_many(keys.clone()).await?;
        Ok(keys.into_iter().zip(values).map(|(key, value)| Some((key, value?))).collect())
    }

    async fn set_values(&mut self, bucket: Resource<Bucket>, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        Ok(self.bucket(&bucket)?.set_many(entries).await?)
    }

    async fn delete_values(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Failure> {
        Ok(self.bucket(&bucket)?.delete_many(keys).await?)
    }

    async fn add(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
        range: RangeInclusive<i64>,
    ) -> Result<i64, Failure> {
        Ok(self.bucket(&bucket)?.increment(key, delta, range).await?)
    }

    async fn start_swap(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Resource<Cas>, Failure> {
        let store = self.bucket(&bucket)?;
        let seen = store.revision(key.clone()).await?;
        Ok(self.table.push(Cas { store, key, seen })?)
    }

    async fn swap_value(&mut self, cas: Resource<Cas>) -> Result<Option<Vec<u8>>, Failure> {
        let cas = self.table.get_mut(&cas)?;
        let entry = cas.store.get(cas.key.clone()).await?;
        cas.seen = entry.as_ref().map_or(Revision::ABSENT, |entry| entry.revision);
        Ok(entry.map(|entry| entry.value))
    }

    /// None when the value was written, else the handle for the next attempt.
    async fn finish_swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<Option<Resource<Cas>>, Failure> {
        let Cas { store, key, seen } = self.table.delete(cas)?;
        match store.compare_and_swap(key.clone(), seen, value).await? {
            Swap::Done => Ok(None),
            Swap::Changed(seen) => Ok(Some(self.table.push(Cas { store, key, seen })?)),
        }
    }
}
