//! A body's turn to be looked at.
//!
//! Short bodies of simple schemas are looked at where they are: that takes microseconds. What would take longer goes to
//! the blocking pool, and there at most [`AT_ONCE`] at a time, because a body as values takes many times the room that
//! it takes as bytes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::contract::{Contract, Direction, Effort, Schema, Violation};

/// Bytes of all bodies that are kept at the same time.
pub(super) const MAX_KEPT: usize = 256 << 20;
/// Bodies that are looked at in the blocking pool at the same time.
const AT_ONCE: usize = 8;
/// Longest body that is looked at where it is.
const SHORT: usize = 8 << 10;

static KEPT: Semaphore = Semaphore::const_new(MAX_KEPT);
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Room for bytes of a body, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Room(Option<SemaphorePermit<'static>>);

impl Room {
    /// More room, if there is any.
    pub(super) fn grow(&mut self, bytes: usize) -> Option<()> {
        let more = KEPT.try_acquire_many(u32::try_from(bytes).ok()?).ok()?;
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            None => self.0 = Some(more),
        }
        Some(())
    }
}

/// What is wrong with a body. Waits for its turn if it is long.
pub(super) async fn check(
    contract: &Arc<Contract>,
    schema: Schema,
    bytes: Bytes,
    direction: Direction,
) -> Vec<Violation> {
    if bytes.len() <= SHORT
        && let Some(found) = contract.body(schema, &bytes, direction, Effort::Little)
    {
        return found;
    }
    // Never closed.
    let turn = TURNS.acquire().await;
    let contract = Arc::clone(contract);
    let look = move || contract.body(schema, &bytes, direction, Effort::Full).unwrap_or_default();
    let found = tokio::task::spawn_blocking(look).await;
    drop(turn);
    found.unwrap_or_else(|error| {
        tracing::error!(%error, "a body could not be held against its contract");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::BodyRule;

    #[tokio::test]
    async fn short_and_long_bodies_get_the_same_answer() {
        let text = "openapi: 3.1.0\npaths: { /a: { post: { requestBody: { content: { application/json: { schema: \
                    { type: array, items: { type: integer } } } } } } } }";
        let contract = Arc::new(Contract::read("a", text).unwrap());
        let headers = http::HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        )]);
        let head = contract.request(&http::Method::POST, "/a", None, &headers);
        let BodyRule::Fits { schema, .. } = head.body else { panic!("{head:?}") };
        for (items, wrong) in [(10, false), (10, true), (100_000, false), (100_000, true)] {
            let mut body = vec!["1"; items];
            body.push(if wrong { "\"x\"" } else { "2" });
            let body = Bytes::from(format!("[{}]", body.join(",")));
            let found = check(&contract, schema, body, Direction::Request).await;
            assert_eq!(found.len(), usize::from(wrong), "{items}");
        }
    }

    #[test]
    fn there_is_room_for_so_much_and_it_comes_back() {
        let mut room = Room::default();
        room.grow(MAX_KEPT / 2).unwrap();
        assert!(Room::default().grow(MAX_KEPT).is_none());
        drop(room);
        Room::default().grow(MAX_KEPT).unwrap();
    }
}
