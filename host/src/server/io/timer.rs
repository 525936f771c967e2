//! A deadline that is moved often and met seldom.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// Made when it is first needed. A deadline that only moves on costs nothing: the sleep ends early and is set again.
#[derive(Debug, Default)]
pub(in crate::server) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Whether `deadline` is over; if not, the task is woken when it is (or before).
    pub(in crate::server) fn is_over(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            if sleep.as_mut().poll(cx) == Poll::Pending {
                return false;
            }
            if sleep.deadline() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
    }
}
