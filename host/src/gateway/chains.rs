//! The filters of every place that has some, compiled together: either all of them are in force or none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::filter::{Chain, Layers, Stores, Told};
use super::route::Scope;
use crate::config::{Config, Rule, Service};
use crate::policy::{Bulkhead, BulkheadLimits};

/// What a rule or a backend is found by: the route's name, the rule's place in it, the backend's place in that.
type Place = (String, usize, Option<usize>);

/// All chains of a configuration.
#[derive(Debug)]
pub(super) struct Chains {
    places: HashMap<Place, Arc<Chain>>,
    /// Automatic routes of services with a file of their own.
    services: HashMap<String, Arc<Chain>>,
    /// That of all other services.
    other: Arc<Chain>,
    /// Those of rules, and what they are to be.
    bulkheads: Vec<(Arc<Bulkhead>, BulkheadLimits)>,
    /// What filters tell services about clients.
    pub(super) told: Arc<Told>,
}

impl Chains {
    /// Compiles what `config` says. State that outlasts a change is found in `stores`. Reads files; call it inside the
    /// runtime.
    ///
    /// # Errors
    /// When a file that a filter needs cannot be used.
    pub(super) fn compile(config: &Config, stores: &Stores) -> Result<Self, String> {
        let gateway = config.gateway.filters.as_slice();
        let told = &Arc::new(Told::of(config));
        let (mut places, mut bulkheads) = (HashMap::new(), Vec::new());
        for route in &config.gateway.routes {
            for (index, rule) in route.rules.iter().enumerate() {
                // A name in quotes is never taken for a place, whatever it is.
                let id = match &rule.name {
                    Some(name) => format!("rule {:?}/{name:?}", route.name),
                    None => format!("rule {:?}/{index}", route.name),
                };
                let timeout = longest(config, rule);
                let layers = Layers { id: &id, gateway, own: &rule.filters, public: rule.public, told, timeout };
                let bulkhead = rule.bulkhead.as_ref().map(BulkheadLimits::from).map(|limits| {
                    let bulkhead = stores.bulkheads.get_or(&id, || Bulkhead::new(limits.clone()));
                    bulkheads.push((Arc::clone(&bulkhead), limits));
                    bulkhead
                });
                let chain = Chain::new(layers, stores)?.with_bulkhead(bulkhead);
                places.insert((route.name.clone(), index, None), Arc::new(chain));
                for (nth, backend) in rule.backend_refs.iter().enumerate() {
                    let own = &backend.filters;
                    let layers = Layers { id: &id, gateway: &[], own, public: false, told, timeout };
                    let chain = Arc::new(Chain::new(layers, stores)?);
                    places.insert((route.name.clone(), index, Some(nth)), chain);
                }
            }
        }
        let mut services = HashMap::new();
        for (name, service) in &config.services {
            let id = format!("service {name}");
            let timeout = bounded(service);
            let layers = Layers { id: &id, gateway, own: &service.filters, public: service.public, told, timeout };
            services.insert(name.clone(), Arc::new(Chain::automatic(layers, stores)?));
        }
        let timeout = bounded(&Service::from_defaults(&config.gateway.defaults));
        let layers = Layers { id: "service", gateway, own: &[], public: false, told, timeout };
        let other = Arc::new(Chain::automatic(layers, stores)?);
        Ok(Self { places, services, other, bulkheads, told: Arc::clone(told) })
    }

    /// It is in force: rules have as many places as it says.
    pub(super) fn enforce(&self) {
        for (bulkhead, limits) in &self.bulkheads {
            bulkhead.resize(limits.clone());
        }
    }

    /// The chain of a place of the same configuration.
    pub(super) fn get(&self, scope: Scope<'_>) -> Arc<Chain> {
        // Whatever is not known is closed: a filter that is not found must not be one that is not there.
        let place = |place: &Place| self.places.get(place).map_or_else(Chain::closed, Arc::clone);
        match scope {
            Scope::Rule { route, index, .. } => place(&(route.name.clone(), index, None)),
            Scope::Backend { route, rule, backend } => {
                let index = route.rules.iter().position(|one| std::ptr::eq(one, rule));
                let nth = rule.backend_refs.iter().position(|one| std::ptr::eq(one, backend));
                place(&(route.name.clone(), index.unwrap_or_default(), nth))
            }
            Scope::Automatic { service } => Arc::clone(self.services.get(service).unwrap_or(&self.other)),
        }
    }
}

/// How long a request to the service may take, if that is bounded.
fn bounded(service: &Service) -> Option<Duration> {
    Some(service.timeouts.request.get()).filter(|timeout| !timeout.is_zero())
}

