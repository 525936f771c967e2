//! Which filters hold for a rule: those of `gateway.yaml` and its own, in the order in which they work.
//!
//! Filters that refuse (and headers) add up, so a rule can be stricter than the gateway and never laxer by accident.
//! Those of which only one can speak (`cors`, `fault`, `cacheControl`, `compression`, and the ways to prove an identity as a
//! group) are taken from the rule if it has them. What makes a request public is said by `public`, not by leaving
//! something out.
//!
//! The order of kinds is fixed, from what is cheap and refuses most to what only changes something; see
//! [`Filter::phase`]. Inside a phase the gateway's come first, then the order of the file.

use crate::config::Filter;

impl Filter {
    /// Where in the chain it works.
    pub(crate) fn phase(&self) -> u8 {
        match self {
            Self::Cors(_) => 0,
            Self::IpRules(_) => 1,
            Self::RateLimit(limit) if !limit.needs_identity() => 2,
            Self::Jwt(_) | Self::ApiKey(_) | Self::BasicAuth(_) => 3,
            Self::Authorization(_) => 4,
            Self::RateLimit(_) => 5,
            Self::BodyLimit(_) => 6,
            Self::Redirect(_) | Self::StaticResponse(_) => 7,
            Self::RequestHeaders(_) => 8,
            Self::Rewrite(_) => 9,
            Self::Fault(_) => 10,
            Self::Mirror(_) => 11,
            Self::ResponseHeaders(_) => 12,
            Self::CacheControl(_) => 13,
            Self::Compression(_) => 14,
        }
    }

    /// Proves who a client is.
    fn proves_identity(&self) -> bool {
        matches!(self, Self::Jwt(_) | Self::ApiKey(_) | Self::BasicAuth(_))
    }

    /// Means nothing for a client that may be anybody.
    fn needs_identity(&self) -> bool {
        self.proves_identity()
            || matches!(self, Self::Authorization(_))
            || matches!(self, Self::RateLimit(limit) if limit.needs_identity())
    }

    /// Whether one in a rule takes the place of the gateway's.
    fn replaces(&self, other: &Self) -> bool {
        match self {
            Self::Jwt(_) | Self::ApiKey(_) | Self::BasicAuth(_) => other.proves_identity(),
            Self::Cors(_) | Self::Fault(_) | Self::CacheControl(_) | Self::Compression(_) => {
                self.name() == other.name()
            }
            Self::IpRules(_)
            | Self::RateLimit(_)
            | Self::Authorization(_)
            | Self::BodyLimit(_)
            | Self::RequestHeaders(_)
            | Self::Rewrite(_)
            | Self::Mirror(_)
            | Self::Redirect(_)
            | Self::StaticResponse(_)
            | Self::ResponseHeaders(_) => false,
        }
    }
}

/// The filters that hold where `own` are given, in the order in which they work; with each, whether it is the gateway's.
pub(crate) fn effective<'f>(gateway: &'f [Filter], own: &'f [Filter], public: bool) -> Vec<(bool, &'f Filter)> {
    let inherited = gateway.iter().filter(|filter| {
        let replaced = own.iter().any(|mine| mine.replaces(filter));
        !(replaced || (public && filter.needs_identity()))
    });
    let mut all: Vec<_> = inherited.map(|filter| (true, filter)).chain(own.iter().map(|own| (false, own))).collect();
    all.sort_by_key(|(_, filter)| filter.phase());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(json: serde_json::Value) -> Vec<Filter> {
        serde_json::from_value(json).unwrap()
    }

    fn names(gateway: &[Filter], own: &[Filter], public: bool) -> Vec<String> {
        let all = effective(gateway, own, public);
        all.iter()
            .map(|(of_gateway, filter)| format!("{}{}", if *of_gateway { "^" } else { "" }, filter.name()))
            .collect()
    }

    fn gateway() -> Vec<Filter> {
        filters(serde_json::json!([
            { "responseHeaders": { "remove": ["a"] } },
            { "jwt": { "provider": "idp" } },
            { "authorization": { "rules": [], "default": "allow" } },
            { "compression": {} },
            { "ipRules": { "deny": ["10.0.0.0/8"] } },
            { "cors": { "allowOrigins": ["*"] } },
        ]))
    }

    #[test]
    fn kinds_have_their_place_whatever_the_order_in_the_file() {
        assert_eq!(
            names(&gateway(), &[], false),
            ["^cors", "^ipRules", "^jwt", "^authorization", "^responseHeaders", "^compression"]
        );
    }

    #[test]
    fn what_refuses_adds_up_and_what_speaks_alone_is_replaced() {
        let own = filters(serde_json::json!([
            { "mirror": { "service": "a" } },
            { "fault": { "abort": { "status": 503, "percent": 1 } } },
            { "ipRules": { "deny": ["192.0.2.0/24"] } },
            { "requestHeaders": { "remove": ["a"] } },
            { "cors": { "allowOrigins": ["https://a.test"] } },
            { "apiKey": { "keys": { "file": "keys" } } },
        ]));
        let mut gateway = gateway();
        gateway.extend(filters(serde_json::json!([
            { "mirror": { "service": "b" } }, { "fault": { "abort": { "status": 500, "percent": 1 } } },
        ])));
        assert_eq!(
            names(&gateway, &own, false).join(" "),
            "cors ^ipRules ipRules apiKey ^authorization requestHeaders fault ^mirror mirror ^responseHeaders ^compression"
        );
    }

    #[test]
    fn public_takes_away_what_asks_who_somebody_is_and_nothing_else() {
        assert_eq!(names(&gateway(), &[], true), ["^cors", "^ipRules", "^responseHeaders", "^compression"]);
    }
}
