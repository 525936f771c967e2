//! `wasi:config/store`: the values that the operator gave to the service.
//!
//! Read-only, and never an error. Each call reads the newest values, so a change reaches the next request without a
//! restart; a guest that needs several values of one moment calls `get-all`.

use super::CapabilityView;
use super::bindings::{config_draft, config_rc1};

impl CapabilityView<'_> {
    fn config_value(&self, key: &str) -> Option<String> {
        self.ctx.service.config.load().get(key).cloned()
    }

    fn config_values(&self) -> Vec<(String, String)> {
        let values = self.ctx.service.config.load();
        values.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
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
