//! The connections of one client: an instance's, or those of one service to outside hosts. Never shared between two.
//!
//! Whoever sends over HTTP/1.1 first takes one of the places, then a connection that waits or a new one. A connection
//! goes back before its place does, so there are never more connections than places: if the idle ones of other targets
//! are in the way, the oldest is closed. A connection over HTTP/2 has a place for as long as it lives, and is shared.
//!
//! The connection that was used last is used first; the others get old and are closed after their time, by a task that
//! looks every second while there are any. As long as nobody knows what a server speaks, one connection is opened at a
//! time: most would be for nothing if it is HTTP/2.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Limits;
use super::connect::Origin;
use super::connection::{Http1, Http1Lease, Http2, Lease};
use super::error::{NotDelivered, UpstreamError};
use super::tls::Tls;
use crate::config::Protocol;

/// Names that are looked up at once: each blocks a thread that others need, too.
const LOOKUPS: usize = 16;
/// How often old connections are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// An origin, with what was found out about it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) origin: Origin,
    /// It was seen to speak HTTP/1.1, so nobody waits for others to connect.
    is_http1: AtomicBool,
    connecting: tokio::sync::Mutex<()>,
}

/// See the module header.
pub(crate) struct Pool {
    tls: Arc<Tls>,
    places: Arc<Semaphore>,
    max: usize,
    lookups: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    idle: VecDeque<Idle>,
    shared: Vec<(Arc<Target>, Arc<Http2>)>,
    is_watched: bool,
}

struct Idle {
    target: Arc<Target>,
    connection: Http1,
    until: Instant,
}

impl Target {
    pub(crate) fn new(origin: Origin) -> Arc<Self> {
        let is_http1 = match origin.protocol {
            Protocol::Http1 => true,
            Protocol::Auto => !origin.secure,
            Protocol::H2c => false,
        };
        Arc::new(Self { origin, is_http1: AtomicBool::new(is_http1), connecting: tokio::sync::Mutex::default() })
    }
}

impl Pool {
    /// At most `max` connections at once.
    pub(crate) fn new(tls: Arc<Tls>, max: usize) -> Arc<Self> {
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        Arc::new(Self { tls, places: Arc::new(Semaphore::new(max)), max, lookups, state: Mutex::default() })
    }

