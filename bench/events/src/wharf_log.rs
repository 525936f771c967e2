//! The event log of Wharf, in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;
use wharf::state::sqlite::SqliteEventLog;
use wharf::state::{Event, EventLog, Progress, Selection, Start, SubscriptionId};

use crate::{DATA, PAGE};

pub(crate) struct Log {
    log: Arc<dyn EventLog>,
    next: Arc<AtomicU64>,
}

fn event(number: u64, data: &Bytes) -> Event {
    Event {
        id: format!("{number:036}"),
        source: "/services/orders".to_owned(),
        kind: "order.created".to_owned(),
        topic: "order.created".to_owned(),
        subject: None,
        key: None,
        time: SystemTime::now(),
        content_type: Some("application/json".to_owned()),
        schema: None,
        extensions: BTreeMap::new(),
        data: data.clone(),
    }
}

impl Log {
    pub(crate) fn open(root: &Path) -> Self {
        let log = SqliteEventLog::open(root);
        log.set_quota(1 << 40);
        Self { log: Arc::new(log), next: Arc::default() }
    }

    /// Durable publishes per second.
    pub(crate) async fn publish(&self, publishers: usize, span: Duration) -> anyhow::Result<f64> {
        let start = Instant::now();
        let tasks: Vec<_> = (0..publishers)
            .map(|_| {
                let (log, next) = (Arc::clone(&self.log), Arc::clone(&self.next));
                tokio::spawn(async move {
                    let data = Bytes::from(vec![b'x'; DATA]);
                    let mut done = 0_u64;
                    while start.elapsed() < span {
                        log.publish(vec![event(next.fetch_add(1, Ordering::Relaxed), &data)]).await?;
                        done += 1;
                    }
                    anyhow::Ok(done)
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await??;
        }
        Ok(sum as f64 / start.elapsed().as_secs_f64())
    }

    /// Events per second that a new subscriber reads and notes as handled.
    pub(crate) async fn deliver(&self, round: u32, span: Duration) -> anyhow::Result<f64> {
        let id = SubscriptionId { service: "audit".to_owned(), name: round.to_string() };
        let mut after = self.log.subscribe(&id, Vec::new(), Start::Earliest).await?.position;
        let start = Instant::now();
        let mut sum = 0;
        while start.elapsed() < span {
            let page = self.log.read(Selection::default(), after, PAGE, 1 << 20).await?;
            self.log.progress(&id, Progress { position: Some(page.read_to), ..Progress::default() }).await?;
            (sum, after) = (sum + page.events.len(), page.read_to);
            if !page.more {
                break;
            }
        }
        Ok(sum as f64 / start.elapsed().as_secs_f64())
    }
}
