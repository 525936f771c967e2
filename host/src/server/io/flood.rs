//! Bounds frames that make us work and move nothing: PING and SETTINGS (each is answered), PRIORITY, WINDOW_UPDATE,
//! RST_STREAM and unknown ones (CVE-2019-9512, CVE-2019-9515, CVE-2023-44487 and relatives).
//!
//! A client gets an allowance every ten seconds. Requests and responses earn more: a client that receives much data
//! acknowledges it with WINDOW_UPDATE frames, and gRPC measures its way with PINGs. The factor of ten frames for one of
//! data is Envoy's. h2 bounds by itself what is left: CONTINUATION, empty DATA, resets before a request is taken.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{Frame, Kind};

const PERIOD: Duration = Duration::from_secs(10);
/// What a HEADERS or DATA frame earns, in either direction.
const EARNED: u32 = 10;
/// What a reset costs: a little more than its request earned.
const RESET: u32 = EARNED + 1;
/// As much as may be earned for later.
const SAVED: u32 = 50_000;

/// What a client may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    credit: u32,
    period: u32,
    since: Instant,
}

impl Allowance {
    /// So many frames each ten seconds.
    pub(super) fn new(period: u32) -> Self {
        Self { credit: period, period, since: Instant::now() }
    }

    /// Counts a frame of ours.
    pub(super) fn sent(&mut self, frame: &Frame) {
        if moves_something(frame) {
            self.earn();
        }
    }

    /// Counts a frame of the client's; false when it was one too many.
    pub(super) fn received(&mut self, frame: &Frame) -> bool {
        let cost = match frame.kind {
            _ if moves_something(frame) => {
                self.earn();
                return true;
            }
            // Counted by h2.
            Kind::Data | Kind::Continuation => return true,
            Kind::Reset => RESET,
            Kind::Headers | Kind::Settings | Kind::Other => 1,
        };
        if let Some(left) = self.credit.checked_sub(cost) {
            self.credit = left;
            return true;
        }
        let now = Instant::now();
        if now < self.since + PERIOD {
            return false;
        }
        self.since = now;
        self.credit = self.period.saturating_sub(cost);
        true
    }

    fn earn(&mut self) {
        self.credit = self.credit.saturating_add(EARNED).min(SAVED.max(self.period));
    }
}

fn moves_something(frame: &Frame) -> bool {
    match frame.kind {
        Kind::Headers => true,
        Kind::Data => frame.length > 0,
        Kind::Reset | Kind::Settings | Kind::Continuation | Kind::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, length: u32) -> Frame {
        Frame { kind, flags: 0, stream: 1, length }
    }

    fn accepted(allowance: &mut Allowance, kind: Kind, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(allowance.received(&frame(kind, 8)))).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_at_the_allowance() {
        for kind in [Kind::Settings, Kind::Other] {
            assert_eq!(accepted(&mut Allowance::new(200), kind, 20_000), 200);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_trickle_of_pings_may_go_on_for_ever() {
        let mut allowance = Allowance::new(200);
        for _ in 0..1000 {
            tokio::time::advance(Duration::from_millis(100)).await;
            assert!(allowance.received(&frame(Kind::Other, 8)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_earns_and_empty_data_does_not() {
        let mut allowance = Allowance::new(10);
        (0..5).for_each(|_| allowance.sent(&frame(Kind::Data, 100)));
        assert_eq!(accepted(&mut allowance, Kind::Other, 1000), 60);
        (0..5).for_each(|_| allowance.sent(&frame(Kind::Data, 0)));
        assert!(!allowance.received(&frame(Kind::Other, 8)));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_taken_back_at_once_are_bounded() {
        let mut allowance = Allowance::new(200);
        let pairs = (0..5000).take_while(|_| {
            allowance.received(&frame(Kind::Headers, 30)) && allowance.received(&frame(Kind::Reset, 4))
        });
        assert_eq!(pairs.count(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn savings_are_bounded() {
        let mut allowance = Allowance::new(10);
        (0..100_000).for_each(|_| allowance.sent(&frame(Kind::Data, 100)));
        assert_eq!(accepted(&mut allowance, Kind::Other, 1_000_000), SAVED);
    }
}
