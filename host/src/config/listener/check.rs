//! What must hold for listeners, one by one and together.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::super::check::{At, Check, valid_hostname, valid_name};
use super::super::model::Gateway;
use super::{Listener, PRELOAD_MAX_AGE, RedirectToHttps, Tls};

impl Listener {
    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if valid_name(&self.name).is_err() {
            let message = "a listener's name has lowercase letters, digits and `-`, begins with a letter, at most 63";
            check.wrong(at.get("name"), message);
        }
        if let Some(hostname) = &self.hostname
            && let Err(message) = valid_hostname(hostname)
        {
            check.wrong(at.get("hostname"), message);
        }
        let redirect_at = at.get("redirectToHttps");
        match (self.redirect_to_https, &self.tls) {
            (RedirectToHttps::Port(_), Some(_)) => {
                check.wrong(redirect_at, "this listener has TLS already: redirect on a listener without it");
            }
            (RedirectToHttps::Port(0), None) => check.wrong(redirect_at, "`0` is no port: name the one with TLS"),
            _ => {}
        }
        if let Some(tls) = &self.tls {
            tls.check(check, at.get("tls"));
        }
    }
}

impl Tls {
    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if at.get("certificates").written() == 0 {
            check.wrong(at.key("certificates"), "TLS needs a certificate: give at least one");
        }
        for (files, at) in self.certificates.iter().zip(at.get("certificates").items()) {
            for (at, path) in [(at.get("cert"), &files.cert), (at.get("key"), &files.key)] {
                if path.as_os_str().is_empty() {
                    check.wrong(at, "an empty path: name a file");
                }
            }
        }
        if let Some(auth) = &self.client_auth
            && auth.ca.as_os_str().is_empty()
        {
            check.wrong(at.get("clientAuth").get("ca"), "an empty path: name a file");
        }
        if let Some(hsts) = &self.hsts
            && hsts.preload
            && !(hsts.include_sub_domains && hsts.max_age >= PRELOAD_MAX_AGE)
        {
            let message = "browsers preload only what has `includeSubDomains: true` and a `maxAge` of at least 8760h";
            check.wrong(at.get("hsts").get("preload"), message);
        }
    }
}

/// What must hold for all public listeners together.
pub(in crate::config) fn check_all(gateway: &Gateway, check: &mut Check<'_>, at: At<'_>) {
    let Gateway { listen, listeners, admin, .. } = gateway;
    let admin_at = at.get("admin").get("listen");
    if listeners.is_empty() {
        if *listen == admin.listen && listen.port() != 0 {
            check.wrong(admin_at, format!("{listen} is the public listener's address: the admin API needs its own"));
        }
        return;
    }
    // The default may stand there: `wharf config` writes out every field.
    if *listen != Gateway::default().listen {
        check.wrong(at.key("listen"), "`listen` is not used when there are `listeners`: remove one of them");
    }
    let mut names = HashMap::new();
    let mut addresses: HashMap<SocketAddr, Vec<&Listener>> = HashMap::new();
    for (listener, at) in listeners.iter().zip(at.get("listeners").items()) {
        listener.check(check, at);
        if names.insert(listener.name.as_str(), ()).is_some() {
            check.wrong(at.get("name"), format!("another listener is named `{}` too", listener.name));
        }
        let address = listener.address;
        if address.port() == 0 {
            continue;
        }
        if address == admin.listen {
            check.wrong(at.get("address"), format!("{address} is the admin API's address: use another one"));
        }
        let others = addresses.entry(address).or_default();
        if let Some(other) = others.iter().find(|other| other.tls.is_none() || listener.tls.is_none()) {
            let message = format!("listener `{}` has this address: only listeners with TLS can share one", other.name);
            check.wrong(at.get("address"), message);
        } else if let Some(other) = others.iter().find(|other| other.hostname == listener.hostname) {
            let message = format!("listener `{}` has this address and the same `hostname`", other.name);
            check.wrong(at.get("address"), message);
        }
        others.push(listener);
    }
}
