//! `wasi:keyvalue@0.2.0-draft2`. A cursor is the decimal form of the store's own; other text is an error.

use wasmtime::component::Resource;

use super::{Bucket, Cas, Failure};
use crate::capability::CapabilityView;
use crate::capability::bindings::keyvalue_draft2::wasi::keyvalue::{atomics, batch, store};

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
        cursor: Option<String>,
    ) -> Result<store::KeyResponse, Failure> {
        let unknown = |_| Failure::Other("cursor is not one of this store; start the listing again".to_owned());
        let cursor = cursor.map(|text| text.parse()).transpose().map_err(unknown)?;
        let page = self.key_page(bucket, cursor).await?;
        Ok(store::KeyResponse { keys: page.keys, cursor: page.next.map(|cursor: u64| cursor.to_string()) })
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.drop_bucket(bucket)
    }
}

impl atomics::Host for CapabilityView<'_> {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Result<i64, Failure> {
        self.add(bucket, key, delta, i64::MIN..=i64::MAX).await
    }

    async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> wasmtime::Result<Result<(), atomics::CasError>> {
        match self.finish_swap(cas, value).await {
            Ok(None) => Ok(Ok(())),
            Ok(Some(next)) => Ok(Err(atomics::CasError::CasFailed(next))),
            Err(failure) => {
                let error = store::Host::convert_error(self, failure)?;
                Ok(Err(atomics::CasError::StoreError(error)))
            }
        }
    }
}

impl atomics::HostCas for CapabilityView<'_> {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Resource<Cas>, Failure> {
        self.start_swap(bucket, key).await
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Result<Option<Vec<u8>>, Failure> {
        self.swap_value(cas).await
    }

    fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for CapabilityView<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Failure> {
        let values = self.values(bucket, keys.clone()).await?;
        let values = values.into_iter().map(|entry| entry.map(|(_key, value)| value));
        Ok(keys.into_iter().zip(values).collect())
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        self.set_values(bucket, entries).await
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Failure> {
        self.delete_values(bucket, keys).await
    }
}
