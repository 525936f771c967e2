//! The outbox relay: carries what services wrote with their own data to the log.
//!
//! Grants were checked, and ids made, when the events were written. Each service's are carried in their order, one batch
//! at a time, and forgotten in its outbox when the log has them; a crash between the two carries them again, and the log
//! knows them. An outbox that does not answer, or a log that is full, keeps its service waiting and nobody else.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::bus::Bus;
use crate::policy::Backoff;
use crate::state::{Event, EventLog, EventLogError, MAX_PUBLISH_EVENTS, Outbox, Outboxes, Published};

const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// Services whose outboxes are carried at once; the others wait for their turn.
const AT_ONCE: usize = 16;

/// Carries until dropped.
pub(super) struct Relay {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) bus: Arc<Bus>,
    pub(super) outboxes: Arc<dyn Outboxes>,
}

impl Relay {
    pub(super) async fn run(self) {
        let mut changed = self.outboxes.changed();
        let (mut waiting, mut under_way) = (HashSet::new(), HashSet::new());
        let mut carrying = JoinSet::new();
        loop {
            changed.mark_unchanged();
            waiting.extend(self.outboxes.take_changed());
            let next: Vec<String> = waiting
                .iter()
                .filter(|service| !under_way.contains(*service))
                .take(AT_ONCE.saturating_sub(carrying.len()))
                .cloned()
                .collect();
            for service in next {
                waiting.remove(&service);
                under_way.insert(service.clone());
                let (log, bus) = (Arc::clone(&self.log), Arc::clone(&self.bus));
                let outbox = self.outboxes.outbox(&service);
                carrying.spawn(async move {
                    carry(&service, &*outbox, &*log, &bus).await;
                    service
                });
            }
            tokio::select! {
                Some(done) = carrying.join_next() => match done {
                    Ok(service) => drop(under_way.remove(&service)),
                    // Which one is not known: none is lost if all of them are looked at again.
                    Err(_panic) => waiting.extend(under_way.drain()),
                },
                still = changed.changed() => if still.is_err() && carrying.is_empty() {
                    return;
                },
            }
        }
    }
}

/// Carries all that one outbox has, for as long as it takes.
async fn carry(service: &str, outbox: &dyn Outbox, log: &dyn EventLog, bus: &Bus) {
    let mut failed = 0;
    loop {
        let error = match outbox.waiting(MAX_PUBLISH_EVENTS).await {
            Ok(events) if events.is_empty() => return,
            Ok(events) => match publish(service, events, log, bus).await {
                Ok(numbers) => match outbox.published(numbers).await {
                    Ok(()) => {
                        failed = 0;
                        continue;
                    }
                    Err(error) => error,
                },
                Err(error) => error.to_string(),
            },
            Err(error) => error,
        };
        if failed == 0 {
            tracing::warn!(service, error, "the outbox of a service waits");
        }
        sleep(AGAIN.wait(failed, fastrand::f64())).await;
        failed = failed.saturating_add(1);
    }
}

/// The numbers of those that are in the log, or that will never be.
async fn publish(
    service: &str,
    events: Vec<(u64, Event)>,
    log: &dyn EventLog,
    bus: &Bus,
) -> Result<Vec<u64>, EventLogError> {
    let (numbers, events): (Vec<u64>, Vec<Event>) = events.into_iter().unzip();
    match log.publish(events.clone()).await {
        Ok(published) => {
            let new = published.iter().filter(|published| matches!(published, Published::New(_))).count();
            bus.carried(service, new as u64);
            Ok(numbers)
        }
        Err(
            EventLogError::EventTooLarge { .. }
            | EventLogError::AttributesTooLarge { .. }
            | EventLogError::BatchTooLarge,
        ) => one_by_one(service, numbers, events, log, bus).await,
        Err(error) => Err(error),
    }
}

