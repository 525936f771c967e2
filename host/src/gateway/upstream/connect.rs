//! From an origin to a connection that is ready to speak HTTP.
//!
//! The name is resolved here, once, by the operating system, and for every connection anew: a server that moved is
//! found again. What may not be asked is taken out of the answer, and only what is left is connected to, so nobody can
//! answer the check with one address and the connection with another. Of several addresses the first that takes the
//! connection is used, IPv6 and IPv4 side by side after 300 ms (RFC 8305); that is the library's.
//!
//! No environment variable names a proxy here.

use std::future::Ready;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::error::{NotDelivered, with_causes};
use super::reach::Reach;
use super::tls::Tls;
use crate::config::{Host, Protocol};

/// After so long in silence the kernel asks whether the other side is still there; tunnels have no other way to know.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Who is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) reach: Reach,
}

/// A connection without HTTP.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Origin {
    /// The origin of an absolute address.
    ///
    /// # Errors
    /// Says what is wrong with the address.
    pub(crate) fn new(uri: &Uri, protocol: Protocol, reach: Reach) -> Result<Self, String> {
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("the scheme is neither http nor https".to_owned()),
        };
        let authority = uri.authority().ok_or("the address names no host")?;
        if authority.as_str().contains('@') {
            return Err("credentials cannot stand in an address".to_owned());
        }
        let host = authority.host().parse()?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(if secure { 443 } else { 80 }),
            _ => authority.port_u16().filter(|port| *port > 0),
        };
        Ok(Self { secure, host, port: port.ok_or("the port is not valid")?, protocol, reach })
    }

    /// How a request names it: with a port where that is not the scheme's.
    pub(in crate::gateway) fn authority(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        if self.port == usual { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Opens a connection; HTTP/2 is offered if it is wanted. Says whether it was taken. Whoever waits sets the bound;
    /// `limit` only sees to it that a dead address leaves time for the others.
    pub(super) async fn connect(
        &self,
        tls: &Tls,
        lookups: &Arc<Semaphore>,
        http2: bool,
        limit: Duration,
    ) -> Result<(Stream, bool), NotDelivered> {
        let addresses = self.resolve(lookups).await?;
        let stream = tcp(addresses, self.port, limit).await?;
        if !self.secure {
            return Ok((Stream::Plain(stream), self.protocol == Protocol::H2c));
        }
        let failed = |error: io::Error| NotDelivered::Tls(with_causes(&error));
        let connector = tls.connector(http2 && self.protocol != Protocol::Http1).await.map_err(failed)?;
        let name = match &self.host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|e| NotDelivered::Tls(e.to_string()))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Stream::Tls(Box::new(stream)), is_http2))
    }

    async fn resolve(&self, lookups: &Arc<Semaphore>) -> Result<Vec<SocketAddr>, NotDelivered> {
        let found: Vec<IpAddr> = match &self.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => lookup(name.clone(), self.port, lookups).await.map_err(NotDelivered::Dns)?,
        };
        let first = found.first().copied().ok_or_else(|| NotDelivered::Dns("it has no address".to_owned()))?;
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.reach.allows(*address))
            .map(|address| SocketAddr::new(address, self.port))
            .collect();
        if allowed.is_empty() {
            return Err(NotDelivered::Forbidden(first.to_string()));
        }
        Ok(allowed)
    }
}

/// Asks the operating system. Its resolver blocks a thread and cannot be stopped, so a lookup counts until it is over,
/// whether anybody still waits for it or not.
async fn lookup(name: String, port: u16, lookups: &Arc<Semaphore>) -> Result<Vec<IpAddr>, String> {
    let place = Arc::clone(lookups).acquire_owned().await.map_err(|closed| closed.to_string())?;
    let found = tokio::task::spawn_blocking(move || {
        let _place = place;
        (name, port).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect())
    });
    found.await.map_err(|panicked| panicked.to_string())?.map_err(|error| error.to_string())
}

async fn tcp(addresses: Vec<SocketAddr>, port: u16, limit: Duration) -> Result<TcpStream, NotDelivered> {
    let mut connector = HttpConnector::new_with_resolver(Resolved(addresses));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector.set_connect_timeout(Some(limit));
    // A name, so that the addresses are asked for.
    let uri = Uri::builder().scheme("http").authority(format!("resolved:{port}")).path_and_query("/").build();
    let uri = uri.map_err(|error| NotDelivered::Connect(error.to_string()))?;
    let stream = connector.call(uri).await.map_err(|error| NotDelivered::Connect(with_causes(&error)))?;
    Ok(stream.into_inner())
}

/// The addresses that were found before.
#[derive(Debug, Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _name: Name) -> Self::Future {
        std::future::ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}
