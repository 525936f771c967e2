//! The keys that sign tokens. One signs; the next one is shown already, so that gateways, which read the set every few
//! minutes, know it before they meet its first token; those that did sign stay in the set until the last token that
//! they signed has ended, without their secrets.
//!
//! The service makes its keys itself when it needs them: there is nothing to install, and no secret outside of its own
//! database. Keys that have ended are deleted when the next one is made.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate;
use serde::Serialize;
use sha2::{Digest, Sha256};
use wharf_sdk::sql::{self, Transaction};
use wharf_sdk::{Error, params};

/// Keys whose tokens have not ended. Gateways read sets of at most a hundred.
const MOST: i64 = 20;

/// Seconds that a login may take between finding its key and signing with it.
const MARGIN: i64 = 60;

/// A key that signs.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) key: SigningKey,
}

/// A public key, as RFC 7517 writes it.
#[derive(Serialize)]
pub(crate) struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: String,
    x: String,
    y: String,
}

/// The key that signs, for a token that lives for `ttl` seconds.
pub(crate) fn signer(ttl: i64) -> Result<Signer, Error> {
    let query = "SELECT kid, secret, longest FROM keys WHERE state = 'signs'";
    let found: Option<(String, Vec<u8>, i64)> = sql::first(query, &[])?;
    let (kid, secret) = match found {
        Some((kid, secret, longest)) if ttl <= longest => (kid, secret),
        Some(_) | None => sql::transaction(|tx| {
            begin(tx)?;
            let update = "UPDATE keys SET longest = max(longest, ?1) WHERE state = 'signs' RETURNING kid, secret";
            let signer: Option<(String, Vec<u8>)> = tx.first(update, params![ttl])?;
            signer.ok_or_else(|| Error::internal("no key signs"))
        })?,
    };
    Ok(Signer { kid, key: SigningKey::from_slice(&secret)? })
}

/// All keys with which tokens can be checked at this time.
pub(crate) fn public(now: i64) -> Result<Vec<Jwk>, Error> {
    if sql::first::<(i64,)>("SELECT 1 FROM keys WHERE state = 'signs'", &[])?.is_none() {
        sql::transaction(begin)?;
    }
    let query = "SELECT kid, x, y FROM keys WHERE ends_at IS NULL OR ends_at > ?1 ORDER BY created_at DESC, kid";
    let keys: Vec<(String, String, String)> = sql::all(query, params![now])?;
    let jwk = |(kid, x, y)| Jwk { kty: "EC", crv: "P-256", alg: "ES256", r#use: "sig", kid, x, y };
    Ok(keys.into_iter().map(jwk).collect())
}

/// From now on the next key signs. Its id is the answer.
pub(crate) fn rotate(now: i64) -> Result<String, Error> {
    sql::transaction(|tx| {
        begin(tx)?;
        tx.execute("DELETE FROM keys WHERE ends_at <= ?1", params![now])?;
        let (count,): (i64,) = tx.first("SELECT count(*) FROM keys", &[])?.unwrap_or_default();
        if count >= MOST {
            return Err(Error::conflict(format!("there are {count} keys whose tokens have not ended")));
        }
        let end = "UPDATE keys SET state = 'ended', secret = NULL, ends_at = ?1 + longest WHERE state = 'signs'";
        tx.execute(end, params![now.saturating_add(MARGIN)])?;
        let follow = "UPDATE keys SET state = 'signs' WHERE state = 'next' RETURNING kid";
        let (kid,): (String,) = tx.first(follow, &[])?.ok_or_else(|| Error::internal("no key is next"))?;
        add(tx, "next")?;
        Ok(kid)
    })
}

/// From now on a key signs that nobody has seen, and no other one is shown: what was signed before ends as soon as
/// gateways read the set. The id of the new key is the answer.
pub(crate) fn revoke() -> Result<String, Error> {
    sql::transaction(|tx| {
        tx.execute("DELETE FROM keys", &[])?;
        begin(tx)?;
        let (kid,): (String,) = tx
            .first("SELECT kid FROM keys WHERE state = 'signs'", &[])?
            .ok_or_else(|| Error::internal("no key signs"))?;
        Ok(kid)
    })
}

/// Makes the first keys, if there are none.
fn begin(tx: &Transaction) -> Result<(), Error> {
    let there: Option<(i64,)> = tx.first("SELECT 1 FROM keys WHERE state = 'signs'", &[])?;
    if there.is_none() {
        add(tx, "signs")?;
        add(tx, "next")?;
    }
    Ok(())
}

fn add(tx: &Transaction, state: &str) -> Result<(), Error> {
    let key = SigningKey::try_generate()?;
    let point = key.verifying_key().to_sec1_point(false);
    let part = |part: Option<&[u8]>| part.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default();
    let (x, y) = (part(point.x().map(AsRef::as_ref)), part(point.y().map(AsRef::as_ref)));
    let kid = thumbprint(&x, &y);
    let created_at = shop::now();
    tx.execute(
        "INSERT INTO keys (kid, x, y, state, secret, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![kid, x, y, state, key.to_bytes().to_vec(), created_at],
    )?;
    Ok(())
}

/// RFC 7638: the members that make the key, in this order and without spaces.
pub(crate) fn thumbprint(x: &str, y: &str) -> String {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}
