//! User names and passwords (RFC 7617) against bcrypt and argon2id lines of an `htpasswd` file.
//!
//! Verifying a password is slow by design. So it is done in threads that may block, [`AT_ONCE`] at a time over all
//! filters; [`WAITING`] more may wait [`PATIENCE`], everybody else is sent away. What was right is remembered for
//! [`REMEMBERED`] under a keyed hash of name, password and the user's line: a changed line, or a removed user,
//! counts at once. What was wrong is not remembered, so guessing stays slow. An unknown user costs as much as the
//! first one of the list.
//!
//! Name and password are compared as UTF-8 bytes, without normalisation; the first colon ends the name; control
//! characters are refused. Of a password longer than bcrypt can take (71 bytes) nothing is cut off: it is wrong.

mod users;
mod workers;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;
use quick_cache::sync::Cache;
use serde_json::Map;
use sha2::Sha256;
use tokio::time::Instant;

use super::credential::{Refused, SubjectHeader, Watched};
use crate::config;
use crate::gateway::identity::{Identity, Method};
use users::{Users, parse};
use workers::Workers;

/// Passwords that are verified at the same time.
const AT_ONCE: usize = 2;
/// Requests that may wait for that.
const WAITING: usize = 64;
/// How long.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a right password need not be verified again.
const REMEMBERED: Duration = Duration::from_secs(300);
/// How many right passwords are remembered, in each filter.
const MAX_REMEMBERED: usize = 1024;
/// Longest name and password together, in bytes.
const MAX_CREDENTIALS: usize = 1024;

static WORKERS: LazyLock<Arc<Workers>> = LazyLock::new(|| Arc::new(Workers::new(AT_ONCE, WAITING, PATIENCE)));

/// `basicAuth`, ready to authenticate.
pub(crate) struct BasicAuth {
    users: Arc<Watched<Users>>,
    forward: bool,
    subject_header: Option<SubjectHeader>,
    optional: bool,
    challenge: HeaderValue,
    provider: Arc<str>,
    workers: Arc<Workers>,
    /// What was right, until when.
    remembered: Cache<[u8; 32], Instant>,
    /// Of this process and this filter only.
    key: [u8; 32],
}

impl BasicAuth {
    /// Reads the list of users (blocking); inside a runtime, keeps it fresh.
    ///
    /// # Errors
    /// Says which line of which list is wrong, or that the system has no random numbers.
    pub(crate) fn new(config: &config::BasicAuth) -> Result<Self, String> {
        let mut key = [0; 32];
        rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty()).map_err(|error| error.to_string())?;
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", config.realm);
        Ok(Self {
            users: Watched::load(config.users.clone(), parse)?,
            forward: config.forward,
            subject_header: SubjectHeader::new(config.subject_header.as_deref()),
            optional: config.optional,
            challenge: HeaderValue::from_str(&challenge).map_err(|error| error.to_string())?,
            provider: "basicAuth".into(),
            workers: Arc::clone(&WORKERS),
            remembered: Cache::new(MAX_REMEMBERED),
            key,
        })
    }

    /// Who the request comes from; `None` if it carries no `Authorization: Basic`.
    ///
    /// # Errors
    /// When name and password are malformed or wrong, or too many others wait.
    pub(crate) async fn authenticate(&self, parts: &Parts) -> Result<Option<Identity>, Refused> {
        let Some(sent) = credentials(parts)? else { return Ok(None) };
        let (name, password) = split(&sent)?;
        let (hash, known) = {
            let users = self.users.current();
            match (users.get(name), users.decoy()) {
                (Some(hash), _) => (Arc::clone(hash), true),
                (None, Some(decoy)) => (Arc::clone(decoy), false),
                (None, None) => return Err(Refused::Invalid("there are no users")),
            }
        };
        let digest = self.digest(name, &hash, password).ok_or(Refused::Overloaded)?;
        if !(known && self.is_remembered(&digest)) {
            let password = password.to_owned();
            let right = self.workers.run(move || users::verify(&hash, &password)).await.ok_or(Refused::Overloaded)?;
            if !(known && right) {
                return Err(Refused::Invalid("the user's name or the password is wrong"));
            }
            self.remembered.insert(digest, Instant::now() + REMEMBERED);
        }
        Ok(Some(Identity {
            method: Method::Basic,
            provider: Arc::clone(&self.provider),
            subject: name.to_owned(),
            scopes: Vec::new(),
            claims: Map::new(),
        }))
    }

    fn is_remembered(&self, digest: &[u8; 32]) -> bool {
        self.remembered.get(digest).is_some_and(|until| Instant::now() < until)
    }

    /// A name for all that makes a password right; nothing can be read from it without the key. Parts are told apart by
    /// their lengths. `None` never happens: HMAC takes keys of every length.
    fn digest(&self, name: &str, hash: &str, password: &str) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        for part in [name, hash, password] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac.finalize().into_bytes().into())
    }

    /// Takes name and password away, unless the service may see it. Must be done for every authenticator of a route, whichever of
    /// them succeeded, before any `tell`. What clients say in the gateway's name is taken away by `Told`.
    pub(crate) fn strip(&self, parts: &mut Parts) {
        if !self.forward && parts.headers.get_all(AUTHORIZATION).iter().any(|value| basic(value).is_some()) {
            parts.headers.remove(AUTHORIZATION);
        }
    }

    /// Tells the service who the client is; for an identity that this filter found.
    pub(crate) fn tell(&self, parts: &mut Parts, identity: &Identity) {
        if let Some(header) = &self.subject_header {
            header.set(&mut parts.headers, &identity.subject);
        }
    }

    /// Whether a request without credentials may pass.
    pub(crate) fn optional(&self) -> bool {
        self.optional
    }

    /// For `WWW-Authenticate`.
    pub(crate) fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }
}

// Neither the key nor what is remembered under it.
impl std::fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BasicAuth").field("users", &self.users).finish_non_exhaustive()
    }
}

/// What follows the word `Basic`; a tab counts as a space, as services might have it.
fn basic(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, rest) = value.as_bytes().split_at_checked(5)?;
    if rest.first().is_some_and(|byte| !matches!(byte, b' ' | b'\t')) {
        return None;
    }
    scheme.eq_ignore_ascii_case(b"basic").then_some(rest.trim_ascii())
}

/// Name and password as they were sent, decoded.
fn credentials(parts: &Parts) -> Result<Option<String>, Refused> {
    let malformed = || Refused::Invalid("the credentials are malformed");
    let mut sent = parts.headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (sent.next(), sent.next());
    if second.is_some() && parts.headers.get_all(AUTHORIZATION).iter().any(|value| basic(value).is_some()) {
        return Err(Refused::Invalid("more than one `Authorization`"));
    }
    let Some(encoded) = first.and_then(basic) else { return Ok(None) };
    if encoded.len() > MAX_CREDENTIALS.div_ceil(3) * 4 {
        return Err(malformed());
    }
    let decoded = BASE64_STANDARD.decode(encoded).map_err(|_| malformed())?;
    String::from_utf8(decoded).map(Some).map_err(|_| malformed())
}

fn split(credentials: &str) -> Result<(&str, &str), Refused> {
    match credentials.split_once(':') {
        Some((name, password)) if !name.is_empty() && !credentials.chars().any(char::is_control) => {
            Ok((name, password))
        }
        _ => Err(Refused::Invalid("the credentials are malformed")),
    }
}

#[cfg(test)]
mod tests;