    /// A connection to send one request on, one that waits or a new one. With `http1`, only HTTP/1.1 will do.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        target: &Arc<Target>,
        http1: bool,
        limits: &Limits,
    ) -> Result<Lease, UpstreamError> {
        if http1 && target.origin.protocol == Protocol::H2c {
            return Err(NotDelivered::Protocol.into());
        }
        if !http1 && let Some(lease) = self.shared(target, limits.idle) {
            return Ok(lease);
        }
        let patience = Instant::now() + limits.connect;
        let until = limits.deadline.map_or(patience, |deadline| deadline.min(patience));
        let overdue = |why: NotDelivered| if until < patience { UpstreamError::Timeout } else { why.into() };
        let place = timeout_at(until, self.place()).await.map_err(|_| overdue(NotDelivered::PoolFull))??;
        if let Some(connection) = self.idle(target) {
            return Ok(self.lease(target, connection, place));
        }
        let connected = timeout_at(until, Box::pin(self.connect(target, http1, place, limits))).await;
        Ok(connected.map_err(|_| overdue(NotDelivered::ConnectTimeout))??)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, NotDelivered> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        // Connections over HTTP/2 that nobody uses have places, too.
        drop(self.unused());
        Arc::clone(&self.places).acquire_owned().await.map_err(|_closed| NotDelivered::PoolFull)
    }

    fn lease(self: &Arc<Self>, target: &Arc<Target>, connection: Http1, place: OwnedSemaphorePermit) -> Lease {
        Lease::Http1(Http1Lease { connection, place, target: Arc::clone(target), pool: Arc::downgrade(self) })
    }

    async fn connect(
        self: &Arc<Self>,
        target: &Arc<Target>,
        http1: bool,
        place: OwnedSemaphorePermit,
        limits: &Limits,
    ) -> Result<Lease, NotDelivered> {
        let _alone = if http1 || target.is_http1.load(Ordering::Acquire) {
            None
        } else {
            let alone = target.connecting.lock().await;
            // Somebody may have connected meanwhile.
            if let Some(lease) = self.shared(target, limits.idle) {
                return Ok(lease);
            }
            if let Some(connection) = self.idle(target) {
                return Ok(self.lease(target, connection, place));
            }
            Some(alone)
        };
        self.make_room();
        let (stream, is_http2) = target.origin.connect(&self.tls, &self.lookups, !http1, limits.connect).await?;
        if !http1 {
            target.is_http1.store(!is_http2, Ordering::Release);
        }
        if !is_http2 {
            return Ok(self.lease(target, Http1::new(stream).await?, place));
        }
        let connection = Arc::new(Http2::new(stream, place, limits.idle).await?);
        let lease =
            connection.lease(limits.idle).ok_or_else(|| NotDelivered::Connect("it closed at once".to_owned()))?;
        let mut state = self.state();
        state.shared.push((Arc::clone(target), connection));
        self.watch(&mut state);
        Ok(Lease::Http2(lease))
    }

    /// A connection that others use, too.
    fn shared(&self, target: &Arc<Target>, idle: Duration) -> Option<Lease> {
        let state = self.state();
        let mut shared = state.shared.iter().filter(|(other, _)| Arc::ptr_eq(other, target));
        shared.find_map(|(_, connection)| connection.lease(idle)).map(Lease::Http2)
    }

    /// A connection that waits.
    fn idle(&self, target: &Arc<Target>) -> Option<Http1> {
        let now = Instant::now();
        loop {
            let Idle { mut connection, until, .. } = self.last_used(target)?;
            if until > now && connection.is_ready() {
                return Some(connection);
            }
        }
    }

    fn last_used(&self, target: &Arc<Target>) -> Option<Idle> {
        let mut state = self.state();
        let at = state.idle.iter().rposition(|idle| Arc::ptr_eq(&idle.target, target))?;
        state.idle.remove(at)
    }

    /// Lets a connection wait for the next request.
    pub(super) fn put(self: &Arc<Self>, target: Arc<Target>, connection: Http1, idle: Duration) {
        let mut state = self.state();
        state.idle.push_back(Idle { target, connection, until: Instant::now() + idle });
        self.watch(&mut state);
    }

    /// Closes the oldest of those that wait, if a new one would be one too many.
    fn make_room(&self) {
        let mut state = self.state();
        let used = self.max.saturating_sub(self.places.available_permits());
        if used + state.idle.len() > self.max {
            state.idle.pop_front();
        }
    }

    /// A shared connection without requests.
    fn unused(&self) -> Option<Arc<Http2>> {
        let mut state = self.state();
        let at = state.shared.iter().position(|(_, connection)| connection.is_idle())?;
        Some(state.shared.swap_remove(at).1)
    }

    fn watch(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_watched, true) {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections there are.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.max - self.places.available_permits() + self.state().idle.len()
    }

    /// How many of those that are kept could be used.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let mut state = self.state();
        let idle = state.idle.iter_mut().filter_map(|idle| idle.connection.is_ready().then_some(()));
        idle.count() + state.shared.iter().filter(|(_, shared)| !shared.is_over(Instant::now())).count()
    }
}

/// Closes what is old, until nothing is left.
async fn watch(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let mut state = pool.state();
        state.idle.retain_mut(|idle| idle.until > now && idle.connection.is_ready());
        state.shared.retain(|(_, connection)| !connection.is_over(now));
        if state.idle.is_empty() && state.shared.is_empty() {
            state.is_watched = false;
            return;
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("max", &self.max).finish_non_exhaustive()
    }
}
