//! TLS to other servers: whom to trust, and what to offer.
//!
//! Trusted are the roots of the operating system (or of `SSL_CERT_FILE`). They are read once, when something needs them
//! first: a gateway that calls nobody must start on a machine that has none. A failure to read them is the failure of
//! that request, and the next one tries again. Sessions are resumed within one client only, so that two services are
//! never seen as one.

use std::io;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// Servers of one client whose sessions can be resumed.
const SESSIONS: usize = 64;

static SYSTEM: OnceCell<ClientConfig> = OnceCell::const_new();

/// Trusts the operating system's roots, and offers nothing.
///
/// # Errors
/// When there are none that can be read.
pub(in crate::gateway) async fn system() -> io::Result<ClientConfig> {
    let read = || async {
        let read = tokio::task::spawn_blocking(|| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            Ok(builder.map_err(io::Error::other)?.with_native_roots()?.with_no_client_auth())
        });
        read.await.map_err(io::Error::other)?
    };
    SYSTEM.get_or_try_init(read).await.cloned()
}

/// The TLS of one client. Costs nothing until it is used.
#[derive(Default)]
pub(crate) struct Tls(OnceCell<Connectors>);

struct Connectors {
    any: TlsConnector,
    http1: TlsConnector,
}

impl Tls {
    /// Trusts this root only.
    #[cfg(test)]
    pub(in crate::gateway) fn trusting(root: rustls_pki_types::CertificateDer<'_>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.into_owned()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Self(OnceCell::new_with(Some(Connectors::new(config))))
    }

    /// What offers HTTP/1.1, and HTTP/2 if that is wanted too.
    pub(super) async fn connector(&self, http2: bool) -> io::Result<TlsConnector> {
        let connectors = self.0.get_or_try_init(|| async { system().await.map(Connectors::new) }).await?;
        Ok(if http2 { connectors.any.clone() } else { connectors.http1.clone() })
    }
}

impl Connectors {
    fn new(mut config: ClientConfig) -> Self {
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = TlsConnector::from(Arc::new(config.clone()));
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { any: TlsConnector::from(Arc::new(config)), http1 }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
