//! What a listener alone decides about a request: whether it is for this listener, whether it should come back with
//! TLS, and what its response says about TLS.
//!
//! Over HTTP/2 a browser may use one connection for every name in its certificate, and so meet the listener of one name
//! with a request for another's. Listeners differ in rules (which clients have certificates, for example), so such a
//! request is not answered but told to come by a connection of its own: 421, which browsers do without asking anybody.
//! The rules are those of the Gateway API for HTTPS listeners.
//!
//! Built once per configuration. A listener that is not in it any more has connections that are about to end; over TLS
//! they are told to come back, because nobody knows the rules they came in by.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri};

use super::{Connection, ResponseBody};
use crate::config::{self, Hsts, RedirectToHttps, hostname_fits};

/// `Strict-Transport-Security` (RFC 6797).
pub(crate) const STRICT_TRANSPORT_SECURITY: HeaderName = HeaderName::from_static("strict-transport-security");

/// A listener's name and its hostname.
pub(crate) type Named = (String, Option<String>);

/// What a listener says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is for this listener.
    Answer,
    /// Another listener at this address answers for the host: 421.
    Misdirected,
    /// No listener at this address answers for the host: 404.
    NotHere,
    /// It should come back to this address: 308.
    Redirect(HeaderValue),
}

/// All listeners, by name.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    listeners: HashMap<String, Rules>,
    addresses: HashMap<SocketAddr, Vec<Named>>,
}

#[derive(Debug)]
struct Rules {
    address: SocketAddr,
    hostname: Option<String>,
    redirect: RedirectToHttps,
    hsts: Option<HeaderValue>,
}

impl Edge {
    /// What the configuration says about public listeners.
    pub(crate) fn new(gateway: &config::Gateway) -> Self {
        let mut edge = Self::default();
        for listener in gateway.public_listeners().iter() {
            let config::Listener { name, address, hostname, tls, redirect_to_https } = listener;
            edge.addresses.entry(*address).or_default().push((name.clone(), hostname.clone()));
            let hsts = tls.as_ref().and_then(|tls| tls.hsts.as_ref()).and_then(hsts);
            let rules = Rules { address: *address, hostname: hostname.clone(), redirect: *redirect_to_https, hsts };
            edge.listeners.insert(name.clone(), rules);
        }
        edge
    }

    /// Whether the listener answers this request. `host` is the request's authority.
    pub(crate) fn decide(&self, connection: &Connection, host: &str, uri: &Uri) -> Verdict {
        let Some(rules) = self.listeners.get(&*connection.listener) else {
            return if connection.secure.is_some() { Verdict::Misdirected } else { Verdict::Answer };
        };
        let siblings = self.addresses.get(&rules.address).map_or(&[][..], Vec::as_slice);
        if misdirected(connection, host, siblings) {
            return Verdict::Misdirected;
        }
        if hostname_fits(rules.hostname.as_deref(), &name_of(host)).is_none() {
            return Verdict::NotHere;
        }
        match rules.redirect {
            RedirectToHttps::Port(port) => https_location(host, uri, port).map_or(Verdict::NotHere, Verdict::Redirect),
            RedirectToHttps::No => Verdict::Answer,
        }
    }

    /// What every response over this connection says under [`STRICT_TRANSPORT_SECURITY`]. Only over TLS: browsers
    /// ignore it otherwise, as they must.
    pub(crate) fn hsts(&self, connection: &Connection) -> Option<&HeaderValue> {
        connection.secure.as_ref()?;
        self.listeners.get(&*connection.listener)?.hsts.as_ref()
    }
}

/// Whether another of the `listeners` at this address than the connection's own is the one for `host`. Never without
/// TLS, where nothing was agreed on before the request.
pub(crate) fn misdirected(connection: &Connection, host: &str, listeners: &[Named]) -> bool {
    if connection.secure.is_none() {
        return false;
    }
    let host = name_of(host);
    let fits = |(_, hostname): &&Named| hostname_fits(hostname.as_deref(), &host);
    let best = listeners.iter().filter(|listener| fits(listener).is_some()).max_by_key(fits);
    best.is_some_and(|(name, _)| *name != *connection.listener)
}

/// The host without its port, in lower case and without the dot that ends absolute names.
fn name_of(host: &str) -> String {
    let name = host.parse::<Authority>().map_or_else(|_| host.to_owned(), |host| host.host().to_owned());
    let name = name.strip_suffix('.').unwrap_or(&name);
    name.to_ascii_lowercase()
}

/// The same address with `https`; the port is left out where it is understood. Nothing when the host cannot stand in
/// an address.
pub(crate) fn https_location(host: &str, uri: &Uri, port: u16) -> Option<HeaderValue> {
    let host: Authority = host.parse().ok()?;
    let host = host.host();
    let authority = if port == 443 { host.to_owned() } else { format!("{host}:{port}") };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    let location = Uri::builder().scheme(Scheme::HTTPS).authority(authority).path_and_query(path).build().ok()?;
    HeaderValue::from_str(&location.to_string()).ok()
}

/// The same address over TLS. Nothing is stored: who is sent there today may not be tomorrow.
pub(super) fn to_https(location: HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::gateway(Bytes::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    // Browsers keep a 308 for good if nothing is said.
    response.headers_mut().insert(CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    response
}

fn hsts(hsts: &Hsts) -> Option<HeaderValue> {
    let Hsts { max_age, include_sub_domains, preload } = hsts;
    let mut text = format!("max-age={}", max_age.get().as_secs());
    for (word, wanted) in [("; includeSubDomains", include_sub_domains), ("; preload", preload)] {
        if *wanted {
            text.push_str(word);
        }
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests;
