//! What a configuration tells services about clients, under whatever names, and where credentials stand in queries.
//!
//! A service may be behind several rules, and a header that one of them sets is believed by the service whichever way a
//! request came. So all such names of the whole configuration are taken away from what clients send, on every route, in
//! any spelling that a service could take for one (`X_User` is `X-User` to many). What begins with `x-wharf-user-` is
//! among them even if no filter sets it: a service may believe these whatever the configuration is.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName};

use crate::config::{Config, Filter, KeyPlace, TokenPlace};
use crate::gateway::headers::is_about_user;

/// Names that are the gateway's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// With `-` for `_`.
    headers: BTreeSet<String>,
    parameters: BTreeSet<String>,
}

impl Told {
    /// Those of all filters there are.
    pub(crate) fn of(config: &Config) -> Self {
        let gateway = config.gateway.filters.iter();
        let services = config.services.values().flat_map(|service| &service.filters);
        let rules = config.gateway.routes.iter().flat_map(|route| &route.rules).flat_map(|rule| &rule.filters);
        Self::of_filters(gateway.chain(services).chain(rules))
    }

    pub(super) fn of_filters<'f>(filters: impl IntoIterator<Item = &'f Filter>) -> Self {
        let mut told = Self::default();
        for filter in filters {
            told.add(filter);
        }
        told
    }

    fn add(&mut self, filter: &Filter) {
        let (headers, parameter): (Vec<&String>, _) = match filter {
            Filter::Jwt(jwt) => {
                let parameter = if let TokenPlace::Query(name) = &jwt.from { Some(name) } else { None };
                (jwt.claims_to_headers.values().collect(), parameter)
            }
            Filter::ApiKey(keys) => {
                let parameter = if let KeyPlace::Query(name) = &keys.from { Some(name) } else { None };
                (keys.subject_header.iter().collect(), parameter)
            }
            Filter::BasicAuth(users) => (users.subject_header.iter().collect(), None),
            _ => return,
        };
        self.headers.extend(headers.into_iter().map(|name| one_spelling(name)));
        self.parameters.extend(parameter.cloned());
    }

    /// Takes away what a client says in the gateway's name.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        let found: Vec<HeaderName> = headers.keys().filter(|name| self.says(name)).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }

    /// Whether a header of this name, in any spelling, tells about the client in the gateway's name.
    pub(in crate::gateway) fn says(&self, name: &HeaderName) -> bool {
        if is_about_user(name) {
            return true;
        }
        let name = name.as_str().as_bytes();
        let same = |(sent, ours): (&u8, u8)| *sent == ours || (*sent == b'_' && ours == b'-');
        self.headers.iter().any(|ours| ours.len() == name.len() && name.iter().zip(ours.bytes()).all(same))
    }

    /// Parameters of the query that are not to be shown.
    pub(super) fn secret_parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(String::as_str)
    }
}

fn one_spelling(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Those of one filter that tells the client's name under `header`.
#[cfg(test)]
pub(in crate::gateway) fn told(header: &str) -> Told {
    let filter = serde_json::json!({ "basicAuth": { "users": { "file": "users" }, "subjectHeader": header } });
    Told::of_filters(&[serde_json::from_value(filter).unwrap()])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn names_of_all_filters_are_the_gateways_on_every_route() {
        let filter = |json| serde_json::from_value::<Filter>(json).unwrap();
        let mut config = Config::default();
        config.gateway.filters =
            vec![filter(serde_json::json!({ "jwt": { "provider": "a", "claimsToHeaders": { "sub": "X-User" } } }))];
        let mut service = config.service("orders");
        service.filters = vec![filter(serde_json::json!({
            "apiKey": { "keys": { "file": "k" }, "from": { "query": "ticket" }, "subjectHeader": "x-client" }
        }))];
        config.services.insert("orders".to_owned(), service);
        let told = Told::of(&config);
        assert_eq!(told.secret_parameters().collect::<Vec<_>>(), ["ticket"]);
        let mut headers = HeaderMap::new();
        for name in ["x-user", "x_user", "x-client", "x_client", "x-wharf-user-id", "x-users", "accept"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("forged"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("twice"));
        }
        told.strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-users"]);
    }

    #[test]
    fn names_of_users_are_the_gateways_without_any_filter() {
        let told = Told::default();
        for (name, says) in [
            ("x-wharf-user-id", true),
            ("x_wharf_user_roles", true),
            ("x-wharf-user-", true),
            ("x-wharf-user", false),
            ("x-wharf-caller", false),
            ("x-user-id", false),
        ] {
            assert_eq!(told.says(&HeaderName::from_static(name)), says, "{name}");
        }
    }
}
