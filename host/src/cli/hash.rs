//! `wharf hash`: lines for the lists of `apiKey` and `basicAuth`.
//!
//! A key is made here and shown once, because a key that a person thinks of can be guessed. A password comes from
//! standard input and never from the command line, which other users of the machine can read; a terminal is refused,
//! because it would show what is typed.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Random bytes of a key: 256 bits.
const KEY: usize = 32;
/// Longest password that the gateway looks at.
const MAX_PASSWORD: usize = 900;

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The name could not stand in a list.
    #[error("`{0}` cannot stand in a list: use printable ASCII characters without spaces, `:` and `#`")]
    Name(String),
    /// The same about a scope.
    #[error("`{0}` cannot be a scope: use printable ASCII characters without spaces and commas")]
    Scope(String),
    /// No time.
    #[error("`{0}` is no time: write it like 2027-01-01T00:00:00Z")]
    Time(String),
    /// It would be seen.
    #[error(
        "a password that is typed here could be seen: write `read -rs P; printf %s \"$P\" | wharf hash password {0}`"
    )]
    Terminal(String),
    /// There is none, or it cannot be sent.
    #[error("the password must have 1 to {MAX_PASSWORD} bytes of UTF-8 in one line, without control characters")]
    Password,
    /// Hashing failed, or there are no random numbers.
    #[error("cannot hash: {0}")]
    Hash(String),
    /// Reading or printing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes a key and prints it, and its line for the list, which may have scopes and an end.
///
/// # Errors
/// When a name is impossible, there are no random numbers, or printing fails.
pub fn api_key(name: &str, scopes: &[String], expires: Option<&str>, out: &mut dyn Write) -> Result<(), HashError> {
    valid_name(name)?;
    let printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if let Some(scope) = scopes.iter().find(|scope| !printable(scope) || scope.contains(',')) {
        return Err(HashError::Scope(scope.escape_debug().to_string()));
    }
    let expires = expires.map(|time| time.parse::<jiff::Timestamp>().map_err(|_| HashError::Time(time.to_owned())));
    let expires = expires.transpose()?;
    let key = format!("whk_{}", BASE64_URL_SAFE_NO_PAD.encode(random::<KEY>()?));
    let mut line = format!("{name} sha256:");
    for byte in Sha256::digest(&key) {
        // Writing to a string cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    if !scopes.is_empty() {
        let _ = write!(line, " scopes={}", scopes.join(","));
    }
    if let Some(expires) = expires {
        let _ = write!(line, " expires={expires}");
    }
    writeln!(out, "key, for the client (shown once): {key}")?;
    writeln!(out, "line, for the list of keys:")?;
    writeln!(out, "{line}")?;
    Ok(())
}

/// Reads a password, one line, and prints the user's line with its argon2id hash (the crate's defaults: 19 MiB, two
/// passes, as OWASP recommends).
///
/// # Errors
/// When the name or the password is impossible, or reading or printing fails.
pub fn password(user: &str, input: &mut dyn Read, terminal: bool, out: &mut dyn Write) -> Result<(), HashError> {
    valid_name(user)?;
    if terminal {
        return Err(HashError::Terminal(user.to_owned()));
    }
    let mut bytes = Vec::new();
    input.take(MAX_PASSWORD as u64 + 3).read_to_end(&mut bytes)?;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let password = std::str::from_utf8(bytes).map_err(|_| HashError::Password)?;
    if password.is_empty() || password.len() > MAX_PASSWORD || password.chars().any(char::is_control) {
        return Err(HashError::Password);
    }
    let salt = SaltString::encode_b64(&random::<16>()?).map_err(|error| HashError::Hash(error.to_string()))?;
    let hash = Argon2::default().hash_password(bytes, &salt).map_err(|error| HashError::Hash(error.to_string()))?;
    writeln!(out, "{user}:{hash}")?;
    Ok(())
}

fn valid_name(name: &str) -> Result<(), HashError> {
    let plain = |byte: u8| (b'!'..=b'~').contains(&byte) && !b":#".contains(&byte);
    if !name.is_empty() && name.len() <= 100 && name.bytes().all(plain) {
        return Ok(());
    }
    Err(HashError::Name(name.escape_debug().to_string()))
}

fn random<const N: usize>() -> Result<[u8; N], HashError> {
    let mut bytes = [0; N];
    // Up to 256 bytes come whole or not at all.
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| HashError::Hash(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use http::{HeaderValue, Request};
    use serde_json::json;

    use super::*;
    use crate::gateway::filter::api_key::ApiKey;
    use crate::gateway::filter::basic_auth::BasicAuth;

    fn parts(name: &str, value: &str) -> http::request::Parts {
        Request::get("/").header(name, HeaderValue::from_str(value).unwrap()).body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_made_key_opens_with_its_line_and_no_two_are_equal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let mut keys = Vec::new();
        for name in ["ci", "cd"] {
            let mut out = Vec::new();
            api_key(name, &["a".to_owned(), "b".to_owned()], Some("2999-01-01T00:00:00Z"), &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            let key = out.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
            let line = out.lines().last().unwrap();
            assert!(!line.contains(&key));
            std::fs::write(&path, line).unwrap();
            let filter = ApiKey::new(&serde_json::from_value(json!({ "keys": { "file": path } })).unwrap()).unwrap();
            let identity = filter.authenticate(&parts("x-api-key", &key)).unwrap().unwrap();
            assert_eq!((identity.subject.as_str(), identity.scopes.as_slice()), (name, &["a".into(), "b".into()][..]));
            keys.push(key);
        }
        assert_ne!(keys[0], keys[1]);
        assert_eq!(keys[0].len(), 47);
    }

    #[tokio::test]
    async fn a_password_opens_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let mut out = Vec::new();
        password("ada", &mut "öpen sesame\r\n".as_bytes(), false, &mut out).unwrap();
        std::fs::write(&path, &out).unwrap();
        let filter = BasicAuth::new(&serde_json::from_value(json!({ "users": { "file": path } })).unwrap()).unwrap();
        let header = format!("Basic {}", BASE64_STANDARD.encode("ada:öpen sesame"));
        assert_eq!(filter.authenticate(&parts("authorization", &header)).await.unwrap().unwrap().subject, "ada");
        assert!(!String::from_utf8(out).unwrap().contains("sesame"));
    }

    #[test]
    fn what_could_not_be_a_line_is_refused() {
        for name in ["", "a b", "a:b", "#a", "ä", "a\n"] {
            assert!(matches!(api_key(name, &[], None, &mut Vec::new()), Err(HashError::Name(_))), "{name}");
            let read = password(name, &mut "x".as_bytes(), false, &mut Vec::new());
            assert!(matches!(read, Err(HashError::Name(_))), "{name}");
        }
        for scope in ["", "a b", "a,b"] {
            let made = api_key("a", &[scope.to_owned()], None, &mut Vec::new());
            assert!(matches!(made, Err(HashError::Scope(_))), "{scope}");
        }
        assert!(matches!(api_key("a", &[], Some("tomorrow"), &mut Vec::new()), Err(HashError::Time(_))));
        for text in ["", "\n", "a\nb", "a\tb", &"x".repeat(901)] {
            let read = password("a", &mut text.as_bytes(), false, &mut Vec::new());
            assert!(matches!(read, Err(HashError::Password)), "{text:?}");
        }
        let typed = password("a", &mut "x".as_bytes(), true, &mut Vec::new());
        assert!(matches!(typed, Err(HashError::Terminal(_))));
    }
}
