//! The values under `config` in the service's file (`wasi:config@0.2.0-rc.1`).

/// The value of a name, if the operator has set it; a failure of the host counts as not set and is logged.
pub fn get(name: &str) -> Option<String> {
    crate::platform::config(name)
}

/// The value of a name, or this default.
pub fn get_or(name: &str, default: &str) -> String {
    get(name).unwrap_or_else(|| default.to_owned())
}
