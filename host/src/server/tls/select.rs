//! Which certificate a client is greeted with, by the name it asks for.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::material::Certificate;
use super::x509;

/// The certificates of a listener, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Select(pub(super) Vec<Certificate>);

impl Select {
    /// The first that has exactly this name, else the first whose wildcard covers it, else the first.
    fn find(&self, name: Option<&str>) -> Option<&Certificate> {
        let name = name.map(str::to_ascii_lowercase);
        let has = |fits: &dyn Fn(&str, &str) -> bool| {
            let name = name.as_deref()?;
            self.0.iter().find(|certificate| certificate.dns_names.iter().any(|known| fits(known, name)))
        };
        has(&|known, name| known == name).or_else(|| has(&x509::covers)).or_else(|| self.0.first())
    }
}

impl ResolvesServerCert for Select {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).map(|certificate| Arc::clone(&certificate.key))
    }
}
