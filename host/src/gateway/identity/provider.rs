//! Providers at work: a token comes in, an identity goes out.
//!
//! The order: form, who issued it, allowed algorithm, key, signature, claims, times. A token that was verified before
//! is found by the SHA-256 of its text and only asked whether it still holds; it is forgotten as soon as the
//! provider's keys change, so a key that was taken back takes its tokens with it at once.
//!
//! Providers outlive configurations: an unchanged one keeps its keys and what it verified, a changed one keeps its
//! keys as long as they come from the same place.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::claims::{self, Times};
use super::fetch::Fetcher;
use super::jwks::KeySet;
use super::source::{Clock, Readiness, Source};
use super::token::{Invalid, MAX_TOKEN, Unproven, take_apart};
use super::{Identity, Method, scopes};
use crate::config::{Auth, JwtAlgorithm, JwtProvider};

/// Memory for verified tokens of one provider, in bytes: some two thousand of them.
const VERIFIED_BYTES: u64 = 8 * 1024 * 1024;
/// What a verified token takes beside its claims, roughly.
const VERIFIED_OVERHEAD: u64 = 512;

type TokenDigest = [u8; 32];

/// Those of one configuration, by name.
pub(crate) type Known = Arc<HashMap<String, Arc<Provider>>>;

/// Why a token brought no identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not believed.
    Invalid(Invalid),
    /// The provider's keys are not there, so nobody can say.
    Unavailable(Arc<str>),
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Who vouches for clients, by name.
pub(crate) struct Providers {
    known: ArcSwap<HashMap<String, Arc<Provider>>>,
    fetcher: Arc<Fetcher>,
    clock: Clock,
    host: Readiness,
}

impl Providers {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self::with(Fetcher::new(), Arc::new(Instant::now))
    }

    pub(super) fn with(fetcher: Fetcher, clock: Clock) -> Self {
        Self { known: ArcSwap::default(), fetcher: Arc::new(fetcher), clock, host: Readiness::default() }
    }

    /// The host starts, and this tells when it has: who shows keys may be behind it.
    pub(crate) fn starts(&self, ready: watch::Receiver<bool>) {
        self.host.follows(ready);
    }

    /// Takes the providers of a configuration and starts to fetch keys that are missing. Filters that were built
    /// before keep the providers that they had. Needs the tokio runtime; one caller at a time. Gives what was there
    /// before, for [`Self::restore`].
    pub(crate) fn apply(&self, auth: &Auth) -> Known {
        let before = self.known.load_full();
        let mut known = HashMap::new();
        for settings in &auth.providers {
            let old = before.get(&settings.name);
            let provider = match old {
                Some(old) if old.settings == *settings => Arc::clone(old),
                old => Arc::new(self.provider(settings, old)),
            };
            provider.source.prefetch();
            known.insert(settings.name.clone(), provider);
        }
        self.known.store(Arc::new(known));
        before
    }

    /// Takes back the last [`Self::apply`]: with its keys and with what was verified, each provider is there again.
    pub(crate) fn restore(&self, before: Known) {
        self.known.store(before);
    }

    /// A provider of the last configuration applied.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Provider>> {
        self.known.load().get(name).map(Arc::clone)
    }

    fn provider(&self, settings: &JwtProvider, old: Option<&Arc<Provider>>) -> Provider {
        let name: Arc<str> = settings.name.as_str().into();
        let source = match old {
            Some(old) if old.source.suits(settings) => Arc::clone(&old.source),
            _ => {
                let (fetcher, clock) = (Arc::clone(&self.fetcher), Arc::clone(&self.clock));
                Source::new(Arc::clone(&name), settings, fetcher, clock, self.host.clone())
            }
        };
        let algorithms = settings.algorithms.iter().copied().map(algorithm).collect();
        let estimated = usize::try_from(VERIFIED_BYTES / 4096).unwrap_or_default();
        let verified = Cache::with_weighter(estimated, VERIFIED_BYTES, ByBytes);
        Provider { name, settings: settings.clone(), algorithms, source, verified }
    }
}

/// Somebody who vouches for clients.
pub(crate) struct Provider {
    name: Arc<str>,
    settings: JwtProvider,
    algorithms: Vec<Algorithm>,
    source: Arc<Source>,
    verified: Cache<TokenDigest, Arc<Verified>, ByBytes>,
}

/// A token whose signature and claims were right.
struct Verified {
    /// What its signature was verified with.
    keys: Arc<KeySet>,
    claims: Map<String, Value>,
    times: Times,
    bytes: u64,
}

