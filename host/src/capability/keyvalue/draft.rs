//! `wasi:keyvalue@0.2.0-draft`. Counters are unsigned here: a sum that is negative or above 2^63 - 1 is refused.

use wasmtime::component::Resource;

use super::{Bucket, Failure};
use crate::capability::CapabilityView;
use crate::capability::bindings::keyvalue_draft::wasi::keyvalue::{atomics, batch, store};
use crate::state::KeyValueError;

impl store::Host for CapabilityView<'_> {
    fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Failure> {
        self.open_bucket(&identifier)
    }

    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<store::Error> {
        match failure {
            Failure::NoSuchStore => Ok(store::Error::NoSuchStore),
            Failure::AccessDenied => Ok(store::Error::AccessDenied),
            Failure::Other(text) => Ok(store::Error::Other(text)),
            Failure::Trap(error) => Err(error),
        }
    }
}

impl store::HostBucket for CapabilityView<'_> {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Failure> {
        self.value(bucket, key).await
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Failure> {
        self.set_value(bucket, key, value).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Failure> {
        self.delete_value(bucket, key).await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Failure> {
        self.value_exists(bucket, key).await
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<store::KeyResponse, Failure> {
        let page = self.key_page(bucket, cursor).await?;
        Ok(store::KeyResponse { keys: page.keys, cursor: page.next })
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.drop_bucket(bucket)
    }
}

impl atomics::Host for CapabilityView<'_> {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Result<u64, Failure> {
        let delta = i64::try_from(delta).map_err(|_| KeyValueError::CounterRange)?;
        Ok(self.add(bucket, key, delta, 0..=i64::MAX).await?.unsigned_abs())
    }
}

impl batch::Host for CapabilityView<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Failure> {
        self.values(bucket, keys).await
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        self.set_values(bucket, entries).await
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Failure> {
        self.delete_values(bucket, keys).await
    }
}
