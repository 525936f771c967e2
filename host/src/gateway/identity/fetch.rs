//! Getting a provider's keys, once: from a file, from the environment or over HTTP.
//!
//! Bounds: 512 KiB of keys, one time limit over name lookup, connection and body, and status 200 only. A redirect is
//! not followed, because whoever could send one could also name another place to trust. https asks the roots of the
//! operating system (or `SSL_CERT_FILE`); they are read at the first fetch that needs them. When to fetch, and what
//! to do when it fails, is `source`'s business.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;

use super::jwks::{KeySet, KeysError};
use crate::config::JwksSource;
use crate::gateway::upstream::system_tls;

/// Most bytes of keys; a hundred large RSA keys with certificates are half of it.
const MAX_BYTES: usize = 512 * 1024;

/// Why keys could not be had; goes to the log, and never names a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot read the file: {0}")]
    File(std::io::Error),
    #[error("{0}")]
    Secret(String),
    #[error("cannot read the operating system's root certificates: {0}")]
    Roots(std::io::Error),
    #[error("no answer: {0}")]
    Http(String),
    #[error("answered with status {0}")]
    Status(StatusCode),
    #[error("more than 512 KiB")]
    TooLarge,
    #[error("not done in {0:?}")]
    Timeout(Duration),
    #[error("given up half-way")]
    Aborted,
    #[error(transparent)]
    Keys(#[from] KeysError),
}

type TlsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Fetches keys.
pub(super) struct Fetcher {
    tls: OnceCell<TlsClient>,
    /// What answers in place of files and servers.
    #[cfg(test)]
    script: Option<Script>,
}

#[cfg(test)]
pub(super) type Script =
    Box<dyn Fn() -> futures_util::future::BoxFuture<'static, Result<KeySet, FetchError>> + Send + Sync>;

impl Fetcher {
    pub(super) fn new() -> Self {
        Self {
            tls: OnceCell::new(),
            #[cfg(test)]
            script: None,
        }
    }

    /// Asks nobody but `script`.
    #[cfg(test)]
    pub(super) fn scripted(script: Script) -> Self {
        Self { tls: OnceCell::new(), script: Some(script) }
    }

    /// Fetches over https from servers whose certificate comes from this root only.
    #[cfg(test)]
    pub(super) fn trusting(root: rustls_pki_types::CertificateDer<'_>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.into_owned()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_all_versions().build();
        Self { tls: OnceCell::new_with(Some(client(connector))), script: None }
    }

    /// Gets the keys, once.
    ///
    /// # Errors
    /// When there are none, or none in time.
    pub(super) async fn fetch(&self, source: &JwksSource, timeout: Duration) -> Result<KeySet, FetchError> {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return script().await;
        }
        match source {
            JwksSource::File(path) => Ok(KeySet::from_jwks(&read_file(path, timeout).await?)?),
            JwksSource::Secret(secret) => {
                let secret = secret.clone();
                let read = tokio::task::spawn_blocking(move || secret.read());
                let read = tokio::time::timeout(timeout, read).await.map_err(|_| FetchError::Timeout(timeout))?;
                let secret = read.map_err(|_| FetchError::Aborted)?.map_err(FetchError::Secret)?;
                Ok(KeySet::from_secret(secret.expose())?)
            }
            JwksSource::Url(url) => {
                let body = tokio::time::timeout(timeout, self.get(url)).await;
                Ok(KeySet::from_jwks(&body.map_err(|_| FetchError::Timeout(timeout))??)?)
            }
        }
    }

    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| FetchError::Http(error.to_string()))?;
        // Plain http is for this machine (`config` sees to that) and must work where no roots are installed.
        if uri.scheme_str() == Some("http") {
            return get(&client(HttpConnector::new()), uri).await;
        }
        get(self.tls.get_or_try_init(tls_client).await?, uri).await
    }
}

async fn tls_client() -> Result<TlsClient, FetchError> {
    let config = system_tls().await.map_err(FetchError::Roots)?;
    Ok(client(HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_all_versions().build()))
}

/// Keys are fetched every few minutes: no connection is kept for that.
fn client<C: Connect + Clone>(connector: C) -> Client<C, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

async fn get<C>(client: &Client<C, Empty<Bytes>>, uri: Uri) -> Result<Bytes, FetchError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let response = client.get(uri).await.map_err(|error| FetchError::Http(with_causes(&error)))?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    match Limited::new(response.into_body(), MAX_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
        Err(error) => Err(FetchError::Http(with_causes(error.as_ref()))),
    }
}

/// The client's own words say only that it failed; why is in the causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn read_file(path: &Path, timeout: Duration) -> Result<Vec<u8>, FetchError> {
    let read = async {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too large from one that just fits.
        tokio::fs::File::open(path).await?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
        Ok(bytes)
    };
    match tokio::time::timeout(timeout, read).await {
        Ok(Ok(bytes)) if bytes.len() > MAX_BYTES => Err(FetchError::TooLarge),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(FetchError::File(error)),
        Err(_) => Err(FetchError::Timeout(timeout)),
    }
}
