//! What a component says that it must be granted, in a custom section `wharf:needs` of its file.
//!
//! ```text
//! calls: users, inventory
//! ```
//!
//! What a component imports is no such statement: most SDKs import the client side of wasi:http whether a service calls
//! anybody or not. A component that names what it needs is not put in service without it, and does not find out one
//! failed request at a time. One line for each kind of grant, names separated by commas; empty lines are ignored. A kind
//! that this host does not know is refused, because it cannot be granted. The section is somebody else's text: at most
//! 16 KiB of it, and only names of services.

use serde::Serialize;

use crate::config::valid_service_name;

const MAX_BYTES: usize = 16 << 10;

/// Grants without which a component is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Needs {
    /// Services that it calls.
    pub calls: Vec<String>,
}

/// A section that says nothing this host understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its section `wharf:needs` cannot be used: {0}; write one line such as `calls: users, inventory`")]
pub struct NeedsError(String);

impl Needs {
    /// The name of the section.
    pub(super) const SECTION: &str = "wharf:needs";

    /// Adds what a section says.
    pub(super) fn read(&mut self, section: &[u8]) -> Result<(), NeedsError> {
        if section.len() > MAX_BYTES {
            return Err(NeedsError(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let text = std::str::from_utf8(section).map_err(|_not_utf8| NeedsError("it is no text".to_owned()))?;
        // What is patched into a fixed place is filled up with zeros.
        for line in text.trim_end_matches('\0').lines().filter(|line| !line.trim().is_empty()) {
            let Some(("calls", names)) = line.split_once(':').map(|(kind, names)| (kind.trim(), names)) else {
                return Err(NeedsError(format!("`{}` is no grant that this host has", shown(line))));
            };
            for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                valid_service_name(name).map_err(|_| NeedsError(format!("`{}` is no service", shown(name))))?;
                if !self.calls.iter().any(|known| known == name) {
                    self.calls.push(name.to_owned());
                }
            }
        }
        Ok(())
    }

    /// What of it is not granted, in words; nothing if all is.
    pub(super) fn missing(&self, granted_calls: &[String]) -> Option<String> {
        let missing: Vec<_> =
            self.calls.iter().filter(|name| !granted_calls.contains(name)).map(String::as_str).collect();
        (!missing.is_empty()).then(|| format!("needs grant calls: {}", missing.join(", ")))
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Needs, NeedsError> {
        let mut needs = Needs::default();
        needs.read(text.as_bytes()).map(|()| needs)
    }

    #[test]
    fn what_is_not_granted_is_named() {
        let needs = read("calls: users, inventory\n\ncalls: users,pricing\0\0").unwrap();
        assert_eq!(needs.calls, ["users", "inventory", "pricing"]);
        let granted = ["users".to_owned(), "pricing".to_owned()];
        assert_eq!(needs.missing(&granted).unwrap(), "needs grant calls: inventory");
        assert_eq!(needs.missing(&[]).unwrap(), "needs grant calls: users, inventory, pricing");
        assert_eq!(needs.missing(&needs.calls), None);
        assert_eq!(read(" \n").unwrap().missing(&[]), None);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_and_shown_without_control_characters() {
        for text in ["users", "egress: x", "calls: Users", "calls: a b", "calls: \x1b[31m", &"x".repeat(20_000)] {
            let error = read(text).unwrap_err().to_string();
            assert!(!error.contains('\x1b') && error.len() < 300 && error.contains("calls: users"), "{error}");
        }
        assert!(Needs::default().read(&[0xff]).is_err());
    }
}
