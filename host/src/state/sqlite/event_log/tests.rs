use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::state::contract::TestClock;
use crate::state::contract::event_log::{Fixture, holds};

fn with_clock(root: &Path, clock: &TestClock) -> SqliteEventLog {
    let clock = clock.clone();
    SqliteEventLog::with_clock(root, Clock::new(move || clock.now()))
}

/// Empty logs in directories that stay until the end.
struct Directories(std::sync::Mutex<Vec<TempDir>>);

impl Fixture for Directories {
    fn empty(&self, clock: &TestClock) -> Arc<dyn EventLog> {
        let root = tempfile::tempdir().unwrap();
        let log = with_clock(root.path(), clock);
        self.0.lock().unwrap().push(root);
        Arc::new(log)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    holds(&Directories(std::sync::Mutex::default())).await;
}
