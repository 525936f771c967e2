//! What fuzz targets do with the gateway; there is nothing of it in an ordinary build.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::route::{Listener, Outcome, Request, Table};
use super::{identity, path};
use crate::config::{Gateway, Requests};

/// A request as on the wire against the routes of a configuration: serving and explaining must say the same.
pub(crate) fn route(gateway: &Gateway, request: &str) {
    let mut lines = request.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let Ok(method) = method.parse::<Method>() else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.append(name, value);
        }
    }
    let host = headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let table = Table::build(&gateway.routes, [("auto", "/auto")].into_iter(), |_| ());
    let request = Request {
        listener: Listener { name: "default", hostname: None },
        host: host.as_deref(),
        method: &method,
        path,
        query,
        headers: &headers,
        client: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    };
    let found = table.find(&request).map(|found| (std::sync::Arc::clone(found.target), found.match_index));
    let (_, verdicts) = table.explain(&request);
    let winner = verdicts.into_iter().find_map(|verdict| match verdict.outcome {
        Outcome::Wins { .. } => Some((std::sync::Arc::clone(verdict.target), verdict.match_index)),
        Outcome::ComesAfter(_) | Outcome::DoesNotHold(_) => None,
    });
    assert_eq!(found, winner, "serving and explaining differ");
}

/// Any bytes as a path: what comes out has no second spelling.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(normal) = path::normalize(text, &Requests::default()) {
        assert!(normal.starts_with('/') && !normal.contains("//") && !normal.contains([';', '\\']), "{normal}");
        assert!(normal.split('/').all(|segment| !matches!(segment, "." | "..")), "{normal}");
        assert_eq!(path::normalize(&normal, &Requests::default()).as_deref(), Ok(&*normal));
    }
}

/// Any bytes as a token: nobody who does not know the secret is believed.
pub(crate) fn jwt(bytes: &[u8]) {
    assert!(identity::fuzz::verify_bytes(bytes).is_err());
}
