//! Questions of who a client is that nobody answers, and answers that nobody asks for.

use super::super::check::{At, Check};
use super::super::filter::{Access, AccessConditions, AccessRule, Authorization, Filter, LimitKey};
use super::super::model::Gateway;
use super::place::{Owner, Place, optional, proves_identity};

pub(super) fn lint(gateway: &Gateway, places: &[Place<'_>], check: &mut Check<'_>) {
    let asked_anywhere = places.iter().flat_map(|place| place.own).any(asks_who);
    let proven_anywhere: Vec<&Filter> =
        places.iter().flat_map(|place| place.own).filter(|filter| proves_identity(filter)).collect();
    for place in places {
        let of_gateway = matches!(place.of, Owner::Gateway);
        // What the gateway asks may be answered by the filters of a route.
        let ways = if of_gateway { proven_anywhere.clone() } else { place.ways(&gateway.filters) };
        for (filter, at) in place.filters() {
            unanswered(filter, &ways, place.public(), check, at);
            if let Filter::Authorization(rules) = filter {
                refuses_nobody(rules, check, at);
            }
        }
        let asked = if of_gateway {
            asked_anywhere
        } else {
            place.own.iter().chain(gateway.filters.iter().filter(|_| !place.public())).any(asks_who)
        };
        without_effect(place, asked, check);
        if place.public() && !gateway.filters.iter().any(|filter| asks_who(filter) || proves_identity(filter)) {
            let strict = place.filters().find(|(filter, _)| proves_identity(filter) && !optional(filter));
            if let Some((filter, _)) = strict {
                let name = filter.name();
                let message = format!(
                    "does not let anybody come: it takes away filters of gateway.yaml only, and `{name}` here holds"
                );
                check.warn(place.at.get("public"), message);
            }
        }
    }
}

/// Whether what a filter does depends on who the client is.
fn asks_who(filter: &Filter) -> bool {
    match filter {
        Filter::Authorization(_) => true,
        Filter::RateLimit(limit) => limit.needs_identity(),
        _ => false,
    }
}

/// Conditions and keys that are never there.
fn unanswered(filter: &Filter, ways: &[&Filter], public: bool, check: &mut Check<'_>, at: At<'_>) {
    let who = if public { " (`public` takes away those of gateway.yaml)" } else { "" };
    let nobody = ways.is_empty();
    let tokens = ways.iter().any(|way| matches!(way, Filter::Jwt(_)));
    let scopes = ways.iter().any(|way| matches!(way, Filter::Jwt(_) | Filter::ApiKey(_)));
    match filter {
        Filter::RateLimit(limit) => {
            let what = match &limit.key {
                LimitKey::Subject | LimitKey::Claim(_) if nobody => {
                    format!("there is no `jwt`, `apiKey` or `basicAuth` here{who}, so this key is always missing")
                }
                LimitKey::Claim(_) if !tokens => {
                    "claims come with tokens, and there is no `jwt` here, so this key is always missing".to_owned()
                }
                _ => return,
            };
            check.warn(at.get("rateLimit").key("key"), what);
        }
        Filter::Authorization(rules) => {
            let at = at.get("authorization").get("rules");
            for (rule, at) in rules.rules.iter().zip(at.items()) {
                let conditions = rule.conditions();
                let AccessConditions { scopes: all, any_scope, claims, .. } = conditions;
                let needs_scopes = !(all.is_empty() && any_scope.is_empty());
                let what = if nobody && needs_identity(conditions) {
                    format!("never holds: there is no `jwt`, `apiKey` or `basicAuth` here{who}")
                } else if !nobody && !claims.is_empty() && !tokens {
                    "never holds: claims come with tokens, and there is no `jwt` here".to_owned()
                } else if !nobody && needs_scopes && !scopes {
                    "never holds: scopes come with tokens and API keys, and there is no `jwt` or `apiKey` here"
                        .to_owned()
                } else {
                    continue;
                };
                let name = match rule {
                    AccessRule::Allow(_) => "allow",
                    AccessRule::Deny(_) => "deny",
                };
                check.warn(at.key(name), what);
            }
        }
        _ => {}
    }
}

fn needs_identity(conditions: &AccessConditions) -> bool {
    let AccessConditions { methods: _, paths: _, scopes, any_scope, claims, subjects, authenticated } = conditions;
    let none = scopes.is_empty() && any_scope.is_empty() && claims.is_empty() && subjects.is_empty();
    !none || *authenticated == Some(true)
}

/// Rules that only allow what is allowed anyway.
fn refuses_nobody(rules: &Authorization, check: &mut Check<'_>, at: At<'_>) {
    let allows = |rule: &AccessRule| rule.access() == Access::Allow;
    if rules.default == Access::Allow && rules.rules.iter().all(allows) {
        let message =
            "refuses nobody: all that no rule speaks of is allowed, remove `default: allow` or deny something";
        check.warn(at.key("authorization"), message);
    }
}

/// Ways to prove an identity that may be left out, where that changes nothing.
fn without_effect(place: &Place<'_>, asked: bool, check: &mut Check<'_>) {
    let ways: Vec<_> = place.filters().filter(|(filter, _)| proves_identity(filter)).collect();
    let strict = ways.iter().find(|(filter, _)| !optional(filter));
    for (filter, at) in ways.iter().filter(|(filter, _)| optional(filter)) {
        let at = at.get(filter.name()).get("optional");
        if let Some((strict, _)) = strict {
            let strict = strict.name();
            check.warn(
                at,
                format!("has no effect: `{strict}` beside it may not be left out, and one of them must come"),
            );
        } else if !asked && !ways.iter().any(|(filter, _)| tells_service(filter)) {
            let message = "protects nothing: whoever sends no credentials passes, and neither `authorization` nor the \
                           service learns who came";
            check.warn(at, message);
        }
    }
}

/// Whether the service learns who the client is.
fn tells_service(filter: &Filter) -> bool {
    match filter {
        Filter::Jwt(jwt) => jwt.forward || !jwt.claims_to_headers.is_empty(),
        Filter::ApiKey(keys) => keys.forward || keys.subject_header.is_some(),
        Filter::BasicAuth(users) => users.forward || users.subject_header.is_some(),
        _ => false,
    }
}
