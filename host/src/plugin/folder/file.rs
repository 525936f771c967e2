//! What is known about one name in the folder, and when that is enough to read it.

use std::time::Duration;

use tokio::time::Instant;

use super::hints::Sign;
use super::read::Found;

/// Rest a changed file must have had when nothing is known about its writer.
const SETTLE: Duration = Duration::from_millis(300);
/// Rest a file must have had whose writer still has it open.
const SETTLE_OPEN: Duration = Duration::from_secs(2);

/// What is known about one name.
pub(super) struct File {
    pub(super) found: Found,
    /// When `found` was first seen like this, or the last sign of a write came.
    pub(super) quiet_since: Instant,
    pub(super) sign: Sign,
    pub(super) stage: Stage,
    pub(super) missing_since: Option<Instant>,
    pub(super) reported: Option<Report>,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) told_incomplete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be read once it has been quiet long enough.
    Changed,
    /// Was read, and the end is missing.
    Incomplete,
    /// Reported, or known to be what was reported.
    Decided,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    Present,
    Rejected(String),
}

impl File {
    pub(super) fn new(found: Found, now: Instant) -> Self {
        Self {
            found,
            quiet_since: now,
            sign: Sign::Unknown,
            stage: Stage::Changed,
            missing_since: None,
            reported: None,
            digest: None,
            told_incomplete: false,
        }
    }

    /// It may be different from what was reported: read it again when it has been quiet.
    pub(super) fn suspect(&mut self, sign: Sign, now: Instant) {
        self.sign = sign;
        self.quiet_since = now;
        self.stage = Stage::Changed;
    }

    /// When it has been quiet long enough to be read.
    pub(super) fn due(&self, patience: Duration) -> Instant {
        let rest = match (self.stage, self.sign) {
            (Stage::Incomplete, _) => patience,
            (_, Sign::Finished) => Duration::ZERO,
            (_, Sign::Writing) => SETTLE_OPEN,
            (_, Sign::Unknown) => match &self.found {
                Found::File(identity) if identity.older_than(SETTLE) => Duration::ZERO,
                Found::File(_) | Found::Unusable(_) => SETTLE,
            },
        };
        self.quiet_since + rest
    }
}
