//! Secrets by reference: a file of the configuration says where a secret is, never what it is.
//!
//! So `wharf config`, the configuration's fingerprint, error messages and version control see the reference only, and
//! the text behind it can be changed without touching the configuration. There is deliberately no third form that holds
//! the secret itself. A secret that was read shows nothing in `Debug` and has no `Display` and no `Serialize`.
//!
//! Reading happens where a secret is put to use, not when the configuration is loaded: `wharf validate` must work on a
//! machine that has none of the secrets. At most [`MAX`] bytes are read, so that a wrong path (a device, a log) costs
//! an error and no memory.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};

/// Largest secret: room for tens of thousands of lines of keys.
const MAX: u64 = 4 << 20;

/// Where a secret is: `{ file: secrets/keys.txt }` or `{ env: API_KEYS }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SecretRef {
    /// A file; a relative path counts from the folder in which `wharf` was started. One line end at its end is left out.
    File(#[schemars(length(min = 1))] PathBuf),
    /// A variable of the environment of `wharf`; changes need a restart.
    Env(#[schemars(length(min = 1))] String),
}

/// A secret that was read. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl SecretRef {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        match self {
            Self::File(path) if path.as_os_str().is_empty() => {
                check.wrong(at.get("file"), "an empty path: name the file that holds the secret");
            }
            Self::Env(name) if name.is_empty() || name.contains(['=', '\0']) => {
                check.wrong(at.get("env"), format!("`{}` cannot be the name of a variable", name.escape_debug()));
            }
            Self::File(_) | Self::Env(_) => {}
        }
    }

    /// Reads it. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// Names the place and what is wrong with it, never what was read.
    #[expect(clippy::disallowed_methods, reason = "the configuration names the variable")]
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::File(path) => {
                let bytes = read_file(path).map_err(|error| format!("cannot read {self}: {error}"))?;
                let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
                let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
                Self::not_empty(self, bytes.to_vec())
            }
            Self::Env(name) => match std::env::var(name) {
                Ok(text) => Self::not_empty(self, text.into_bytes()),
                Err(std::env::VarError::NotPresent) => Err(format!("{self} is not set")),
                Err(std::env::VarError::NotUnicode(_)) => Err(format!("{self} is not valid UTF-8")),
            },
        }
    }

    fn not_empty(&self, bytes: Vec<u8>) -> Result<Secret, String> {
        if bytes.is_empty() { Err(format!("{self} is empty")) } else { Ok(Secret(bytes)) }
    }
}

fn read_file(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX >> 20)));
    }
    Ok(bytes)
}

/// The reference, for messages.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

impl Secret {
    /// The secret itself: not for messages.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, bytes: &[u8]) -> SecretRef {
        let path = dir.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        SecretRef::File(path)
    }

    #[test]
    fn a_file_is_read_without_the_line_end_that_editors_add() {
        let dir = tempfile::tempdir().unwrap();
        for (written, read) in
            [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("a\n\n", "a\n")]
        {
            assert_eq!(file(&dir, written.as_bytes()).read().unwrap().expose(), read.as_bytes());
        }
    }

    #[test]
    fn what_is_missing_empty_or_too_large_is_named_by_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("secret").display().to_string();
        let missing = SecretRef::File(dir.path().join("secret")).read().unwrap_err();
        assert!(missing.contains(&place) && missing.starts_with("cannot read"), "{missing}");
        assert_eq!(file(&dir, b"\n").read().unwrap_err(), format!("{place} is empty"));
        let large = file(&dir, &vec![b'x'; 4 * 1024 * 1024 + 1]).read().unwrap_err();
        assert!(large.ends_with("larger than 4 MiB"), "{large}");
        let unset = SecretRef::Env("WHARF_TEST_NO_SUCH_VARIABLE".to_owned()).read().unwrap_err();
        assert_eq!(unset, "the environment variable WHARF_TEST_NO_SUCH_VARIABLE is not set");
    }

    #[test]
    fn a_variable_of_the_environment_is_read() {
        let cargo = SecretRef::Env("CARGO_MANIFEST_DIR".to_owned()).read().unwrap();
        assert_eq!(cargo.expose(), env!("CARGO_MANIFEST_DIR").as_bytes());
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let secret = Secret::from(b"hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
