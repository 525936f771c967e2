//! All filters of a rule, compiled: what happens to a request before a service gets it, and to the response after.
//!
//! Made when the configuration changes and not changed afterwards; what must outlast a change (keys of issuers, what was
//! used of a rate limit) is in [`Stores`] and found again by name. The order of what happens is written down in
//! [`Chain::request`] and [`Chain::response`], and nowhere else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, response};
use ipnet::IpNet;

use super::authenticate::{Authentication, Authenticator};
use super::authorization::{Authorization, Denied};
use super::body_limit::BodyLimit;
use super::cache_control::CacheControl;
use super::compression::{Accepted, Compression, Encoder};
use super::cors::Cors;
use super::fault::Fault;
use super::headers::HeaderChanges;
use super::ip_rules::IpRules;
use super::mirror::Mirror;
use super::rate_limit::{Limited, RateLimit};
use super::redirect::{Asked, Redirect};
use super::rewrite::Rewrite;
use super::static_response::StaticResponse;
use super::told::Told;
use super::{Stores, api_key, basic_auth, jwt, layers};
use crate::config::{Filter, Scheme};
use crate::gateway::GatewayError;
use crate::gateway::identity::Identity;
use crate::policy::Bulkhead;

/// All filters of a rule.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    cors: Option<Cors>,
    ip_rules: Vec<IpRules>,
    /// By what is known of everybody.
    early_limits: Vec<RateLimit>,
    authentication: Authentication,
    authorization: Vec<Authorization>,
    /// By who the client is.
    late_limits: Vec<RateLimit>,
    body_limit: Option<BodyLimit>,
    answer: Option<Answer>,
    request_headers: Vec<HeaderChanges>,
    rewrite: Option<Rewrite>,
    fault: Option<Fault>,
    mirrors: Vec<Mirror>,
    response_headers: Vec<HeaderChanges>,
    cache_control: Option<CacheControl>,
    compression: Option<Compression>,
    /// Places of the rule's own. No filter, but found by the same name, and it outlasts a reload in the same way.
    bulkhead: Option<Arc<Bulkhead>>,
}

/// What answers without a service.
#[derive(Debug)]
enum Answer {
    Redirect(Redirect),
    Static(StaticResponse),
}

/// Where a chain's filters come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layers<'a> {
    /// Names the place for state that outlasts a reload: `rule shop/0`, `service orders`.
    pub(crate) id: &'a str,
    /// Those of `gateway.yaml`.
    pub(crate) gateway: &'a [Filter],
    /// The place's own.
    pub(crate) own: &'a [Filter],
    /// Whether anybody may come.
    pub(crate) public: bool,
    /// What services are told about clients, anywhere.
    pub(crate) told: &'a Arc<Told>,
    /// Longest time that a request has here, if it is bounded.
    pub(crate) timeout: Option<Duration>,
}

/// What filters know of a request besides its head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    /// The client, behind trusted proxies.
    pub(crate) client: IpAddr,
    /// How the client reached us.
    pub(crate) scheme: Scheme,
    /// What the client calls us, with or without a port.
    pub(crate) host: &'a str,
    /// The listener's.
    pub(crate) port: u16,
    /// The prefix by which the rule matched.
    pub(crate) matched_prefix: Option<&'a str>,
    /// The service that would get the request, if it is known before it is chosen.
    pub(crate) service: &'a str,
}

/// What the way back needs to know of the way in.
#[derive(Debug)]
pub(crate) struct Passage {
    method: Method,
    origin: Option<HeaderValue>,
    accepted: Option<Accepted>,
    limited: Vec<Limited>,
    /// A preflight was answered, and has all the headers it needs.
    preflight: bool,
    /// Who the client is, if that was proven.
    pub(crate) identity: Option<Identity>,
}

impl Passage {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            method: parts.method.clone(),
            origin: Cors::origin(&parts.headers).cloned(),
            accepted: None,
            limited: Vec::new(),
            preflight: false,
            identity: None,
        }
    }
}

impl Chain {
    /// Compiles the filters that hold at a place.
    ///
    /// # Errors
    /// When a file that a filter needs cannot be used; says which and why.
    pub(crate) fn new(layers: Layers<'_>, stores: &Stores) -> Result<Self, String> {
        let mut chain = Self::default();
        // Which rate limit of its place one is, so that its state is found again.
        let mut ordinals = [0, 0];
        for (of_gateway, filter) in layers::effective(layers.gateway, layers.own, layers.public) {
            let [gateway, own] = &mut ordinals;
            let (place, ordinal) = if of_gateway { ("gateway", gateway) } else { (layers.id, own) };
            *ordinal += usize::from(matches!(filter, Filter::RateLimit(_)));
            chain.add(filter, place, *ordinal, stores)?;
        }
        chain.authentication.told = Arc::clone(layers.told);
        chain.authentication.longest = layers.timeout;
        Ok(chain)
    }

