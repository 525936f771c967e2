//! The listeners that are there, and how they become others while connections live.
//!
//! A change has two steps. [`Listeners::prepare`] does all that can fail: it reads certificates and binds new
//! addresses, and changes nothing. [`Listeners::commit`] cannot fail. Between the two the caller puts the rest of the
//! configuration in force, so no connection meets a listener that nobody knows.
//!
//! An address that stays keeps its socket. When only the content of certificate files has changed, connections keep
//! theirs, too; when a listener's settings have changed, those of its address are asked to finish, because they came
//! about under rules that hold no more. A removed listener stops accepting and drains.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::admission::Admission;
use super::connection::Handler;
use super::drain::Drain;
use super::limits::Limits;
use super::listen::{Bounds, Entrance, Kind, ListenError, Socket};
use super::tls::Tls;
use crate::config::{self, Connections, Problems};

/// Why listeners stay as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenersError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] ListenError),
    /// A file of TLS is wrong.
    #[error(transparent)]
    Files(#[from] Problems),
}

/// An address as configured; of several with port 0 each is one of its own.
type Key = (SocketAddr, Option<String>);

/// All listeners of one kind of requests.
#[derive(Debug)]
pub(crate) struct Listeners<H> {
    handler: Arc<H>,
    ports: Mutex<HashMap<Key, Port>>,
    /// Drains of what was removed or replaced.
    leaving: TaskTracker,
}

/// A bound address.
#[derive(Debug)]
struct Port {
    address: SocketAddr,
    listeners: Vec<config::Listener>,
    entrance: Arc<ArcSwap<Entrance>>,
    bounds: Arc<Bounds>,
    stop: CancellationToken,
    accepting: AbortOnDropHandle<()>,
}

/// A change that only waits to be made.
#[derive(Debug)]
pub(crate) struct Prepared {
    ports: HashMap<Key, (Vec<config::Listener>, Change)>,
    connections: Connections,
}

#[derive(Debug)]
enum Change {
    Nothing,
    New(Socket, Kind),
    /// Another way in by the same socket; whether those who are in should go.
    Entrance(Kind, bool),
}

impl<H: Handler> Listeners<H> {
    /// No listeners yet.
    pub(crate) fn new(handler: Arc<H>) -> Self {
        Self { handler, ports: Mutex::default(), leaving: TaskTracker::new() }
    }

    fn ports(&self) -> MutexGuard<'_, HashMap<Key, Port>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads files and binds addresses. Blocks on files for a moment; needs a runtime around it.
    ///
    /// # Errors
    /// With what is wrong; then nothing has changed.
    pub(crate) fn prepare(
        &self,
        listeners: &[config::Listener],
        connections: &Connections,
    ) -> Result<Prepared, ListenersError> {
        let mut groups: Vec<(Key, Vec<config::Listener>)> = Vec::new();
        for listener in listeners {
            let key = (listener.address, (listener.address.port() == 0).then(|| listener.name.clone()));
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(listener.clone()),
                None => groups.push((key, vec![listener.clone()])),
            }
        }
        let present = self.ports();
        let mut ports = HashMap::new();
        for (key, group) in groups {
            let kind = match group.first() {
                Some(first) if first.tls.is_none() => Kind::Plain(first.name.as_str().into()),
                _ => Kind::Tls(Arc::new(Tls::load(&group)?)),
            };
            let change = match present.get(&key) {
                None => Change::New(Socket::bind(key.0)?, kind),
                Some(port) => port.change(&group, kind),
            };
            ports.insert(key, (group, change));
        }
        Ok(Prepared { ports, connections: connections.clone() })
    }

    /// Makes the change. Connections of what is no more have `timeout` to finish what they do.
    pub(crate) fn commit(&self, prepared: Prepared, timeout: Duration) {
        let mut ports = self.ports();
        for (_, port) in ports.extract_if(|key, _| !prepared.ports.contains_key(key)) {
            tracing::info!(address = %port.address, listeners = %port.names(), "listening no more");
            self.leaving.spawn(port.close(timeout));
        }
        // Connections that are there keep the clocks they came in with.
        for port in ports.values() {
            port.bounds.limits.store(Arc::new(Limits::new(&prepared.connections)));
            port.bounds.admission.set(&prepared.connections);
        }
        for (key, (listeners, change)) in prepared.ports {
            match change {
                Change::Nothing => {}
                Change::New(socket, kind) => {
                    let port = Port::open(socket, listeners, kind, Arc::clone(&self.handler), &prepared.connections);
                    ports.insert(key, port);
                }
                Change::Entrance(kind, leave) => {
                    let Some(port) = ports.get_mut(&key) else { continue };
                    port.listeners = listeners;
                    if let Some(old) = port.replace(kind, leave) {
                        self.leaving.spawn(async move { old.drain(timeout).await });
                    }
                }
            }
        }
    }

    /// The address of each listener by name, with the real port where 0 was asked for.
    pub(crate) fn addresses(&self) -> HashMap<String, SocketAddr> {
        let ports = self.ports();
        let named = ports.values().flat_map(|port| port.listeners.iter().map(|l| (l.name.clone(), port.address)));
        named.collect()
    }

    /// From now on every response over HTTP/1 is its connection's last. New connections are still welcome.
    pub(crate) fn announce(&self) {
        for port in self.ports().values() {
            port.entrance.load().drain.announce();
        }
    }

    /// Stops accepting, and waits at most `timeout` for the connections before cutting them. Says how many were cut.
    pub(crate) async fn drain(&self, timeout: Duration) -> usize {
        let ports: Vec<Port> = self.ports().drain().map(|(_, port)| port).collect();
        let closing = futures_util::future::join_all(ports.into_iter().map(|port| port.close(timeout)));
        self.leaving.close();
        // What began to leave earlier has a bound of its own, which may be longer.
        let left = tokio::time::timeout(timeout, self.leaving.wait());
        let (cut, _elapsed) = futures_util::future::join(closing, left).await;
        cut.into_iter().sum()
    }
}

