//! Demanding a user name and a password.
//!
//! Decided here: where users are listed, how the challenge is worded, and what the service is told. The lines of the
//! list are described, and read, where the filter works (`gateway/filter/basic_auth`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::secret::SecretRef;
use super::api_key::check_subject_header;

/// Demands a user name and a password (RFC 7617).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BasicAuth {
    /// Where the list of users is: lines of an `htpasswd` file with bcrypt or argon2id, as `wharf hash password` prints
    /// them. A changed file counts within two seconds; while it cannot be read, the list before it stays in force.
    pub users: SecretRef,
    /// What the browser shows when it asks for a password.
    #[serde(default = "realm")]
    #[schemars(regex(pattern = r#"^[ !#-\[\]-~]+$"#))]
    pub realm: String,
    /// Whether the service sees name and password.
    #[serde(default)]
    pub forward: bool,
    /// A header in which the service gets the user's name. What the client sent under this name is removed.
    #[serde(default)]
    pub subject_header: Option<String>,
    /// Whether a request without name and password may pass, as nobody. A wrong password never does.
    #[serde(default)]
    pub optional: bool,
}

fn realm() -> String {
    "wharf".to_owned()
}

impl BasicAuth {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { users, realm, forward: _, subject_header, optional: _ } = self;
        users.check(check, at.get("users"));
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte);
        if realm.is_empty() || !realm.bytes().all(plain) {
            check.wrong(at.get("realm"), "a realm is made of printable ASCII characters without `\"` and `\\`");
        }
        check_subject_header(subject_header.as_deref(), check, at.get("subjectHeader"));
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "users": { "file": "secrets/users.htpasswd" }, "realm": "shop", "forward": true, "subjectHeader": "x-user",
    "optional": true
}"#;
