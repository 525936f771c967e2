//! `wharf:service/expiry`: keys of the service's own store that end by themselves.
//!
//! The drafts of `wasi:keyvalue` have no time to live. This adds it to the same data, by key and without handles: there
//! is one store for each service, so there is nothing to open. Times are whole milliseconds.

use std::sync::Arc;
use std::time::Duration;

use super::CapabilityView;
use super::bindings::expiry::wharf::service::expiry::{Error, Host, Lifetime};
use super::keyvalue::Failure;
use crate::state::{KeyValueError, KeyValueStore, Lifetime as Stored};

impl CapabilityView<'_> {
    fn own_store(&self) -> Result<Arc<dyn KeyValueStore>, Error> {
        self.ctx.service.key_value.clone().ok_or(Error::AccessDenied)
    }
}

impl From<KeyValueError> for Error {
    fn from(error: KeyValueError) -> Self {
        match Failure::from(error) {
            Failure::AccessDenied | Failure::NoSuchStore => Self::AccessDenied,
            Failure::Other(text) => Self::Other(text),
            // There are no handles here that a guest could get wrong.
            Failure::Trap(error) => Self::Other(error.to_string()),
        }
    }
}

impl Host for CapabilityView<'_> {
    async fn set(&mut self, key: String, value: Vec<u8>, ttl: u64) -> Result<(), Error> {
        Ok(self.own_store()?.set_expiring(key, value, Duration::from_millis(ttl)).await?)
    }

    async fn remaining(&mut self, key: String) -> Result<Lifetime, Error> {
        Ok(match self.own_store()?.lifetime(key).await? {
            Stored::Missing => Lifetime::Missing,
            Stored::Unlimited => Lifetime::Unlimited,
            Stored::Left(left) => Lifetime::Milliseconds(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        })
    }

    async fn change(&mut self, key: String, ttl: Option<u64>) -> Result<bool, Error> {
        Ok(self.own_store()?.expire(key, ttl.map(Duration::from_millis)).await?)
    }
}