    /// Lets nobody in.
    pub(crate) fn closed() -> Arc<Self> {
        let deny = [IpAddr::from([0; 4]), IpAddr::from([0; 16])].map(|address| IpNet::new_assert(address, 0));
        let rules = IpRules::new(&crate::config::IpRules { allow: Vec::new(), deny: deny.to_vec() });
        Arc::new(Self { ip_rules: vec![rules], ..Self::default() })
    }

    /// Whether it lets everybody in, whoever they are and from wherever they come.
    pub(crate) fn is_open(&self) -> bool {
        self.authentication.ways.is_empty() && self.authorization.is_empty() && self.ip_rules.is_empty()
    }

    /// The automatic route's: its prefix is taken off, whatever else there is.
    pub(crate) fn automatic(layers: Layers<'_>, stores: &Stores) -> Result<Self, String> {
        let rewrite = Rewrite::new(&crate::config::Rewrite { prefix: Some("/".to_owned()), path: None, host: None });
        Ok(Self { rewrite: Some(rewrite), ..Self::new(layers, stores)? })
    }

    fn add(&mut self, filter: &Filter, place: &str, ordinal: usize, stores: &Stores) -> Result<(), String> {
        match filter {
            Filter::Cors(filter) => self.cors = Some(Cors::new(filter)),
            Filter::IpRules(filter) => self.ip_rules.push(IpRules::new(filter)),
            Filter::RateLimit(filter) => {
                let limit = RateLimit::new(filter, place, ordinal, &stores.limiters);
                if limit.needs_identity() { self.late_limits.push(limit) } else { self.early_limits.push(limit) }
            }
            Filter::Jwt(_) | Filter::ApiKey(_) | Filter::BasicAuth(_) => {
                self.authentication.ways.extend(authenticator(filter, stores)?);
            }
            Filter::Authorization(filter) => self.authorization.push(Authorization::new(filter)),
            Filter::BodyLimit(filter) => {
                let limit = BodyLimit::new(filter);
                self.body_limit = Some(self.body_limit.map_or(limit, |other| other.tighter(limit)));
            }
            Filter::Redirect(filter) => self.answer = Some(Answer::Redirect(Redirect::new(filter))),
            Filter::StaticResponse(filter) => self.answer = Some(Answer::Static(StaticResponse::new(filter))),
            Filter::RequestHeaders(filter) => self.request_headers.push(HeaderChanges::new(filter)),
            Filter::Rewrite(filter) => self.rewrite = Some(Rewrite::new(filter)),
            Filter::Fault(filter) => self.fault = Some(Fault::new(filter, place, &stores.faults)),
            Filter::Mirror(filter) => self.mirrors.push(Mirror::new(filter, place, &stores.mirrors)),
            Filter::ResponseHeaders(filter) => self.response_headers.push(HeaderChanges::new(filter)),
            Filter::CacheControl(filter) => self.cache_control = Some(CacheControl::new(filter)),
            Filter::Compression(filter) => self.compression = Some(Compression::new(filter)),
        }
        Ok(())
    }

    /// The way in. A response means that no service is asked.
    ///
    /// # Errors
    /// When the request may not go on.
    pub(crate) async fn request(
        &self,
        asking: Asking<'_>,
        parts: &mut Parts,
        passage: &mut Passage,
    ) -> Result<Option<Response<Bytes>>, GatewayError> {
        if let Some(preflight) = self.cors.as_ref().and_then(|cors| cors.preflight(parts)) {
            passage.preflight = true;
            return Ok(Some(preflight));
        }
        passage.accepted = self.compression.as_ref().map(|compression| compression.accepted(&parts.headers));
        for rules in &self.ip_rules {
            rules.check(asking.client).map_err(|_denied| GatewayError::Forbidden)?;
        }
        limit(&self.early_limits, asking, parts, passage)?;
        passage.identity = self.authentication.run(parts).await?;
        for rules in &self.authorization {
            let decision = rules.decide(&parts.method, parts.uri.path(), passage.identity.as_ref());
            decision.map_err(|denied| match denied {
                Denied::Unauthenticated => self.authentication.unauthorized(None),
                Denied::Forbidden => GatewayError::Forbidden,
            })?;
        }
        limit(&self.late_limits, asking, parts, passage)?;
        match &self.answer {
            None => Ok(None),
            Some(Answer::Static(response)) => Ok(Some(response.answer())),
            Some(Answer::Redirect(redirect)) => {
                let host = asking.host.rsplit_once(':').map_or(asking.host, |(host, port)| {
                    if port.bytes().all(|byte| byte.is_ascii_digit()) { host } else { asking.host }
                });
                let asked = Asked {
                    scheme: asking.scheme,
                    host,
                    port: asking.port,
                    path: parts.uri.path(),
                    query: parts.uri.query(),
                    matched_prefix: asking.matched_prefix,
                };
                let answer = redirect.answer(&asked);
                answer.map(Some).map_err(|_bad| GatewayError::BadRequest("the host cannot stand in an address"))
            }
        }
    }

