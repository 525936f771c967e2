//! A body that goes on as it comes, and of which a copy is looked at when it is complete.
//!
//! Complete is what ended, or what has as many bytes as were announced: readers often stop there. What is too large, or
//! finds no room, or breaks off, is let go.

use bytes::{Bytes, BytesMut};
use http_body::Frame;

use super::check::Room;
use crate::contract::Skipped;

/// What is done in the end: with the bytes and the room that they take, or with why there are none.
type Then = Box<dyn FnOnce(Result<(Bytes, Room), Skipped>) + Send + Sync>;

/// See the module.
pub(in crate::gateway) struct Tee {
    bytes: BytesMut,
    room: Room,
    limit: usize,
    expected: Option<u64>,
    /// There until it was done.
    then: Option<Then>,
}

impl Tee {
    /// For a body of this length, if it is known, of which so much is kept.
    pub(super) fn new(
        limit: usize,
        expected: Option<u64>,
        then: impl FnOnce(Result<(Bytes, Room), Skipped>) + Send + Sync + 'static,
    ) -> Self {
        Self { bytes: BytesMut::new(), room: Room::default(), limit, expected, then: Some(Box::new(then)) }
    }

    /// A piece goes by.
    pub(in crate::gateway) fn passes(&mut self, frame: &Frame<Bytes>) {
        let (Some(data), true) = (frame.data_ref(), self.then.is_some()) else { return };
        if self.bytes.len() + data.len() > self.limit || self.room.grow(data.len()).is_none() {
            return self.end(Err(Skipped::TooLarge));
        }
        self.bytes.extend_from_slice(data);
        if self.expected == Some(self.bytes.len() as u64) {
            self.complete();
        }
    }

    /// There is no more.
    pub(in crate::gateway) fn complete(&mut self) {
        let (bytes, room) = (std::mem::take(&mut self.bytes).freeze(), std::mem::take(&mut self.room));
        self.end(Ok((bytes, room)));
    }

    fn end(&mut self, with: Result<(Bytes, Room), Skipped>) {
        (self.bytes, self.room) = (BytesMut::new(), Room::default());
        if let Some(then) = self.then.take() {
            then(with);
        }
    }
}

impl std::fmt::Debug for Tee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tee").field("kept", &self.bytes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_copy_is_looked_at_once_when_it_is_complete() {
        for (limit, expected, ends, came) in [
            (10, None, true, Some(Ok("abcd".into()))),
            (10, Some(4), false, Some(Ok("abcd".into()))),
            (10, Some(4), true, Some(Ok("abcd".into()))),
            (10, None, false, None),
            (3, None, true, Some(Err(Skipped::TooLarge))),
        ] {
            let seen: Arc<Mutex<Vec<Result<Bytes, Skipped>>>> = Arc::default();
            let place = Arc::clone(&seen);
            let mut tee =
                Tee::new(limit, expected, move |with| place.lock().unwrap().push(with.map(|(bytes, _room)| bytes)));
            for part in ["ab", "cd"] {
                tee.passes(&Frame::data(Bytes::from_static(part.as_bytes())));
            }
            if ends {
                tee.complete();
            }
            drop(tee);
            assert_eq!(seen.lock().unwrap().first().cloned(), came, "{limit} {expected:?} {ends}");
            assert!(seen.lock().unwrap().len() <= 1);
        }
    }
}
