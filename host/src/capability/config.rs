//! `wasi:config/store`: the values that the operator gave to the service.
//!
//! Read-only, and never an error. Each call reads the newest values, so a change reaches the next request without a
//! restart; a guest that needs several values of one moment calls `get-all`.
//!
//! A value may be a secret. To the guest it is text like any other; [`Values`] shows no value in `Debug`.

use std::collections::BTreeMap;

use super::CapabilityView;
use super::bindings::{config_draft, config_rc1};

/// What a service reads, and what is different for some of its versions.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// Of every version.
    pub all: BTreeMap<String, String>,
    /// By label, on top of `all`.
    pub versions: BTreeMap<String, BTreeMap<String, String>>,
    /// Texts among them that no log may show.
    pub secrets: Vec<String>,
}

impl Values {
    fn get(&self, version: &str, key: &str) -> Option<&String> {
        self.versions.get(version).and_then(|values| values.get(key)).or_else(|| self.all.get(key))
    }

    fn of(&self, version: &str) -> Vec<(String, String)> {
        let mut values: BTreeMap<&String, &String> = self.all.iter().collect();
        values.extend(self.versions.get(version).into_iter().flatten());
        values.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl From<BTreeMap<String, String>> for Values {
    fn from(all: BTreeMap<String, String>) -> Self {
        Self { all, ..Self::default() }
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let versions = self.versions.iter().map(|(label, values)| (label, values.keys()));
        f.debug_struct("Values")
            .field("all", &self.all.keys())
            .field("versions", &versions.collect::<Vec<_>>())
            .finish()
    }
}

impl CapabilityView<'_> {
    fn config_value(&self, key: &str) -> Option<String> {
        let service = &self.ctx.service;
        service.config.load().get(&service.version, key).cloned()
    }

    fn config_values(&self) -> Vec<(String, String)> {
        let service = &self.ctx.service;
        service.config.load().of(&service.version)
    }
}

impl config_rc1::wasi::config::store::Host for CapabilityView<'_> {
    fn get(&mut self, key: String) -> Result<Option<String>, config_rc1::wasi::config::store::Error> {
        Ok(self.config_value(&key))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, config_rc1::wasi::config::store::Error> {
        Ok(self.config_values())
    }
}

impl config_draft::wasi::config::store::Host for CapabilityView<'_> {
    fn get(&mut self, key: String) -> Result<Option<String>, config_draft::wasi::config::store::Error> {
        Ok(self.config_value(&key))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, config_draft::wasi::config::store::Error> {
        Ok(self.config_values())
    }
}
