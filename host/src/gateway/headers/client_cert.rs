//! `Client-Cert` (RFC 9440): the certificate that a client has proved to have, for the service.
//!
//! Only ever said by us: what a client sends under these names is dropped, whoever it is. A service that reads it must
//! be reachable through the gateway alone, which a component always is.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::gateway::Secure;

pub(crate) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// We do not send it; services that read it anyway must not read a client's.
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// A client's certificate, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject, as in RFC 4514.
    pub subject: String,
    /// Its alternative names: DNS, IP, URI (SPIFFE, for example), e-mail.
    pub sans: Vec<String>,
    /// SHA-256 of the certificate, 64 hex digits.
    pub fingerprint: String,
    header: HeaderValue,
}

impl ClientCertificate {
    /// From what it says and its DER form.
    pub(crate) fn new(subject: String, sans: Vec<String>, der: &[u8]) -> Self {
        let fingerprint = Sha256::digest(der).iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        // A byte sequence of structured fields (RFC 8941): base64 between colons, which always is a header value.
        let header = HeaderValue::from_str(&format!(":{}:", STANDARD.encode(der)));
        let header = header.unwrap_or(const { HeaderValue::from_static("::") });
        Self { subject, sans, fingerprint, header }
    }
}

/// Says who the client is if it has proved it, and drops what it says about that itself.
pub(crate) fn client_cert(headers: &mut HeaderMap, secure: Option<&Secure>) {
    headers.remove(&CLIENT_CERT_CHAIN);
    drop_aliases(headers);
    match secure.and_then(|secure| secure.client_certificate.as_ref()) {
        Some(certificate) => drop(headers.insert(CLIENT_CERT, certificate.header.clone())),
        None => drop(headers.remove(&CLIENT_CERT)),
    }
}

/// Removes what hides behind `_`, which many servers take for `-`.
fn drop_aliases(headers: &mut HeaderMap) {
    let alias = |name: &&HeaderName| {
        name.as_str().contains('_')
            && [CLIENT_CERT, CLIENT_CERT_CHAIN].iter().any(|ours| *ours == name.as_str().replace('_', "-").as_str())
    };
    let names: Vec<HeaderName> = headers.keys().filter(alias).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(CLIENT_CERT, HeaderValue::from_static(":AAAA:"));
        headers.append(CLIENT_CERT, HeaderValue::from_static(":BBBB:"));
        headers.append(CLIENT_CERT_CHAIN, HeaderValue::from_static(":CCCC:"));
        // Let through by `underscoreHeaders: keep`.
        for alias in ["client_cert", "client_cert-chain", "client-cert_chain"] {
            headers.append(alias, HeaderValue::from_static(":DDDD:"));
        }
        headers.append("accept", HeaderValue::from_static("*/*"));
        headers
    }

    #[test]
    fn what_clients_say_about_themselves_is_dropped() {
        let without = Secure { server_name: None, version: "TLSv1.3", client_certificate: None };
        for secure in [None, Some(&without)] {
            let mut headers = sent();
            client_cert(&mut headers, secure);
            assert_eq!(headers.len(), 1, "{headers:?}");
            assert!(headers.contains_key("accept"));
        }
    }

    #[test]
    fn a_proven_certificate_is_a_byte_sequence() {
        let certificate = ClientCertificate::new("CN=a".to_owned(), vec!["a".to_owned()], b"abc");
        assert_eq!(certificate.fingerprint, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let secure = Secure { server_name: None, version: "TLSv1.3", client_certificate: Some(certificate) };
        let mut headers = sent();
        client_cert(&mut headers, Some(&secure));
        let said: Vec<_> = headers.get_all(CLIENT_CERT).iter().collect();
        assert_eq!(said, [":YWJj:"]);
        assert_eq!(headers.len(), 2, "{headers:?}");
    }
}
