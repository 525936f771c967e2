//! Who a client is: the ways to prove it that hold for a route, tried one after the other.
//!
//! The first that finds credentials of its kind decides: good ones name the client, bad ones are refused even if another
//! way could have been taken. Without any credentials a request is refused with all challenges, unless all of the ways
//! are optional. Whatever happened, what clients say about identities in headers that are the gateway's to set is taken
//! away first, also on routes that ask for none.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use http::request::Parts;
use tokio::time::timeout;

use super::api_key::ApiKey;
use super::basic_auth::BasicAuth;
use super::credential::Refused;
use super::jwt::{Jwt, Unauthorized};
use super::told::Told;
use crate::gateway::GatewayError;
use crate::gateway::identity::Identity;

/// One way to prove who a client is.
#[derive(Debug)]
pub(super) enum Authenticator {
    Jwt(Jwt),
    ApiKey(Arc<ApiKey>),
    Basic(Arc<BasicAuth>),
}

impl Authenticator {
    async fn authenticate(&self, parts: &Parts) -> Result<Option<Identity>, Refusal> {
        match self {
            Self::Jwt(jwt) => match jwt.authenticate(parts, SystemTime::now()).await {
                Ok(identity) => Ok(identity),
                Err(Unauthorized::Unavailable(_)) => Err(Refusal::Unavailable),
                Err(unauthorized) => Err(Refusal::Invalid(unauthorized.challenge())),
            },
            Self::ApiKey(keys) => keys.authenticate(parts).map_err(Refusal::from),
            Self::Basic(users) => users.authenticate(parts).await.map_err(Refusal::from),
        }
    }

    fn strip(&self, parts: &mut Parts) {
        match self {
            Self::Jwt(jwt) => jwt.strip(parts),
            Self::ApiKey(keys) => keys.strip(parts),
            Self::Basic(users) => users.strip(parts),
        }
    }

    fn tell(&self, parts: &mut Parts, identity: &Identity) {
        match self {
            Self::Jwt(jwt) => jwt.tell(parts, identity),
            Self::ApiKey(keys) => keys.tell(parts, identity),
            Self::Basic(users) => users.tell(parts, identity),
        }
    }

    fn optional(&self) -> bool {
        match self {
            Self::Jwt(jwt) => jwt.optional(),
            Self::ApiKey(keys) => keys.optional(),
            Self::Basic(users) => users.optional(),
        }
    }

    fn challenge(&self) -> HeaderValue {
        match self {
            Self::Jwt(_) => HeaderValue::from_static("Bearer"),
            Self::ApiKey(keys) => keys.challenge(),
            Self::Basic(users) => users.challenge(),
        }
    }
}

/// Why credentials prove nothing.
enum Refusal {
    /// They are wrong; what to say instead of the usual challenge.
    Invalid(Option<HeaderValue>),
    /// Nobody can say at present.
    Unavailable,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(why) => {
                tracing::debug!(why, "credentials refused");
                Self::Invalid(None)
            }
            Refused::Overloaded => Self::Unavailable,
        }
    }
}

/// The ways that hold for a route, in order.
#[derive(Debug, Default)]
pub(super) struct Authentication {
    pub(super) ways: Vec<Authenticator>,
    /// Headers that tell of identities here or on other routes.
    pub(super) told: Arc<Told>,
    /// Longest time to wait for whoever can say: what a request has altogether.
    pub(super) longest: Option<Duration>,
}

impl Authentication {
    /// Finds out who the client is; nobody if that is not asked for.
    pub(super) async fn run(&self, parts: &mut Parts) -> Result<Option<Identity>, GatewayError> {
        let mut found = None;
        for (index, way) in self.ways.iter().enumerate() {
            let asked = way.authenticate(parts);
            let answer = match self.longest {
                None => asked.await,
                Some(longest) => timeout(longest, asked).await.unwrap_or(Err(Refusal::Unavailable)),
            };
            match answer {
                Ok(Some(identity)) => {
                    found = Some((way, identity));
                    break;
                }
                Ok(None) => {}
                Err(Refusal::Unavailable) => return Err(GatewayError::IdentityUnavailable),
                Err(Refusal::Invalid(instead)) => return Err(self.unauthorized(Some((index, instead)))),
            }
        }
        if found.is_none() && !self.ways.iter().all(Authenticator::optional) {
            return Err(self.unauthorized(None));
        }
        for way in &self.ways {
            way.strip(parts);
        }
        self.told.strip(&mut parts.headers);
        Ok(found.map(|(way, identity)| {
            way.tell(parts, &identity);
            identity
        }))
    }

    /// Parameters of the query that are not to be shown.
    pub(super) fn secret_parameters(&self) -> impl Iterator<Item = &str> {
        self.told.secret_parameters()
    }

    /// With the challenges of all ways; the one that refused may have more to say. Where there is no way, nobody can
    /// be asked.
    pub(super) fn unauthorized(&self, refused: Option<(usize, Option<HeaderValue>)>) -> GatewayError {
        let mut challenges: Vec<HeaderValue> = self.ways.iter().map(Authenticator::challenge).collect();
        if let Some((index, Some(instead))) = refused
            && let Some(challenge) = challenges.get_mut(index)
        {
            *challenge = instead;
        }
        if challenges.is_empty() { GatewayError::Forbidden } else { GatewayError::Unauthorized(challenges) }
    }
}