/// How long a request of the rule may take, whichever of its services gets it.
fn longest(config: &Config, rule: &Rule) -> Option<Duration> {
    let of_services = rule.backend_refs.iter().map(|backend| bounded(&config.service(&backend.service)));
    // With a service that has all the time, only the rule bounds it.
    let of_services = of_services.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    match (rule.timeouts.request.map(|timeout| timeout.get()), of_services) {
        (Some(rule), Some(services)) => Some(rule.min(services)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateway::filter::{Asking, Passage};

    fn asking() -> Asking<'static> {
        Asking {
            client: std::net::IpAddr::from([192, 0, 2, 1]),
            scheme: crate::config::Scheme::Http,
            host: "a.test",
            port: 80,
            matched_prefix: None,
            service: "a",
        }
    }

    #[tokio::test]
    async fn a_rule_without_a_name_shares_no_limit_with_one_named_like_its_place() {
        let limit = json!([{ "rateLimit": { "requests": 1, "per": "1h" } }]);
        let rules = json!([
            { "name": "1", "matches": [{ "path": { "prefix": "/a" } }], "filters": limit,
              "backendRefs": [{ "service": "a" }] },
            { "matches": [{ "path": { "prefix": "/b" } }], "filters": limit, "backendRefs": [{ "service": "a" }] },
        ]);
        let mut config = Config::default();
        config.gateway.routes = serde_json::from_value(json!([{ "name": "r", "rules": rules }])).unwrap();
        let chains = Chains::compile(&config, &Stores::default()).unwrap();
        for index in 0..2 {
            let chain = &chains.places[&("r".to_owned(), index, None)];
            let (mut parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
            let mut passage = Passage::new(&parts);
            assert!(chain.request(asking(), &mut parts, &mut passage).await.is_ok(), "rule {index}");
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_keys_longer_than_the_request_may_take() {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        use crate::gateway::GatewayError;

        // Takes connections (in the backlog), and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.gateway.auth = serde_json::from_value(json!({ "providers": [{
            "name": "idp", "issuer": "idp", "audiences": ["a"], "algorithms": ["ES256"], "fetchTimeout": "30s",
            "jwks": { "url": format!("http://{}/", silent.local_addr().unwrap()) },
        }] }))
        .unwrap();
        let refs = json!([{ "service": "a" }]);
        let jwt = json!([{ "jwt": { "provider": "idp" } }]);
        let rule = json!({ "filters": jwt, "timeouts": { "request": "100ms" }, "backendRefs": refs });
        config.gateway.routes = serde_json::from_value(json!([{ "name": "r", "rules": [rule] }])).unwrap();
        let stores = Stores::default();
        stores.providers.apply(&config.gateway.auth);
        let chains = Chains::compile(&config, &stores).unwrap();
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.AAAA", part(json!({ "alg": "ES256" })), part(json!({ "iss": "idp" })));
        let request = http::Request::get("/").header("authorization", format!("Bearer {token}"));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let mut passage = Passage::new(&parts);
        let begun = std::time::Instant::now();
        let chain = &chains.places[&("r".to_owned(), 0, None)];
        let refused = chain.request(asking(), &mut parts, &mut passage).await;
        assert!(matches!(refused, Err(GatewayError::IdentityUnavailable)), "{refused:?}");
        assert!(begun.elapsed() >= Duration::from_millis(100) && begun.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn a_rule_and_its_services_bound_a_request_together() {
        let mut config = Config::default();
        for (name, request) in [("short", "2s"), ("long", "20s"), ("endless", "0s")] {
            let mut service = Service::default();
            service.timeouts.request = serde_json::from_value(json!(request)).unwrap();
            config.services.insert(name.to_owned(), service);
        }
        let of = |timeout: Option<&str>, services: &[&str]| {
            let refs: Vec<_> = services.iter().map(|name| json!({ "service": name })).collect();
            let timeouts = timeout.map_or(json!({}), |request| json!({ "request": request }));
            let rule: Rule = serde_json::from_value(json!({ "timeouts": timeouts, "backendRefs": refs })).unwrap();
            longest(&config, &rule).map(|longest| longest.as_secs())
        };
        assert_eq!(of(None, &["short", "long"]), Some(20));
        assert_eq!(of(Some("5s"), &["short", "long"]), Some(5));
        assert_eq!(of(Some("5s"), &["short"]), Some(2));
        assert_eq!(of(None, &["short", "endless"]), None);
        assert_eq!(of(Some("5s"), &["endless"]), Some(5));
        assert_eq!(of(None, &["unnamed"]), Some(15));
    }
}
