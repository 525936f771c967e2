//! Binding and accepting.
//!
//! An error of `accept` is about one connection or about a resource of the process (file descriptors); neither is a
//! reason to stop serving those that are there. It backs off, so that a full descriptor table does not become a
//! busy loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};

use super::connection::{Handler, Protocol, serve};
use super::drain::Drain;
use super::limits::Limits;
use crate::gateway::Connection;

const BACKLOG: u32 = 4096;
const BACK_OFF: Duration = Duration::from_millis(100);

/// A socket that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, ListenError> {
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
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the drain begins, and then those who are connected already.
    pub(crate) async fn run<H: Handler>(self, handler: Arc<H>, drain: Drain) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.asked() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.open(stream, peer, &handler, &drain),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
        while let Some(Ok((stream, peer))) = self.socket.accept().now_or_never() {
            self.open(stream, peer, &handler, &drain);
        }
    }

    fn open<H: Handler>(&self, stream: TcpStream, peer: SocketAddr, handler: &Arc<H>, drain: &Drain) {
        if let Err(error) = Limits::default().apply(&stream) {
            tracing::debug!(%error, %peer, "the connection was gone before it began");
            return;
        }
        let connection = Connection { peer, local: self.address };
        let limits = Limits::default();
        drain.spawn(serve(stream, Protocol::Detect, connection, Arc::clone(handler), drain.clone(), limits));
    }
}
