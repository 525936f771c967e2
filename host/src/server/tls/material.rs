//! Certificates, keys and authorities from their files, checked before anybody is greeted with them.
//!
//! A mistake is reported with the file it is in and leaves what is in force alone. What is only unwise (a certificate
//! that ends soon, a key that anybody may read) is a warning. Files are read whole and no further than a bound, because
//! they are read every few seconds to see renewals: a change shows in the digest of their bytes, however they are
//! replaced. No error ever quotes what stands in a file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::x509::{self, Facts};
use crate::config;

/// No chain of certificates is larger.
const MAX_FILE: u64 = 1 << 20;
const DAY: i64 = 24 * 3600;
/// Renewals are due 30 days before the end; a week before it something is wrong with them.
const ENDS_SOON: i64 = 7 * DAY;

/// What is wrong with which file.
pub(super) type Mistakes = Vec<(PathBuf, String)>;

/// A certificate that can be used, and the names it is for.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) dns_names: Vec<String>,
}

/// Everything a listener's files say.
#[derive(Debug)]
pub(super) struct Material {
    /// At least one, in the order of the configuration.
    pub(super) certificates: Vec<Certificate>,
    /// Whose certificates of clients are believed, if they are asked for.
    pub(super) roots: Option<Arc<RootCertStore>>,
    /// Of all bytes of all files.
    pub(super) digest: [u8; 32],
    /// What is unwise, one line each.
    pub(super) warnings: Vec<String>,
}

/// Reads the files of a listener; nothing when any is wrong.
pub(super) fn read(
    listener: &config::Listener,
    tls: &config::Tls,
    provider: &CryptoProvider,
    mistakes: &mut Mistakes,
) -> Option<Material> {
    let mut reading = Reading { digest: Sha256::new(), mistakes, warnings: Vec::new(), failed: false };
    let mut certificates = Vec::new();
    for files in &tls.certificates {
        certificates.extend(reading.certificate(files, provider));
    }
    let roots = tls.client_auth.as_ref().and_then(|auth| reading.roots(&auth.ca));
    if let Some(hostname) = &listener.hostname {
        let fits = |name: &String| name == hostname || x509::covers(name, hostname);
        if !certificates.iter().any(|certificate| certificate.dns_names.iter().any(fits)) {
            reading.warnings.push(format!("no certificate is for the listener's hostname {hostname}"));
        }
    }
    let Reading { digest, warnings, failed, .. } = reading;
    (!failed).then(|| Material { certificates, roots, digest: digest.finalize().into(), warnings })
}

struct Reading<'a> {
    digest: Sha256,
    mistakes: &'a mut Mistakes,
    warnings: Vec<String>,
    failed: bool,
}

impl Reading<'_> {
    fn wrong(&mut self, path: &Path, message: impl Into<String>) {
        self.failed = true;
        self.mistakes.push((path.to_owned(), message.into()));
    }

    fn bytes(&mut self, path: &Path) -> Option<Vec<u8>> {
        let read = || {
            let mut bytes = Vec::new();
            File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
            std::io::Result::Ok(bytes)
        };
        match read() {
            Ok(bytes) if bytes.len() as u64 <= MAX_FILE => {
                // The length too, so that bytes cannot wander from one file to the next unseen.
                self.digest.update((bytes.len() as u64).to_le_bytes());
                self.digest.update(&bytes);
                Some(bytes)
            }
            Ok(_) => {
                self.wrong(path, "is larger than 1MiB: that is no file of certificates");
                None
            }
            Err(error) => {
                self.wrong(path, format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn chain(&mut self, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
        let bytes = self.bytes(path)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match chain {
            Ok(chain) if chain.is_empty() => {
                self.wrong(path, "has no certificate: it must have a `-----BEGIN CERTIFICATE-----`");
                None
            }
            Ok(chain) => Some(chain),
            Err(_) => {
                self.wrong(path, "is no valid PEM file");
                None
            }
        }
    }

    fn certificate(&mut self, files: &config::CertificateFiles, provider: &CryptoProvider) -> Option<Certificate> {
        let chain = self.chain(&files.cert);
        let key = self.key(&files.key);
        let (chain, key) = (chain?, key?);
        let facts = match chain.first().map(|leaf| x509::facts(leaf)) {
            Some(Ok(facts)) => facts,
            Some(Err(_)) | None => {
                self.wrong(&files.cert, "its first certificate is not valid X.509");
                return None;
            }
        };
        match CertifiedKey::from_der(chain, key, provider) {
            Ok(key) => {
                self.judge(&files.cert, &facts);
                Some(Certificate { key: Arc::new(key), dns_names: facts.dns_names })
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                let message = format!("does not belong to the certificate {}", files.cert.display());
                self.wrong(&files.key, message);
                None
            }
            Err(rustls::Error::InvalidCertificate(_)) => {
                self.wrong(&files.cert, "its first certificate cannot be used by a server");
                None
            }
            Err(_) => {
                self.wrong(&files.key, "its key cannot be used: give an RSA, ECDSA or Ed25519 key");
                None
            }
        }
    }

    fn key(&mut self, path: &Path) -> Option<PrivateKeyDer<'static>> {
        let bytes = self.bytes(path)?;
        let Ok(key) = PrivateKeyDer::from_pem_slice(&bytes) else {
            self.wrong(path, "has no private key as PEM (and without a password)");
            return None;
        };
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
            self.warnings.push(format!("the private key {} can be read by everybody", path.display()));
        }
        Some(key)
    }

    fn roots(&mut self, path: &Path) -> Option<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        for certificate in self.chain(path)? {
            if roots.add(certificate).is_err() {
                self.wrong(path, "has a certificate that cannot be an authority");
                return None;
            }
        }
        Some(Arc::new(roots))
    }

    fn judge(&mut self, path: &Path, facts: &Facts) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
        let path = path.display();
        if now < facts.not_before {
            self.warnings.push(format!("the certificate {path} is not good yet"));
        } else if now > facts.not_after {
            self.warnings.push(format!("the certificate {path} has expired"));
        } else if facts.not_after - now < ENDS_SOON {
            self.warnings.push(format!("the certificate {path} expires in less than a week"));
        }
        if facts.sans.is_empty() {
            self.warnings.push(format!("the certificate {path} is for no name: clients will not accept it"));
        }
    }
}
