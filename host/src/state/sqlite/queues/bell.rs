//! Who waits for a message of a queue, and how one of them is told.
//!
//! One ring wakes one receiver; it looks, and rings for the next one when it leaves. So a message that somebody took
//! without having waited costs one look, and a hundred receivers don't all look for one message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The bells of queues for whose messages somebody waits.
#[derive(Debug, Default)]
pub(super) struct Bells(Mutex<HashMap<String, Weak<Notify>>>);

impl Bells {
    /// The bell of a queue, which is there as long as somebody holds it.
    pub(super) fn of(&self, queue: &str) -> Bell {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue).and_then(Weak::upgrade) {
            return Bell(bell);
        }
        bells.retain(|_, bell| bell.strong_count() > 0);
        let bell = Arc::new(Notify::new());
        bells.insert(queue.to_owned(), Arc::downgrade(&bell));
        Bell(bell)
    }

    /// Tells one of those who wait for this queue, or the next one who comes.
    pub(super) fn ring(&self, queue: &str) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue).and_then(Weak::upgrade) {
            bell.notify_one();
        }
    }
}

#[derive(Debug)]
pub(super) struct Bell(Arc<Notify>);

impl Bell {
    pub(super) fn listen(&self) -> Listener<'_> {
        Listener { bell: &self.0, has_heard: false }
    }
}

/// One receiver. When it leaves after it was told, it tells the next one.
#[derive(Debug)]
pub(super) struct Listener<'a> {
    bell: &'a Notify,
    has_heard: bool,
}

impl Listener<'_> {
    /// Waits for the bell, or until this time. A ring since the last look is not missed: the bell keeps one.
    pub(super) async fn wait_until(&mut self, time: Instant) {
        self.has_heard |= timeout_at(time, self.bell.notified()).await.is_ok();
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        if self.has_heard {
            self.bell.notify_one();
        }
    }
}
