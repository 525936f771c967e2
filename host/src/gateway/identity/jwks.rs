//! A provider's keys: from a JWK set (RFC 7517) or one shared secret, and which of them may verify a token.
//!
//! A set is taken as a whole or not at all when it is no JWK set; a single key that is of no use here (another
//! purpose, an unknown kind, too short, a shared secret in a public place) is left out and the others still count,
//! as RFC 7517 §5 asks. A key verifies an algorithm only when `kty`, `crv`, `alg`, `use` and `key_ops` all agree. The
//! signature itself is jsonwebtoken's (aws-lc).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::json;

/// Most keys of one set; more is a mistake, or an attempt to make every token expensive.
pub(super) const MAX_KEYS: usize = 100;
/// Most keys that are tried for one token.
const MAX_TRIED: usize = 8;
/// RSA moduli outside of this verify nothing (RFC 7518 §3.3 asks for 2048 bits; aws-lc ends at 8192).
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeysError {
    #[error("no JWK set: expected an object with a list `keys`")]
    NoSet,
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
    #[error("no key in it can verify a signature")]
    NoneFits,
    #[error("the secret has less than 32 bytes")]
    ShortSecret,
}

/// Keys that belong together.
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Of the text that they came from: equal texts are equal sets.
    digest: [u8; 32],
}

/// A key and what it may verify.
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// When it is none, or nothing in it is of use.
    pub(super) fn from_jwks(text: &[u8]) -> Result<Self, KeysError> {
        let set = json::object(text).ok_or(KeysError::NoSet)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(KeysError::NoSet)?;
        if list.len() > MAX_KEYS {
            return Err(KeysError::TooMany);
        }
        let keys: Vec<Key> = list.iter().filter_map(Value::as_object).filter_map(Key::from_jwk).collect();
        if keys.is_empty() {
            return Err(KeysError::NoneFits);
        }
        Ok(Self { keys, digest: Sha256::digest(text).into() })
    }

    /// A shared secret; it verifies what it is long enough for (RFC 7518 §3.2).
    ///
    /// # Errors
    /// When it is too short for all.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, KeysError> {
        let sizes = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];
        let algorithms: Vec<Algorithm> =
            sizes.into_iter().filter(|(_, least)| secret.len() >= *least).map(|(algorithm, _)| algorithm).collect();
        if algorithms.is_empty() {
            return Err(KeysError::ShortSecret);
        }
        let key = Key { id: None, algorithms, key: DecodingKey::from_secret(secret) };
        Ok(Self { keys: vec![key], digest: Sha256::digest(secret).into() })
    }

    /// Whether both came from the same text.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// How many keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key verifies the signature; nothing when no key fits `key_id` and `algorithm`.
    ///
    /// A token that names a key gets that key only. One that names none gets all that fit, up to 8. A shared secret
    /// has no name, so whatever the token calls it is right.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        signed: &[u8],
        signature: &Vec<u8>,
    ) -> Option<bool> {
        let named = |key: &Key| key_id.is_none() || key.id.as_deref() == key_id || is_secret(algorithm);
        let fits = |key: &&Key| key.algorithms.contains(&algorithm) && named(key);
        let mut fitting = self.keys.iter().filter(fits).take(MAX_TRIED).peekable();
        fitting.peek()?;
        Some(fitting.any(|key| signature_holds(algorithm, &key.key, signed, signature)))
    }
}

fn is_secret(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// The one place where a signature is verified.
pub(super) fn signature_holds(algorithm: Algorithm, key: &DecodingKey, signed: &[u8], signature: &Vec<u8>) -> bool {
    (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key)
        .is_ok_and(|verifier| verifier.verify(signed, signature).is_ok())
}

impl Key {
    fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        if jwk.get("use").is_some_and(|purpose| purpose.as_str() != Some("sig")) {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops")
            && !operations.as_array()?.iter().any(|operation| operation.as_str() == Some("verify"))
        {
            return None;
        }
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
        let (mut algorithms, key) = match (jwk.get("kty")?.as_str()?, jwk.get("crv").and_then(Value::as_str)) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                let modulus = modulus.get(modulus.iter().take_while(|byte| **byte == 0).count()..)?;
                if !RSA_BYTES.contains(&modulus.len()) {
                    return None;
                }
                (RSA.to_vec(), DecodingKey::from_rsa_raw_components(modulus, &exponent))
            }
            ("EC", Some("P-256")) => (vec![Algorithm::ES256], point(&bytes("x")?, &bytes("y")?, 32)?),
            ("EC", Some("P-384")) => (vec![Algorithm::ES384], point(&bytes("x")?, &bytes("y")?, 48)?),
            ("OKP", Some("Ed25519")) => {
                let key = bytes("x").filter(|key| key.len() == 32)?;
                (vec![Algorithm::EdDSA], DecodingKey::from_ed_der(&key))
            }
            // `oct` too: a secret that anybody may fetch is none.
            _ => return None,
        };
        if let Some(name) = jwk.get("alg") {
            let only: Algorithm = name.as_str()?.parse().ok()?;
            algorithms.retain(|algorithm| *algorithm == only);
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        (!algorithms.is_empty()).then_some(Self { id, algorithms, key })
    }
}

/// A point of a curve, uncompressed; coordinates have their full length (RFC 7518 §6.2.1.2).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<DecodingKey> {
    if x.len() != length || y.len() != length {
        return None;
    }
    Some(DecodingKey::from_ec_der(&[&[4], x, y].concat()))
}

// No keys in the output: one of them may be a secret.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