impl Port {
    fn open<H: Handler>(
        socket: Socket,
        listeners: Vec<config::Listener>,
        kind: Kind,
        handler: Arc<H>,
        connections: &Connections,
    ) -> Self {
        let (address, stop) = (socket.address(), CancellationToken::new());
        warn(&[], &kind);
        let entrance = Arc::new(ArcSwap::from_pointee(Entrance { kind, drain: Drain::default() }));
        let limits = ArcSwap::from_pointee(Limits::new(connections));
        let bounds = Arc::new(Bounds { limits, admission: Admission::new(connections) });
        let accepting = tokio::spawn(socket.run(handler, Arc::clone(&entrance), Arc::clone(&bounds), stop.clone()));
        let port = Self { address, listeners, entrance, bounds, stop, accepting: AbortOnDropHandle::new(accepting) };
        tracing::debug!(%address, listeners = %port.names(), "bound");
        port
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.listeners.iter().map(|listener| listener.name.as_str()).collect();
        names.join(", ")
    }

    fn change(&self, listeners: &[config::Listener], kind: Kind) -> Change {
        let old = self.entrance.load();
        let same_files = match (&old.kind, &kind) {
            (Kind::Tls(old), Kind::Tls(new)) => {
                warn(old.warnings(), &kind);
                old.digests() == new.digests() && old.warnings() == new.warnings()
            }
            (Kind::Plain(_), Kind::Plain(_)) => true,
            _ => false,
        };
        match (self.listeners == listeners, same_files) {
            (true, true) => Change::Nothing,
            (same_settings, _) => Change::Entrance(kind, !same_settings),
        }
    }

    /// Lets new connections in by another way; gives the drain of the old one if those who are in should go.
    fn replace(&self, kind: Kind, leave: bool) -> Option<Drain> {
        let old = self.entrance.load_full();
        let drain = if leave { Drain::default() } else { old.drain.clone() };
        self.entrance.store(Arc::new(Entrance { kind, drain }));
        tracing::info!(address = %self.address, listeners = %self.names(), "listeners changed, new connections see it");
        leave.then(|| old.drain.clone())
    }

    async fn close(self, timeout: Duration) -> usize {
        self.stop.cancel();
        // Those who were connected already are let in before the door is counted as closed. It cannot fail but by a
        // panic, and then nobody is let in.
        let _ = self.accepting.await;
        let drain = self.entrance.load().drain.clone();
        drain.drain(timeout).await
    }
}

/// Logs what is unwise and was not said before.
fn warn(said: &[String], kind: &Kind) {
    if let Kind::Tls(tls) = kind {
        for warning in tls.warnings().iter().filter(|warning| !said.contains(warning)) {
            tracing::warn!("{warning}");
        }
    }
}
