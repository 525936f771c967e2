//! What is read out of a certificate beside its key: whose it is and how long it is good.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The subject, as in RFC 4514.
    pub(super) subject: String,
    /// The DNS names it is for, lowercase; may begin with `*.`.
    pub(super) dns_names: Vec<String>,
    /// All alternative names that have a written form: DNS, IP, URI, e-mail.
    pub(super) sans: Vec<String>,
    /// From when it is good, in seconds since 1970.
    pub(super) not_before: i64,
    /// Until when it is good, in seconds since 1970.
    pub(super) not_after: i64,
}

/// Reads a certificate.
///
/// # Errors
/// When it is none.
pub(super) fn facts(der: &[u8]) -> Result<Facts, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let (mut dns_names, mut sans) = (Vec::new(), Vec::new());
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => {
                dns_names.push(name.to_ascii_lowercase());
                sans.push((*name).to_owned());
            }
            GeneralName::RFC822Name(text) | GeneralName::URI(text) => sans.push((*text).to_owned()),
            GeneralName::IPAddress(bytes) => sans.extend(address(bytes).map(|address| address.to_string())),
            _ => {}
        }
    }
    Ok(Facts {
        subject: certificate.subject().to_string(),
        dns_names,
        sans,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Whether a certificate's name covers `host` (lowercase): `*` stands for exactly one label (RFC 6125).
pub(super) fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
        None => name == host,
    }
}