/// One of them is what no log takes. The checks of publishing let none pass, but a database may have been written to
/// under other bounds; it must not hold back all that comes after it.
async fn one_by_one(
    service: &str,
    numbers: Vec<u64>,
    events: Vec<Event>,
    log: &dyn EventLog,
    bus: &Bus,
) -> Result<Vec<u64>, EventLogError> {
    for event in events {
        let (topic, id) = (event.topic.clone(), event.id.clone());
        match log.publish(vec![event]).await {
            Ok(_) => bus.carried(service, 1),
            Err(
                error @ (EventLogError::EventTooLarge { .. }
                | EventLogError::AttributesTooLarge { .. }
                | EventLogError::BatchTooLarge),
            ) => {
                tracing::error!(service, topic, id, %error, "an event in an outbox can never be published: it is lost")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::Ordering;

    use async_trait::async_trait;
    use tokio::sync::watch;

    use super::*;
    use crate::config::Config;
    use crate::events::fake::{FakeLog, event, no_queues};

    #[derive(Debug)]
    struct FakeOutbox(Mutex<Vec<(u64, Event)>>, std::sync::atomic::AtomicBool);

    #[derive(Debug)]
    struct FakeOutboxes {
        changed: watch::Sender<u64>,
        names: Mutex<Vec<String>>,
        outbox: Arc<FakeOutbox>,
    }

    #[async_trait]
    impl Outbox for FakeOutbox {
        async fn waiting(&self, _limit: usize) -> Result<Vec<(u64, Event)>, String> {
            Ok(self.0.lock().unwrap().iter().take(2).cloned().collect())
        }

        async fn published(&self, numbers: Vec<u64>) -> Result<(), String> {
            if self.1.load(Ordering::SeqCst) {
                return Err("told so".into());
            }
            self.0.lock().unwrap().retain(|(number, _)| !numbers.contains(number));
            Ok(())
        }
    }

    impl Outboxes for FakeOutboxes {
        fn changed(&self) -> watch::Receiver<u64> {
            self.changed.subscribe()
        }

        fn take_changed(&self) -> Vec<String> {
            std::mem::take(&mut self.names.lock().unwrap())
        }

        fn outbox(&self, _service: &str) -> Arc<dyn Outbox> {
            Arc::clone(&self.outbox) as _
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_carried_at_the_start_and_after_each_change_once_and_in_order() {
        let events = (0..5u64).map(|n| (n, event("a", None, &n.to_string()))).collect();
        let outbox = Arc::new(FakeOutbox(Mutex::new(events), false.into()));
        let outboxes = Arc::new(FakeOutboxes {
            changed: watch::Sender::new(0),
            names: Mutex::new(vec!["orders".into()]),
            outbox: Arc::clone(&outbox),
        });
        let log = Arc::new(FakeLog::default());
        let bus = Bus::new(Arc::clone(&log) as _, no_queues(), Arc::new(Config::default()));
        let relay = Relay { log: Arc::clone(&log) as _, bus, outboxes: Arc::clone(&outboxes) as _ };
        let task = tokio::spawn(relay.run());
        let ids = || async {
            let mut page = log.history(crate::state::Selection::default(), None, 100).await.unwrap().events;
            page.reverse();
            page.iter().map(|event| event.event.id.clone()).collect::<Vec<_>>()
        };
        sleep(Duration::from_millis(10)).await;
        assert_eq!(ids().await, ["0", "1", "2", "3", "4"]);
        // The outbox cannot forget for a while, and the log cannot take: nothing comes twice, nothing is lost.
        outbox.1.store(true, Ordering::SeqCst);
        outbox.0.lock().unwrap().push((7, event("a", None, "7")));
        outboxes.names.lock().unwrap().push("orders".into());
        outboxes.changed.send_modify(|n| *n += 1);
        sleep(Duration::from_secs(60)).await;
        log.broken.store(true, Ordering::SeqCst);
        outbox.1.store(false, Ordering::SeqCst);
        sleep(Duration::from_secs(60)).await;
        log.broken.store(false, Ordering::SeqCst);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(ids().await, ["0", "1", "2", "3", "4", "7"]);
        assert!(outbox.0.lock().unwrap().is_empty());
        task.abort();
    }
}