/// Weighs verified tokens by the memory they take.
#[derive(Clone)]
struct ByBytes;

impl Weighter<TokenDigest, Arc<Verified>> for ByBytes {
    fn weight(&self, _: &TokenDigest, verified: &Arc<Verified>) -> u64 {
        verified.bytes
    }
}

/// Whose token it is, if one of `providers` vouches for it at `now` (wall-clock time).
///
/// # Errors
/// When nobody does, or the one who could has no keys.
pub(crate) async fn verify(providers: &[Arc<Provider>], token: &[u8], now: SystemTime) -> Result<Identity, Refused> {
    if token.len() > MAX_TOKEN {
        return Err(Invalid::TooLong.into());
    }
    let digest: TokenDigest = Sha256::digest(token).into();
    for provider in providers {
        if let Some(result) = provider.remembered(&digest, now).await {
            return result;
        }
    }
    let unproven = take_apart(token)?;
    let claims = claims::read(&unproven.claims)?;
    let issuer = claims.get("iss").and_then(Value::as_str).ok_or(Invalid::Issuer)?;
    let mut refused = Refused::Invalid(Invalid::Issuer);
    // Two providers with one issuer: while it changes from one kind of key to another.
    for provider in providers.iter().filter(|provider| provider.settings.issuer == issuer) {
        match provider.prove(&digest, &unproven, &claims, now).await {
            Ok(identity) => return Ok(identity),
            // Another's refusal says less than that one could not be asked, and an algorithm that is not used least.
            Err(Refused::Invalid(Invalid::Algorithm)) if refused != Refused::Invalid(Invalid::Issuer) => {}
            Err(_) if matches!(refused, Refused::Unavailable(_)) => {}
            Err(other) => refused = other,
        }
    }
    Err(refused)
}

impl Provider {
    #[cfg(test)]
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The result for a token that was verified before with the keys that hold now.
    async fn remembered(&self, digest: &TokenDigest, now: SystemTime) -> Option<Result<Identity, Refused>> {
        let verified = self.verified.get(digest)?;
        let keys = self.source.keys().await;
        if !keys.is_ok_and(|keys| Arc::ptr_eq(&keys, &verified.keys)) {
            self.verified.remove(digest);
            return None;
        }
        if let Err(invalid) = verified.times.check(&self.settings, now) {
            self.verified.remove(digest);
            return Some(Err(invalid.into()));
        }
        Some(Ok(self.identity(verified.claims.clone())))
    }

    async fn prove(
        &self,
        digest: &TokenDigest,
        token: &Unproven<'_>,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<Identity, Refused> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(Invalid::Algorithm.into());
        }
        let keys = self.source.keys().await.map_err(|_| Refused::Unavailable(Arc::clone(&self.name)))?;
        let keys = self.check_signature(token, keys).await?;
        let times = claims::check(claims, &self.settings)?;
        times.check(&self.settings, now)?;
        let bytes = VERIFIED_OVERHEAD + 3 * token.claims.len() as u64;
        self.verified.insert(*digest, Arc::new(Verified { keys, claims: claims.clone(), times, bytes }));
        Ok(self.identity(claims.clone()))
    }

    /// Returns the keys that verified it: `keys`, or newer ones that had to be fetched for it.
    async fn check_signature(&self, token: &Unproven<'_>, mut keys: Arc<KeySet>) -> Result<Arc<KeySet>, Invalid> {
        let id = token.key_id.as_deref();
        let holds = |keys: &KeySet| keys.verify(token.algorithm, id, token.signed, &token.signature);
        let mut result = holds(&keys);
        // A token that names a key is verified by it or not at all; one that names none may be of a newer key.
        let maybe_newer = result.is_none() || (result == Some(false) && id.is_none());
        if maybe_newer && let Some(newer) = self.source.newer(id, &keys).await {
            keys = newer;
            result = holds(&keys);
        }
        match result {
            Some(true) => Ok(keys),
            Some(false) => Err(Invalid::Signature),
            None => Err(Invalid::UnknownKey),
        }
    }

    fn identity(&self, claims: Map<String, Value>) -> Identity {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let scopes = scopes(&claims);
        Identity { method: Method::Jwt, provider: Arc::clone(&self.name), subject, scopes, claims }
    }
}

fn algorithm(name: JwtAlgorithm) -> Algorithm {
    match name {
        JwtAlgorithm::Hs256 => Algorithm::HS256,
        JwtAlgorithm::Hs384 => Algorithm::HS384,
        JwtAlgorithm::Hs512 => Algorithm::HS512,
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.known.load().keys()).finish()
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}
