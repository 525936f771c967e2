//! TLS: from a connection to a stream of plain bytes, and who is at its other end.
//!
//! Everything is rustls with the provider aws-lc-rs, given by hand: nothing of the process is asked for a default. HTTP
//! is agreed on by ALPN (`h2`, `http/1.1`). Sessions are resumed by tickets whose keys live in memory and with their
//! configuration: a changed list of trusted authorities resumes nobody. No early data: it can be replayed.
//!
//! Listeners that share an address are told apart by the name in the client's greeting (SNI), before anything else of
//! TLS is decided, so each has certificates, versions and rules for clients of its own. No name, or one that fits none,
//! goes to the listener without a hostname, or to the first. Whether a request may then be for another host is the
//! gateway's business.

mod material;
mod select;
#[cfg(test)]
mod tests;
mod x509;

use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use self::material::Mistakes;
use self::select::Select;
use super::connection::Protocol;
use crate::config::{self, ClientAuthMode, Problems, TlsVersion, hostname_fits};
use crate::gateway::{ClientCertificate, Secure};

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
const TLS_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The listeners with TLS at one address.
#[derive(Debug)]
pub(super) struct Tls {
    entries: Vec<Entry>,
    digests: Vec<[u8; 32]>,
    /// What is unwise about the files, one line each.
    warnings: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    hostname: Option<String>,
    config: Arc<ServerConfig>,
}

/// A finished handshake.
pub(super) struct Accepted<S> {
    pub(super) stream: TlsStream<S>,
    pub(super) protocol: Protocol,
    pub(super) listener: Arc<str>,
    pub(super) secure: Arc<Secure>,
}

impl Tls {
    /// Reads the files of the listeners at one address.
    ///
    /// # Errors
    /// With every file that is wrong.
    pub(super) fn load(listeners: &[config::Listener]) -> Result<Self, Problems> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut tls = Self { entries: Vec::new(), digests: Vec::new(), warnings: Vec::new() };
        let mut mistakes = Mistakes::new();
        for listener in listeners {
            let Some(settings) = &listener.tls else { continue };
            let Some(material) = material::read(listener, settings, &provider, &mut mistakes) else { continue };
            tls.digests.push(material.digest);
            tls.warnings.extend(material.warnings.iter().map(|text| format!("listener {}: {text}", listener.name)));
            match server_config(settings, material, &provider) {
                Ok(config) => tls.entries.push(Entry {
                    name: listener.name.as_str().into(),
                    hostname: listener.hostname.clone(),
                    config: Arc::new(config),
                }),
                Err(error) => {
                    let first = settings.certificates.first().map(|files| files.cert.clone());
                    mistakes.push((first.unwrap_or_default(), format!("TLS cannot be set up with it: {error}")));
                }
            }
        }
        match Problems::of_files(mistakes) {
            Some(problems) => Err(problems),
            None => Ok(tls),
        }
    }

    /// Of all files; equal when nothing in them has changed.
    pub(super) fn digests(&self) -> &[[u8; 32]] {
        &self.digests
    }

    /// What is unwise about the files, one line each.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Greets a client. Takes as long as the client likes: the caller bounds it.
    ///
    /// # Errors
    /// When it does not speak TLS, or cannot agree with us, or lacks a certificate.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<Accepted<S>> {
        let greeting = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let entry = self.entry(greeting.client_hello().server_name()).ok_or(io::ErrorKind::NotFound)?;
        let stream = greeting.into_stream(Arc::clone(&entry.config)).await?;
        let session = stream.get_ref().1;
        let protocol = if session.alpn_protocol() == Some(H2) { Protocol::Http2 } else { Protocol::Http1 };
        let secure = Arc::new(secure(session)?);
        Ok(Accepted { protocol, listener: Arc::clone(&entry.name), secure, stream })
    }

    fn entry(&self, name: Option<&str>) -> Option<&Entry> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let fits = |entry: &&Entry| hostname_fits(entry.hostname.as_deref(), &name);
        // Of equal ones the first: `max_by_key` would take the last.
        self.entries.iter().rev().filter(|entry| fits(entry).is_some()).max_by_key(fits).or(self.entries.first())
    }
}

fn server_config(
    tls: &config::Tls,
    material: material::Material,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, String> {
    let versions = match tls.min_version {
        TlsVersion::V1_2 => TLS_1_2,
        TlsVersion::V1_3 => TLS_1_3,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(versions);
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match (material.roots, &tls.client_auth) {
        (Some(roots), Some(auth)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
            let verifier = match auth.mode {
                ClientAuthMode::Require => verifier,
                ClientAuthMode::Request => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Select(material.certificates)));
    config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
    Ok(config)
}

fn secure(session: &ServerConnection) -> io::Result<Secure> {
    let client_certificate = match session.peer_certificates().and_then(<[_]>::first) {
        None => None,
        Some(leaf) => {
            let facts = x509::facts(leaf).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Some(ClientCertificate::new(facts.subject, facts.sans, leaf))
        }
    };
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    Ok(Secure { server_name: session.server_name().map(str::to_owned), version, client_certificate })
}
