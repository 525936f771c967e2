//! The lines of an `htpasswd` file: `name:hash`, `#` begins a comment line.
//!
//! bcrypt (`$2a$`, `$2b$`, `$2y$`) and argon2id are taken, with bounded costs, so that a line cannot occupy a core for
//! minutes. Everything else that `htpasswd` can write (plain text, MD5, SHA-1, crypt) is refused with the line's number:
//! it can be guessed by the million.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier};

use crate::gateway::filter::credential::lines;

/// Rounds of bcrypt as powers of two: 14 takes about a second.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=14;
/// Largest memory of argon2id, KiB.
const ARGON2_MEMORY: u32 = 256 * 1024;
/// Most passes of argon2id over it.
const ARGON2_PASSES: u32 = 16;
/// Most lanes.
const ARGON2_LANES: u32 = 16;

/// Hashes by user.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: HashMap<String, Arc<str>>,
    first: Option<Arc<str>>,
}

impl Users {
    pub(super) fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.hashes.get(name)
    }

    /// What is verified for a user who doesn't exist, so that it takes as long.
    pub(super) fn decoy(&self) -> Option<&Arc<str>> {
        self.first.as_ref()
    }
}

/// Reads the list; never repeats a hash, or a password put there by mistake.
pub(super) fn parse(text: &str) -> Result<Users, String> {
    let mut users = Users::default();
    for (number, line) in lines(text) {
        let wrong = |what: &str| format!("line {number}: {what}");
        let (name, hash) = line.split_once(':').ok_or_else(|| wrong("write `name:hash`"))?;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(wrong("begin with a user's name"));
        }
        check(hash).map_err(|what| wrong(&what))?;
        let hash: Arc<str> = hash.into();
        users.first.get_or_insert_with(|| Arc::clone(&hash));
        if users.hashes.insert(name.to_owned(), hash).is_some() {
            return Err(wrong("this user is listed already"));
        }
    }
    Ok(users)
}

/// Whether a hash can be verified at a bearable cost.
fn check(hash: &str) -> Result<(), String> {
    let advice = "make a new line with `wharf hash password`";
    if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
        let rest = hash.rsplit('$').next().unwrap_or_default();
        let letters = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
        let parts = bcrypt::HashParts::from_str(hash).ok().filter(|_| letters);
        let parts = parts.ok_or_else(|| format!("not a whole bcrypt hash: {advice}"))?;
        if !BCRYPT_COST.contains(&parts.get_cost()) {
            let (least, most) = (BCRYPT_COST.start(), BCRYPT_COST.end());
            return Err(format!("bcrypt cost {} is out of bounds: {least} to {most}", parts.get_cost()));
        }
        return Ok(());
    }
    if hash.starts_with("$argon2id$") {
        let parsed = PasswordHash::new(hash).ok().filter(|parsed| parsed.hash.is_some() && parsed.salt.is_some());
        let params = parsed.as_ref().and_then(|parsed| Params::try_from(parsed).ok());
        let params = params.ok_or_else(|| format!("not a whole argon2id hash: {advice}"))?;
        if params.m_cost() > ARGON2_MEMORY || params.t_cost() > ARGON2_PASSES || params.p_cost() > ARGON2_LANES {
            let bounds = format!("m={ARGON2_MEMORY}, t={ARGON2_PASSES}, p={ARGON2_LANES}");
            return Err(format!("argon2id costs are out of bounds: at most {bounds}"));
        }
        return Ok(());
    }
    let kind = match hash {
        _ if hash.starts_with("$apr1$") || hash.starts_with("$1$") => "MD5 is too weak",
        _ if hash.starts_with("{SHA}") => "SHA-1 is too weak",
        _ if hash.starts_with("$5$") || hash.starts_with("$6$") => "crypt with SHA-2 is not supported",
        _ if hash.starts_with("$argon2") => "of the kinds of argon2 only argon2id is supported",
        _ => "neither bcrypt nor argon2id",
    };
    Err(format!("{kind}: {advice}"))
}

/// Whether the password is right. Slow by design; blocks.
pub(super) fn verify(hash: &str, password: &str) -> bool {
    if hash.starts_with("$argon2id$") {
        let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, Params::default());
        return PasswordHash::new(hash).is_ok_and(|hash| argon2.verify_password(password.as_bytes(), &hash).is_ok());
    }
    bcrypt::non_truncating_verify(password, hash).unwrap_or(false)
}