    /// Parameters of the query in which credentials stand, whatever they are called.
    pub(crate) fn secret_parameters(&self) -> impl Iterator<Item = &str> {
        self.authentication.secret_parameters()
    }

    /// Changes headers that the service sees.
    pub(crate) fn request_headers(&self, headers: &mut HeaderMap) {
        for changes in &self.request_headers {
            changes.apply(headers);
        }
    }

    /// What the service sees of the address, if this chain changes it.
    pub(crate) fn rewrite(&self) -> Option<&Rewrite> {
        self.rewrite.as_ref()
    }

    /// Has a request that is ready for its service wait or fail, if it is to; each draw is uniform over all of `u64`.
    ///
    /// # Errors
    /// When it is to fail, or its deadline came while it waited.
    pub(crate) async fn fault(
        &self,
        headers: &HeaderMap,
        deadline: Option<tokio::time::Instant>,
        draws: [u64; 2],
    ) -> Result<(), GatewayError> {
        match &self.fault {
            Some(fault) => fault.inject(headers, deadline, draws).await,
            None => Ok(()),
        }
    }

    /// Who gets copies of requests.
    pub(crate) fn mirrors(&self) -> &[Mirror] {
        &self.mirrors
    }

    /// Places that a request needs beside the service's.
    pub(crate) fn bulkhead(&self) -> Option<&Bulkhead> {
        self.bulkhead.as_deref()
    }

    /// The same with places of its own.
    pub(crate) fn with_bulkhead(mut self, bulkhead: Option<Arc<Bulkhead>>) -> Self {
        self.bulkhead = bulkhead;
        self
    }

    /// The bound on the request's body, if there is one besides the service's.
    pub(crate) fn max_request_body(&self) -> Option<u64> {
        self.body_limit.map(|limit| limit.lower(u64::MAX))
    }

    /// The way back, for answers of the service and of the gateway alike. Gives what compresses the body, if it is to
    /// be compressed; `length` is the body's, if that is known.
    pub(crate) fn response(
        &self,
        passage: &Passage,
        parts: &mut response::Parts,
        length: Option<u64>,
    ) -> Option<Encoder> {
        if passage.preflight {
            return None;
        }
        for limited in &passage.limited {
            limited.tell(&mut parts.headers);
        }
        self.response_headers(&mut parts.headers);
        if let Some(cache_control) = &self.cache_control {
            cache_control.apply(parts.status, &mut parts.headers);
        }
        if let Some(cors) = &self.cors {
            cors.respond(passage.origin.as_ref(), &mut parts.headers);
        }
        let compression = self.compression.as_ref()?;
        compression.prepare(&passage.method, passage.accepted?, parts, length)
    }

    /// Changes only the headers of a response: what a backend's own chain does.
    pub(crate) fn response_headers(&self, headers: &mut HeaderMap) {
        for changes in &self.response_headers {
            changes.apply(headers);
        }
    }
}

fn authenticator(filter: &Filter, stores: &Stores) -> Result<Option<Authenticator>, String> {
    Ok(match filter {
        Filter::Jwt(filter) => {
            let jwt = jwt::Jwt::new(filter, &stores.providers).map_err(|error| error.to_string())?;
            Some(Authenticator::Jwt(jwt))
        }
        Filter::ApiKey(filter) => Some(Authenticator::ApiKey(stores.api_keys.get(filter, api_key::ApiKey::new)?)),
        Filter::BasicAuth(filter) => {
            Some(Authenticator::Basic(stores.basic_auths.get(filter, basic_auth::BasicAuth::new)?))
        }
        _ => None,
    })
}

/// Counts the request; limits after the one that refuses do not.
fn limit(limits: &[RateLimit], asking: Asking<'_>, parts: &Parts, passage: &mut Passage) -> Result<(), GatewayError> {
    for limit in limits {
        let limited = limit.check(asking, &parts.headers, passage.identity.as_ref(), Instant::now());
        let Some(limited) = limited else { continue };
        let refused = limited.refused();
        passage.limited.push(limited);
        if let Some(seconds) = refused {
            return Err(GatewayError::RateLimited(seconds));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
