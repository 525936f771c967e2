//! The filters of every place that has some, compiled together: either all of them are in force or none.

use std::collections::HashMap;
use std::sync::Arc;

use super::filter::{Chain, Layers, Stores};
use super::route::Scope;
use crate::config::Config;

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
}

impl Chains {
    /// Compiles what `config` says. State that outlasts a change is found in `stores`. Reads files; call it inside the
    /// runtime.
    ///
    /// # Errors
    /// When a file that a filter needs cannot be used.
    pub(super) fn compile(config: &Config, stores: &Stores) -> Result<Self, String> {
        let gateway = config.gateway.filters.as_slice();
        let mut places = HashMap::new();
        for route in &config.gateway.routes {
            for (index, rule) in route.rules.iter().enumerate() {
                let id = format!("rule {}/{}", route.name, rule.name.clone().unwrap_or_else(|| index.to_string()));
                let layers = Layers { id: &id, gateway, own: &rule.filters, public: rule.public };
                places.insert((route.name.clone(), index, None), Arc::new(Chain::new(layers, stores)?));
                for (nth, backend) in rule.backend_refs.iter().enumerate() {
                    let layers = Layers { id: &id, gateway: &[], own: &backend.filters, public: false };
                    let chain = Arc::new(Chain::new(layers, stores)?);
                    places.insert((route.name.clone(), index, Some(nth)), chain);
                }
            }
        }
        let mut services = HashMap::new();
        for (name, service) in &config.services {
            let id = format!("service {name}");
            let layers = Layers { id: &id, gateway, own: &service.filters, public: service.public };
            services.insert(name.clone(), Arc::new(Chain::automatic(layers, stores)?));
        }
        let layers = Layers { id: "service", gateway, own: &[], public: false };
        let other = Arc::new(Chain::automatic(layers, stores)?);
        Ok(Self { places, services, other })
    }

    /// The chain of a place of the same configuration.
    pub(super) fn get(&self, scope: Scope<'_>) -> Arc<Chain> {
        let place = |place: &Place| self.places.get(place).map(Arc::clone).unwrap_or_default();
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
