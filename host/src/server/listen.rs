//! Binding and accepting.
//!
//! An error of `accept` is about one connection or about a resource of the process (file descriptors); neither is a
//! reason to stop serving those that are there. It backs off, so that a full descriptor table does not become a
//! busy loop.
//!
//! What a connection meets is looked up when it arrives ([`Entrance`]), so a new certificate needs no new socket. Its
//! handshake runs in its own task and under a bound: a client that dawdles keeps nobody waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, Guard};
use super::connection::{Handler, Protocol, serve};
use super::drain::Drain;
use super::limits::Limits;
use super::tls::Tls;
use crate::gateway::Connection;

const BACKLOG: u32 = 4096;
const BACK_OFF: Duration = Duration::from_millis(100);
/// First byte of every TLS connection: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// What a client that speaks HTTP to a port with TLS gets to read.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 43\r\n\
    connection: close\r\n\r\nthis port speaks TLS: use https, not http.\n";
/// How long such a client may take to read it, and how much of what it sends is waited for.
const PLAIN_LINGER: Duration = Duration::from_secs(1);
const PLAIN_BYTES: u64 = 64 << 10;

/// A socket that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Socket {
    socket: TcpListener,
    address: SocketAddr,
}

/// What a connection meets.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) kind: Kind,
    /// Of the connections that come in by it.
    pub(super) drain: Drain,
}

/// What bounds the connections of an address, whatever they meet.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) limits: ArcSwap<Limits>,
    pub(super) admission: Arc<Admission>,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Plain bytes, for the listener of this name.
    Plain(Arc<str>),
    Tls(Arc<Tls>),
}

impl Socket {
    pub(super) fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let bind = || {
            let socket =
                if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
            // A restart must not wait for connections of the process before.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bind().map_err(|source| ListenError { address, source })
    }

    /// The address, with the real port where 0 was asked for.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until told to stop, and then those who are connected already.
    pub(super) async fn run<H: Handler>(
        self,
        handler: Arc<H>,
        entrance: Arc<ArcSwap<Entrance>>,
        bounds: Arc<Bounds>,
        stop: CancellationToken,
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer, &handler, &entrance.load(), &bounds),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
        while let Some(Ok((stream, peer))) = self.socket.accept().now_or_never() {
            self.admit(stream, peer, &handler, &entrance.load(), &bounds);
        }
    }

    fn admit<H: Handler>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        handler: &Arc<H>,
        entrance: &Entrance,
        bounds: &Bounds,
    ) {
        match bounds.admission.admit(peer.ip()) {
            Some(guard) => self.open((stream, guard), peer, handler, entrance, Limits::clone(&bounds.limits.load())),
            // An answer would cost what the bound is there to save.
            None => tracing::debug!(%peer, "too many connections"),
        }
    }

    fn open<H: Handler>(
        &self,
        (stream, guard): (TcpStream, Guard),
        peer: SocketAddr,
        handler: &Arc<H>,
        entrance: &Entrance,
        limits: Limits,
    ) {
        if let Err(error) = limits.apply(&stream) {
            tracing::debug!(%error, %peer, "the connection was gone before it began");
            return;
        }
        let (handler, drain, local) = (Arc::clone(handler), entrance.drain.clone(), self.address);
        match &entrance.kind {
            Kind::Plain(listener) => {
                let connection = Connection { peer, local, listener: Arc::clone(listener), secure: None };
                entrance.drain.spawn(async move {
                    let _guard = guard;
                    serve(stream, Protocol::Detect, connection, handler, drain, limits).await;
                });
            }
            Kind::Tls(tls) => {
                let tls = Arc::clone(tls);
                entrance.drain.spawn(async move {
                    let _guard = guard;
                    let accepted = match tokio::time::timeout(limits.tls_handshake_timeout, greet(stream, &tls)).await {
                        Ok(Ok(accepted)) => accepted,
                        Ok(Err(error)) => {
                            tracing::debug!(%peer, %error, "no TLS connection came about");
                            return;
                        }
                        Err(_elapsed) => {
                            tracing::debug!(%peer, "the TLS handshake took too long");
                            return;
                        }
                    };
                    let super::tls::Accepted { stream, protocol, listener, secure } = accepted;
                    let connection = Connection { peer, local, listener, secure: Some(secure) };
                    serve(stream, protocol, connection, handler, drain, limits).await;
                });
            }
        }
    }
}

async fn greet(mut stream: TcpStream, tls: &Tls) -> std::io::Result<super::tls::Accepted<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // Methods of HTTP are in upper case. Anything else gets the alert that TLS has for it.
    if first != [HANDSHAKE_RECORD] && first[0].is_ascii_uppercase() {
        stream.write_all(PLAIN_HTTP).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the answer might be lost.
        let rest = &mut stream.take(PLAIN_BYTES);
        let _ = tokio::time::timeout(PLAIN_LINGER, tokio::io::copy(rest, &mut tokio::io::sink())).await;
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "plain HTTP on a port with TLS"));
    }
    tls.accept(stream).await
}
