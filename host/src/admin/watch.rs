//! `GET /api/watch`: every change as a server-sent event.
//!
//! ```text
//! event: snapshot            first, and again when the client was too slow
//! id: 41
//! data: {"missed":0,"services":[…]}
//!
//! event: instance.health     also instance.registered, .updated, .deregistered, version.changed
//! id: 42
//! data: {"at":"…","service":"orders","old":{…},"new":{…}}
//!
//! : ping                     after 15 s without an event
//! ```
//!
//! The stream is pulled by the connection: of a client that does not read, nothing is kept but its place in the ring of
//! events, and the connection's own write timeout ends it. The number of watchers is bounded.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Frame;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::registry::{Update, Watcher};

/// Proxies and clients cut connections on which nothing comes; 15 s is what the HTML standard advises.
const PING: Duration = Duration::from_secs(15);

/// One client that watches.
pub(super) struct Watch {
    pub(super) watcher: Watcher,
    /// Only what concerns this service.
    pub(super) service: Option<String>,
    /// The stream ends when the host does.
    pub(super) draining: CancellationToken,
    /// Its place among the watchers, until it is dropped.
    pub(super) _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The body of the answer.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        futures_util::stream::unfold(self, async |mut watch| {
            let bytes = watch.next().await?;
            Some((Ok(Frame::data(bytes)), watch))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let silent = Instant::now() + PING;
        loop {
            let update = tokio::select! {
                biased;
                () = self.draining.cancelled() => return None,
                update = self.watcher.next() => update,
                () = tokio::time::sleep_until(silent) => return Some(Bytes::from_static(b": ping\n\n")),
            };
            match update {
                Update::Snapshot(mut snapshot) => {
                    if let Some(service) = &self.service {
                        snapshot.services.retain(|known| known.name == *service);
                    }
                    return Some(event("snapshot", snapshot.id, &snapshot));
                }
                Update::Event(change) if self.service.as_ref().is_none_or(|service| change.service == *service) => {
                    return Some(event(change.kind.as_str(), change.id, &*change));
                }
                Update::Event(_) => {}
            }
        }
    }
}

fn event(name: &str, id: u64, data: &impl Serialize) -> Bytes {
    // Text, numbers and maps with text keys: cannot fail. JSON in its short form has no line ends.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\nid: {id}\ndata: {data}\n\n").into()
}
