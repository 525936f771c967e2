//! The store, as the host gives it.

use std::time::Duration;

use super::bindings::own::wharf::service::expiry::{self, Lifetime as Remaining};
use super::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use super::bindings::wasi::keyvalue::store;
use crate::{KeyValueError, Lifetime};

#[derive(Debug)]
pub(crate) struct Bucket(store::Bucket);

impl From<store::Error> for KeyValueError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore => Self::NoSuchStore,
            store::Error::AccessDenied => Self::AccessDenied,
            store::Error::Other(text) => Self::Other(text),
        }
    }
}

impl From<expiry::Error> for KeyValueError {
    fn from(error: expiry::Error) -> Self {
        match error {
            expiry::Error::AccessDenied => Self::AccessDenied,
            expiry::Error::Other(text) => Self::Other(text),
        }
    }
}

/// More than fits is more than any host allows.
fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

impl Bucket {
    pub(crate) fn set_expiring(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), KeyValueError> {
        Ok(expiry::set(key, value, milliseconds(ttl))?)
    }

    pub(crate) fn expire(&self, key: &str, ttl: Option<Duration>) -> Result<bool, KeyValueError> {
        Ok(expiry::change(key, ttl.map(milliseconds))?)
    }

    pub(crate) fn lifetime(&self, key: &str) -> Result<Lifetime, KeyValueError> {
        Ok(match expiry::remaining(key)? {
            Remaining::Missing => Lifetime::Missing,
            Remaining::Unlimited => Lifetime::Unlimited,
            Remaining::Milliseconds(left) => Lifetime::Left(Duration::from_millis(left)),
        })
    }

    pub(crate) fn open(name: &str) -> Result<Self, KeyValueError> {
        Ok(Self(store::open(name)?))
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.0.get(key)?)
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        Ok(self.0.set(key, value)?)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        Ok(self.0.delete(key)?)
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        Ok(self.0.exists(key)?)
    }

    pub(crate) fn list_keys(&self, cursor: Option<&str>) -> Result<(Vec<String>, Option<String>), KeyValueError> {
        let page = self.0.list_keys(cursor)?;
        Ok((page.keys, page.cursor))
    }

    pub(crate) fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<bool, KeyValueError> {
        let cas = Cas::new(&self.0, key)?;
        if cas.current()?.as_deref() != expected {
            return Ok(false);
        }
        match atomics::swap(cas, new) {
            Ok(()) => Ok(true),
            Err(CasError::CasFailed(_)) => Ok(false),
            Err(CasError::StoreError(error)) => Err(error.into()),
        }
    }

    pub(crate) fn increment(&self, key: &str, delta: i64) -> Result<i64, KeyValueError> {
        Ok(atomics::increment(&self.0, key, delta)?)
    }
}
