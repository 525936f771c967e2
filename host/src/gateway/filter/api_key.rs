//! API keys: a request proves who it comes from by a key that the gateway knows the hash of.
//!
//! The list has one line a key, `#` begins a comment:
//!
//! ```text
//! ci-runner sha256:<64 hex digits> scopes=orders:read,orders:write expires=2027-01-01T00:00:00Z
//! ```
//!
//! Keys are random, 256 bits if `wharf hash api-key` made them, so a plain SHA-256 keeps them as well as a slow hash
//! would: there is nothing to guess, and no table of 2^128 keys. Passwords are guessable and don't belong here. The key
//! that was sent is hashed and the hash looked up; how long that takes tells something about the hash of what was sent,
//! which nobody can steer towards the hash of a key that they don't know.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::HeaderValue;
use http::header::HeaderName;
use http::request::Parts;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::Map;
use sha2::{Digest, Sha256};

use super::credential::{Refused, SubjectHeader, Watched, lines};
use super::parameter;
use crate::config::{self, KeyPlace};
use crate::gateway::identity::{Identity, Method};

/// Longest key that is looked at, in bytes.
const MAX_KEY: usize = 512;

/// `apiKey`, ready to authenticate.
#[derive(Debug)]
pub(crate) struct ApiKey {
    keys: Arc<Watched<Keys>>,
    place: Place,
    forward: bool,
    subject_header: Option<SubjectHeader>,
    optional: bool,
    challenge: HeaderValue,
    provider: Arc<str>,
}

#[derive(Debug)]
enum Place {
    Header(HeaderName),
    Query(String),
}

/// What is known about keys, by their SHA-256.
type Keys = HashMap<[u8; 32], Known>;

#[derive(Debug, PartialEq, Eq)]
struct Known {
    name: String,
    scopes: Vec<String>,
    expires: Option<Timestamp>,
}

impl ApiKey {
    /// Reads the list of keys (blocking); inside a runtime, keeps it fresh.
    ///
    /// # Errors
    /// Says which line of which list is wrong.
    pub(crate) fn new(config: &config::ApiKey) -> Result<Self, String> {
        let (place, challenge) = match &config.from {
            KeyPlace::Header(name) => {
                let name: HeaderName =
                    name.parse().map_err(|_| format!("`{}` is no header name", name.escape_debug()))?;
                let challenge = format!("ApiKey header=\"{name}\"");
                (Place::Header(name), challenge)
            }
            KeyPlace::Query(name) => (Place::Query(name.clone()), format!("ApiKey query=\"{name}\"")),
        };
        Ok(Self {
            keys: Watched::load(config.keys.clone(), parse)?,
            place,
            forward: config.forward,
            subject_header: SubjectHeader::new(config.subject_header.as_deref()),
            optional: config.optional,
            challenge: HeaderValue::from_str(&challenge).map_err(|error| error.to_string())?,
            provider: "apiKey".into(),
        })
    }

    /// Who the request comes from; `None` if it carries no key.
    ///
    /// # Errors
    /// When it carries more than one, or one that is unknown or expired.
    pub(crate) fn authenticate(&self, parts: &Parts) -> Result<Option<Identity>, Refused> {
        self.authenticate_at(parts, Timestamp::now())
    }

    fn authenticate_at(&self, parts: &Parts, now: Timestamp) -> Result<Option<Identity>, Refused> {
        let hash = match &self.place {
            Place::Header(name) => {
                let mut sent = parts.headers.get_all(name).iter();
                only(sent.next(), sent.next())?.map(|key| hash(key.as_bytes())).transpose()?
            }
            Place::Query(name) => {
                let mut sent = parameter::all(&parts.uri, name);
                let decoded = only(sent.next(), sent.next())?.map(percent_decode_str);
                decoded.map(|key| hash(&key.collect::<Vec<u8>>())).transpose()?
            }
        };
        let Some(hash) = hash else { return Ok(None) };
        let keys = self.keys.current();
        let known = keys.get(&hash).ok_or(Refused::Invalid("the API key is not known"))?;
        if known.expires.is_some_and(|expires| expires <= now) {
            return Err(Refused::Invalid("the API key has expired"));
        }
        Ok(Some(Identity {
            method: Method::ApiKey,
            provider: Arc::clone(&self.provider),
            subject: known.name.clone(),
            scopes: known.scopes.clone(),
            claims: Map::new(),
        }))
    }

    /// Takes the key away, unless the service may see it. Must be done for every authenticator of a route, whichever of
    /// them succeeded, before any `tell`. What clients say in the gateway's name is taken away by `Told`.
    pub(crate) fn strip(&self, parts: &mut Parts) {
        if self.forward {
            return;
        }
        match &self.place {
            Place::Header(name) => {
                parts.headers.remove(name);
            }
            Place::Query(name) => parameter::remove(&mut parts.uri, name),
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

    /// For `WWW-Authenticate`. No scheme is registered for API keys; this one says where the key belongs.
    pub(crate) fn challenge(&self) -> HeaderValue {
        self.challenge.clone()
    }
}

/// Of two keys nobody can say which one counts.
fn only<T>(first: Option<T>, second: Option<T>) -> Result<Option<T>, Refused> {
    if second.is_some() { Err(Refused::Invalid("more than one API key")) } else { Ok(first) }
}

fn hash(key: &[u8]) -> Result<[u8; 32], Refused> {
    if key.len() > MAX_KEY {
        return Err(Refused::Invalid("the API key is too long"));
    }
    Ok(Sha256::digest(key).into())
}

/// Reads the list; never repeats what could be a key put there by mistake.
fn parse(text: &str) -> Result<Keys, String> {
    let (mut keys, mut names) = (Keys::new(), HashSet::new());
    for (number, line) in lines(text) {
        let wrong = |what: &str| format!("line {number}: {what}");
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        if name.starts_with("sha256:") || !name.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            return Err(wrong("begin with a name, in ASCII"));
        }
        let hash = words.next().and_then(|word| word.strip_prefix("sha256:")).and_then(digest);
        let hash = hash.ok_or_else(|| wrong("write `sha256:` and 64 hex digits after the name"))?;
        let mut known = Known { name: name.to_owned(), scopes: Vec::new(), expires: None };
        for word in words {
            match word.split_once('=') {
                Some(("scopes", scopes)) if known.scopes.is_empty() && !scopes.split(',').any(str::is_empty) => {
                    known.scopes = scopes.split(',').map(str::to_owned).collect();
                }
                Some(("expires", time)) if known.expires.is_none() => {
                    let time = time.parse().map_err(|_| wrong("`expires=` takes a time like 2027-01-01T00:00:00Z"))?;
                    known.expires = Some(time);
                }
                _ => return Err(wrong("after the hash there may be `scopes=a,b` and `expires=…`, once each")),
            }
        }
        if !names.insert(name) {
            return Err(wrong(&format!("`{name}` is a name that another key has")));
        }
        if keys.insert(hash, known).is_some() {
            return Err(wrong(&format!("the key of `{name}` is listed already")));
        }
    }
    Ok(keys)
}

/// 64 hex digits.
fn digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests;
